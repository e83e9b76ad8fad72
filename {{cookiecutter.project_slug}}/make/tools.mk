# Looking, checking, cleaning.
NOTEBOOK := .venv/.ready-notebook-$(call checksum,$(LOCKS) requirements/notebook.txt)

.PHONY: check fix test ui notebook clean
check: $(READY) ## everything that the commit gate looks for, on every file; changes nothing
	@$(BIN)/python make/gate.py check

fix: $(READY) ## repair what tools can repair, then check
	@$(BIN)/python make/gate.py fix

test: $(READY) ## the tests (ARGS= for pytest)
	@$(BIN)/pytest $(ARGS)

ui: $(READY) ## MLflow's pages on this project's runs and models (PORT=5000)
	@store=$$($(BIN)/python -c 'from $(PACKAGE) import PROJECT; from mlops_loop.project import \
		load_settings; print(load_settings(PROJECT).tracking_uri)') && case $$store in \
	http*) echo "Runs and models are at $$store" ;; \
	*) MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false \
		exec $(BIN)/mlflow ui --workers 1 --port $(or $(PORT),5000) --backend-store-uri "$$store" ;; \
	esac

$(NOTEBOOK): $(READY)
	@echo "notebook: installing JupyterLab into .venv"
	$(call install,notebook)

notebook: $(NOTEBOOK) ## JupyterLab on notebooks/
	@$(BIN)/jupyter lab --notebook-dir notebooks

# Raw and external data, the registry and DVC's cache stay.
REBUILDABLE := data/interim data/processed models reports/plots reports/explain $(wildcard .*_cache)

clean: ## remove caches and what `make train` rebuilds
	@for path in $(wildcard $(REBUILDABLE)); do echo "removing $$path"; rm -rf "$$path"; done
	@find src tests -name __pycache__ -prune -exec rm -rf {} +
