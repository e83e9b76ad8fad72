##@ Operations
MONITORING := $(BIN)/python -m $(PACKAGE).monitoring

.PHONY: monitor feedback label loop retrain approve reject freeze replay airflow-test
monitor: ## check the champion on the prediction log, or on a file with outcomes [BATCH=file SINCE=day UNTIL=day]
label: ## a sample of recent predictions without truths, to fill in [N=50 OUTPUT=to_label.csv]
loop: ## one turn: check, respond, retrain where there is reason to [TODAY=2026-01-31]
retrain: ## train and judge candidates on fresh rows where a trigger fires [TRIGGER=manual: now]
approve: ## make the version that waits for a decision the champion [VERSION=challenger REASON=]
reject: ## decide against it: REASON='…' [VERSION=challenger]
freeze: ## stop every automatic action: REASON='…'; OFF=1 allows them again
replay: ## live through simulated months, with the loop and without it [MONTHS=4 DRIFT=concept ROWS=6000 SOURCE=tlc BASE=folder]
monitor label loop retrain approve reject freeze replay: $(READY)
	@$(MONITORING) $@ $(OPTIONS)

feedback: $(READY) ## log truths of predictions: FILE=truths.csv, with prediction_id or monitoring.key, and actual
	$(call need,FILE,make feedback FILE=truths.csv)
	@$(MONITORING) feedback $(OPTIONS)

# Airflow's dependencies do not go with the project's. Its tasks have a clone for themselves.
AIRFLOW := .airflow/venv/.ready-$(call checksum,requirements/airflow.txt)
$(AIRFLOW):
	@$(BIN)/uv venv --quiet --clear --python $(BIN)/python .airflow/venv
	@$(BIN)/uv pip sync --quiet --python .airflow/venv/bin/python --require-hashes requirements/airflow.txt && touch $@
airflow-test: $(READY) $(AIRFLOW) ## run dags/ in an Airflow of their own, on a clone of the last commit [DATE=2026-01-31]
	@rm -rf .airflow/[!v]* && git clone -q --bare "$$(git rev-parse --show-toplevel)" .airflow/origin && git clone -q .airflow/origin .airflow/clone
	@here=$$PWD/.airflow clone=$$PWD/.airflow/clone/$$(git rev-parse --show-prefix) && \
		ln -s "$$PWD/.venv" "$$clone" && cp -R data/external "$$clone/data" && \
		dvc --cd "$$clone" remote add --quiet --local --default store "$$here/store" && \
		export AIRFLOW_HOME="$$here/home" AIRFLOW__CORE__DAGS_FOLDER="$$PWD/dags" AIRFLOW__CORE__LOAD_EXAMPLES=false \
		AIRFLOW__CORE__DEFAULT_TASK_RETRY_DELAY=1 AIRFLOW_VAR_PROJECT="$$clone" AIRFLOW_VAR_BATCH='data/raw/*.parquet' \
		$(if $(DATE),,AIRFLOW_VAR_DELAY=0 AIRFLOW_VAR_EXPORT=0) PYTHONPATH=src MLFLOW_TRACKING_URI= DATABASE_URL= && \
		.airflow/venv/bin/airflow db migrate && .airflow/venv/bin/python dags/loop.py $(or $(DATE),$(shell date -u +%F))
