##@ Operations
MONITORING := $(BIN)/python -m $(PACKAGE).monitoring

.PHONY: monitor loop retrain approve reject freeze
monitor: $(READY) ## check the champion on the prediction log, or on a file with outcomes [BATCH=file SINCE=day UNTIL=day]
	@$(MONITORING) monitor $(OPTIONS)

loop: $(READY) ## one turn: check, respond, retrain where there is reason to [TODAY=2026-01-31]
retrain: ## train and judge candidates on fresh rows where a trigger fires [TRIGGER=manual: now]
approve: ## make the version that waits for a decision the champion [VERSION=challenger REASON=]
reject: ## decide against it: REASON='…' [VERSION=challenger]
freeze: $(READY) ## stop every automatic action: REASON='…'; OFF=1 allows them again
loop retrain approve reject freeze: $(READY)
	@$(MONITORING) $@ $(OPTIONS)
