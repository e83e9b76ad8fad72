# The model: tuned, explained, compared, reproduced.
.PHONY: tune experiment experiments explain compare promote rollback reproduce
tune: $(READY) $(call extra,tune) ## search for better parameters in tune.space of params.yaml (TRIALS=n TIMEOUT=s)
	@$(BIN)/dvc repro featurize
	@$(RUN) tune $(call argument,TRIALS,trials) $(call argument,TIMEOUT,timeout)

experiment: $(READY) ## try other parameters without editing a file: SET="train.learning_rate=0.05" [NAME=]
	@$(RUN) experiment start $(call argument,SET,set) $(call argument,NAME,name)

experiments: $(READY) ## list experiments; `dvc exp branch NAME` keeps one
	@$(RUN) experiment list

explain: $(READY) ## explain a version: importance, dependence, worst slices [VERSION= INPUT= OUTPUT=]
	@$(RUN) explain $(call argument,VERSION,version) \
		$(call argument,INPUT,input) $(call argument,OUTPUT,output)

compare: $(READY) ## compare two versions: A= and B= a version, alias or run (else champion and challenger)
	@$(RUN) compare $(call argument,A,a) $(call argument,B,b)

promote: $(READY) ## make a version the champion by hand: VERSION=3 REASON='…'
	@test -n "$(VERSION)" || { echo "Name the version: make promote VERSION=3 REASON='…'" >&2; exit 2; }
	@$(RUN) promote $(call argument,VERSION,version) $(call argument,REASON,reason)

rollback: $(READY) ## restore the previous champion: REASON='…'
	@$(RUN) promote $(call argument,REASON,reason)

# make ends with 2 whatever fails: the last lines say if something differs or could not be done. The
# module itself ends with 1 and 2.
reproduce: $(READY) ## train a version again from its commit and data, and compare: VERSION=3 or an alias
	@test -n "$(VERSION)" || { echo "Name the version: make reproduce VERSION=3" >&2; exit 2; }
	@$(RUN) reproduce "$(VERSION)"
