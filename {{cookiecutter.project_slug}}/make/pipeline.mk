# The pipeline of dvc.yaml and what it left behind.
REPRO := $(BIN)/python make/repro.py $(PACKAGE)

.PHONY: data train predict dag metrics
data: $(READY) .dvc/config ## from the source to features
	@$(REPRO) featurize

train: $(READY) .dvc/config ## from the source to a registered model, as far as anything changed
	@$(REPRO)

predict: $(READY) ## score a CSV or Parquet file with the champion: INPUT=new.csv OUTPUT=scored.parquet
	@test -n "$(INPUT)" -a -n "$(OUTPUT)" || \
		{ echo "Name the files: make predict INPUT=new.csv OUTPUT=scored.parquet" >&2; exit 2; }
	@$(BIN)/python -m $(PACKAGE).models.predict "$(INPUT)" "$(OUTPUT)"

dag: $(READY) .dvc/config ## draw the pipeline
	@$(BIN)/dvc dag

metrics: $(READY) .dvc/config ## metrics and parameters against the last commit (BASE=rev, MD=1)
	@table=$$($(BIN)/dvc metrics diff $(if $(MD),--md --all) $(or $(BASE),HEAD) && \
		echo && $(BIN)/dvc params diff $(if $(MD),--md) $(or $(BASE),HEAD)) && \
		echo "$${table:-No metric or parameter differs.}"
