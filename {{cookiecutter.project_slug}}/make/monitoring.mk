##@ Operations
MONITORING := $(BIN)/python -m $(PACKAGE).monitoring

.PHONY: monitor feedback label loop retrain approve reject freeze replay
monitor: $(READY) ## check the champion on the prediction log, or on a file with outcomes [BATCH=file SINCE=day UNTIL=day]
	@$(MONITORING) monitor $(OPTIONS)

feedback: $(READY) ## log truths of predictions: FILE=truths.csv, with prediction_id or monitoring.key, and actual
	$(call need,FILE,make feedback FILE=truths.csv)
	@$(MONITORING) feedback $(OPTIONS)

label: ## a sample of recent predictions without truths, to fill in [N=50 OUTPUT=to_label.csv]
loop: ## one turn: check, respond, retrain where there is reason to [TODAY=2026-01-31]
retrain: ## train and judge candidates on fresh rows where a trigger fires [TRIGGER=manual: now]
approve: ## make the version that waits for a decision the champion [VERSION=challenger REASON=]
reject: ## decide against it: REASON='…' [VERSION=challenger]
freeze: ## stop every automatic action: REASON='…'; OFF=1 allows them again
replay: ## live through simulated months, with the loop and without it [MONTHS=4 DRIFT=concept ROWS=6000 SOURCE=tlc BASE=folder]
label loop retrain approve reject freeze replay: $(READY)
	@$(MONITORING) $@ $(OPTIONS)
