# The model: tuned, explained, compared, reproduced.
TUNE := .venv/.ready-tune-$(call checksum,$(LOCKS) requirements/tune.txt)

.PHONY: tune experiment experiments branch explain compare promote rollback reproduce
$(TUNE): $(READY)
	@echo "tune: installing Optuna into .venv"
	$(call install,tune)

tune: $(TUNE) .dvc/config ## search better parameters in tune.space of params.yaml (TRIALS=n TIMEOUT=s)
	@$(BIN)/dvc repro featurize
	@$(RUN) tune $(call argument,TRIALS,trials) \
		$(call argument,TIMEOUT,timeout)

experiment: $(READY) .dvc/config ## try other parameters, without editing: SET="train.learning_rate=0.05" [NAME=]
	@$(RUN) experiment start $(call argument,SET,set) $(call argument,NAME,name)

experiments: $(READY) .dvc/config ## the experiments beside each other
	@$(RUN) experiment list

branch: $(READY) .dvc/config ## make a git branch of an experiment: NAME=experiment [BRANCH=]
	@$(RUN) experiment branch $(call argument,NAME,name) \
		$(call argument,BRANCH,branch)

explain: $(READY) ## what moves a version's answers, and where it is worst: [VERSION= INPUT= OUTPUT=]
	@$(RUN) explain $(call argument,VERSION,version) \
		$(call argument,INPUT,input) $(call argument,OUTPUT,output)

compare: $(READY) ## two versions side by side: A= and B= a version, alias or run (else champion and challenger)
	@$(RUN) compare $(call argument,A,a) $(call argument,B,b)

promote: $(READY) ## make a version the champion by hand: VERSION=3 REASON='…'
	@test -n "$(VERSION)" || { echo "Name the version: make promote VERSION=3 REASON='…'" >&2; exit 2; }
	@$(RUN) promote $(call argument,VERSION,version) \
		$(call argument,REASON,reason)

rollback: $(READY) ## make the champion before this one the champion again: REASON='…'
	@$(RUN) promote $(call argument,REASON,reason)

# make ends with 2 whatever fails: the last lines say if something differs or could not be done. The
# module itself ends with 1 and 2.
reproduce: $(READY) .dvc/config ## train a version again from its commit and data, and compare: VERSION=3 or an alias
	@test -n "$(VERSION)" || { echo "Name the version: make reproduce VERSION=3" >&2; exit 2; }
	@$(RUN) reproduce "$(VERSION)"
