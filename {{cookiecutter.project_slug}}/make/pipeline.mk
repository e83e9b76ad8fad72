##@ Pipeline
.PHONY: train data adopt predict metrics explain compare promote rollback history reproduce tune experiment
train: $(READY) ## run the pipeline from the source to a registered model, as far as anything changed [REFRESH=1]
	@test -e mlflow.db || test -n "$$MLFLOW_TRACKING_URI" || grep -qs '^MLFLOW_TRACKING_URI=.' .env || \
		rm -f reports/gate.json
	@$(RUN) pipeline $(OPTIONS)

data: $(READY) ## run the pipeline from the source to features [REFRESH=1: ask a database again]
	@$(RUN) pipeline --stage=featurize $(OPTIONS)

adopt: ## take your own table: DATA=file or QUERY='select …' TARGET=column [TIME= GROUP= TASK= FORCE=1]

predict: ## score a CSV or Parquet file of any size: INPUT=new.csv OUTPUT=scored.parquet [VERSION=champion]

metrics: $(READY) ## compare metrics and parameters with the last commit [BASE=revision MD=1]
	@table=$$($(BIN)/dvc metrics diff $(if $(MD),--md --all) $(or $(BASE),HEAD) && \
		echo && $(BIN)/dvc params diff $(if $(MD),--md) $(or $(BASE),HEAD)) && \
		echo "$${table:-No metric or parameter differs.}"

##@ Model
explain: ## explain a version: importance, dependence, worst slices [VERSION= INPUT= OUTPUT=]
compare: ## compare champion and challenger, or two versions, aliases or runs [A= B=]
reproduce: ## train a version again from its commit and data, and compare [VERSION=3 or an alias]
experiment: ## try parameters without editing a file: SET="train.learning_rate=0.05" [NAME=]; without SET: list
adopt predict explain compare reproduce experiment ui: $(READY)
	@$(RUN) $@ $(OPTIONS)

promote: $(READY) ## make a version the champion by hand: VERSION=3 REASON='…'
	$(call need,VERSION,make promote VERSION=3 REASON='…')
	@$(RUN) promote $(OPTIONS)

rollback: $(READY) ## restore the previous champion: REASON='…'
	@$(RUN) promote $(OPTIONS)

history: $(READY) ## list what was decided and done, when, by whom and why [EVENT=promote]
	@$(or $(if $(PREDICTION),$(MONITORING)),$(RUN)) history $(OPTIONS)

tune: $(READY) $(call extra,tune) ## search for better parameters in tune.space of params.yaml [TRIALS=n TIMEOUT=s MODELS=]
	@$(RUN) pipeline --stage=featurize
	@$(RUN) tune $(OPTIONS)
