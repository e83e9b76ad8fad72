##@ Operations
MONITORING := $(BIN)/python -m $(PACKAGE).monitoring

.PHONY: monitor loop freeze
monitor: $(READY) ## check the champion on the prediction log, or on a file with outcomes [BATCH=file SINCE=day UNTIL=day]
	@$(MONITORING) monitor $(OPTIONS)

loop: $(READY) ## one turn: check, respond, retrain where there is reason to [TODAY=2026-01-31]
freeze: $(READY) ## stop every automatic action: REASON='…'; OFF=1 allows them again
loop freeze:
	@$(MONITORING) $@ $(OPTIONS)
