# The model: tuned, explained, compared, reproduced.
.PHONY: explain reproduce
explain: $(READY) ## what moves a version's answers, and where it is worst: [VERSION= INPUT= OUTPUT=]
	@$(BIN)/python -m $(PACKAGE).models.explain $(call argument,VERSION,version) \
		$(call argument,INPUT,input) $(call argument,OUTPUT,output)

reproduce: $(READY) .dvc/config ## train a version again from its commit and data, and compare: VERSION=3 or an alias
	@test -n "$(VERSION)" || { echo "Name the version: make reproduce VERSION=3" >&2; exit 2; }
	@$(BIN)/python -m $(PACKAGE).models.reproduce "$(VERSION)"
