# Looking, checking, sharing, cleaning.
.PHONY: check fix test ui notebook clean
CHECK := SKIP=dvc-status $(BIN)/pre-commit run --all-files

check: $(READY) ## run the commit gate on every file that git tracks; repairs stay in the work tree
	@$(CHECK) $(if $(CI),--show-diff-on-failure)

fix: $(READY) ## repair what the tools can repair, then check
	@$(CHECK) > /dev/null || $(CHECK)

test: $(READY) ## run the tests (ARGS= for pytest)
	@$(BIN)/pytest $(ARGS)

ui: $(READY) ## open MLflow's pages on this project's runs and models (PORT=5000)
	@store=$$($(BIN)/python -c 'from $(PACKAGE) import PROJECT; from mlops_loop.project import \
		load_settings; print(load_settings(PROJECT).tracking_uri)') && case $$store in \
	http*) echo "Runs and models are at $$store" ;; \
	*) MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false \
		exec $(BIN)/mlflow ui --workers 1 --port $(or $(PORT),5000) --backend-store-uri "$$store" ;; \
	esac

notebook: $(READY) $(call extra,notebook) ## start JupyterLab on notebooks/
	@$(BIN)/jupyter lab --notebook-dir notebooks

# Raw and external data, the registry and DVC's cache stay.
REBUILDABLE := data/interim data/processed models reports/plots reports/explain $(wildcard .*_cache)

clean: ## remove caches and what `make train` rebuilds
	@for path in $(wildcard $(REBUILDABLE)); do echo "removing $$path"; rm -rf "$$path"; done
	@find src tests -name __pycache__ -prune -exec rm -rf {} +

# The data in a place that the team shares. Credentials: .env, or where the provider's tools keep them.
WITH_ENV := $(if $(wildcard .env),$(BIN)/dotenv run --no-override --)

.PHONY: remote pull
remote: $(READY) ## share the data: URL=s3://bucket/path, gs://…, ssh://… or /folder (ENDPOINT=https://…)
	@test -n "$(URL)" || { echo "Name the place: make remote URL=s3://bucket/path" >&2; exit 2; }
	@$(WITH_ENV) sh make/remote.sh share "$(URL)" "$(ENDPOINT)"

pull: $(READY) ## pull this commit's data (ALLOW_MISSING=file: write the reason instead of failing)
	@$(WITH_ENV) sh make/remote.sh pull "$(ALLOW_MISSING)"
