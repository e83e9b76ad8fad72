##@ Tools
.PHONY: check fix test ui notebook remote pull setup lock
CHECK := SKIP=dvc-status $(BIN)/pre-commit run --all-files

check: $(READY) ## run the commit gate on every file that git tracks; repairs stay in the work tree
	@$(CHECK) $(if $(CI),--show-diff-on-failure)

fix: $(READY) ## repair what the tools can repair, then check
	@$(CHECK) > /dev/null || $(CHECK)

test: $(READY) ## run the tests of data, features, model and pipeline [ARGS= for pytest]
	@$(BIN)/pytest $(ARGS)

ui: ## open MLflow's pages on this project's runs and models [PORT=5000]

notebook: $(READY) $(call extra,notebook) ## start JupyterLab on notebooks/
	@$(BIN)/jupyter lab --notebook-dir notebooks $(if $(filter 0,$(shell id -u)),--allow-root)

remote: $(READY) ## share the data: URL=s3://bucket/path, gs://…, ssh://… or /folder [ENDPOINT=https://…]
	$(call need,URL,make remote URL=s3://bucket/path)
	@sh make/dvc.sh share "$(URL)" "$(ENDPOINT)"

pull: $(READY) ## pull this commit's data [ALLOW_MISSING=file: write the reason instead of failing]
	@sh make/dvc.sh pull "$(ALLOW_MISSING)"

setup: $(READY) $(if $(EXTRA),$(call extra,$(EXTRA))) ## finish what is missing: environment and commit hooks [EXTRA=estimators: XGBoost and CatBoost too]
setup $(LOCKED):
	@PYTHON="$(PYTHON)" sh make/setup.sh $(LOCKS)

.venv/.ready-%: | $(LOCKED)
	@$(eval lock := requirements/$(firstword $(subst -, ,$*)).txt) echo "Installing $(lock) into .venv"
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode --require-hashes --requirement $(lock)
	@touch $@

# Each lock but the first is a dependency group; those of dev and serving go with any but Airflow's.
GROUPS := $(filter-out base dev serving,$(basename $(notdir $(wildcard requirements/*.txt))))
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-header --no-strip-extras $(if $(UPGRADE),--upgrade)
lock: $(READY) ## compile pyproject.toml into requirements/ [UPGRADE=1 for newer versions]
	$(COMPILE) pyproject.toml --output-file requirements/base.txt
	set -- --constraints requirements/base.txt; \
	for group in $(patsubst requirements/%.txt,%,$(filter-out %/base.txt,$(LOCKS))) $(GROUPS); do \
		$(COMPILE) --group pyproject.toml:$$group $$(test $$group = airflow || echo "$$@") --output-file requirements/$$group.txt || exit; \
		case $$group in dev | serving) set -- "$$@" --constraints requirements/$$group.txt ;; esac; \
	done
