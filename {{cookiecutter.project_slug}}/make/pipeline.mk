# The pipeline of dvc.yaml and what it left behind.
RUN := $(BIN)/python -m $(PACKAGE)

# An argument of a verb as one word of the shell, whatever it holds; only from the command line.
argument = $(if $(filter command,$(origin $(1))),--$(2)='$(subst ','\'',$($(1)))')

.PHONY: data train adopt predict metrics
data: $(READY) ## run the pipeline from the source to features
	@$(BIN)/dvc repro featurize

train: $(READY) ## run the pipeline from the source to a registered model, as far as anything changed
	@test -e mlflow.db || test -n "$$MLFLOW_TRACKING_URI" || grep -qs '^MLFLOW_TRACKING_URI=.' .env || \
		rm -f reports/gate.json
	@$(BIN)/dvc repro

adopt: $(READY) ## take your own table: DATA=file TARGET=column [TIME= GROUP= TASK= FORCE=1]
	@$(RUN) adopt $(call argument,DATA,data) \
		$(call argument,TARGET,target) $(call argument,TIME,time) $(call argument,GROUP,group) \
		$(call argument,TASK,task) $(call argument,FORCE,force)

predict: $(READY) ## score a CSV or Parquet file of any size with the champion: INPUT=new.csv OUTPUT=scored.parquet
	@test -n "$(INPUT)" -a -n "$(OUTPUT)" || \
		{ echo "Name the files: make predict INPUT=new.csv OUTPUT=scored.parquet" >&2; exit 2; }
	@$(RUN) predict "$(INPUT)" "$(OUTPUT)"

metrics: $(READY) ## compare metrics and parameters with the last commit (BASE=rev, MD=1)
	@table=$$($(BIN)/dvc metrics diff $(if $(MD),--md --all) $(or $(BASE),HEAD) && \
		echo && $(BIN)/dvc params diff $(if $(MD),--md) $(or $(BASE),HEAD)) && \
		echo "$${table:-No metric or parameter differs.}"
