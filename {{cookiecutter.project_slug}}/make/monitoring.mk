##@ Operations
.PHONY: monitor loop freeze
monitor: $(READY) ## check the champion on rows with outcomes: BATCH=file or folder [VERSION=]
	$(call need,BATCH,make monitor BATCH=labelled.parquet)
	@$(BIN)/python -m $(PACKAGE).monitoring monitor $(OPTIONS)

loop: $(READY) ## one turn: check, respond, retrain where there is reason to [TODAY=2026-01-31]
freeze: $(READY) ## stop every automatic action: REASON='…'; OFF=1 allows them again
loop freeze:
	@$(BIN)/python -m $(PACKAGE).monitoring $@ $(OPTIONS)
