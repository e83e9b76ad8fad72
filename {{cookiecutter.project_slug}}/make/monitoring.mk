##@ Operations
.PHONY: monitor
monitor: $(READY) ## check the champion on rows with outcomes: BATCH=file or folder [VERSION=]
	$(call need,BATCH,make monitor BATCH=labelled.parquet)
	@$(BIN)/python -m $(PACKAGE).monitoring monitor $(OPTIONS)
