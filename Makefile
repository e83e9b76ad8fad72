# Every verb of the template; `make` alone lists them. A generated project has its own Makefile.
.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
TEMPLATE := {{cookiecutter.project_slug}}
DEMO := build/my-project
READY := .venv/.ready-$(shell cksum < requirements/dev.txt | cut -d ' ' -f 1)

.PHONY: demo test check fix lock bench help
demo: $(READY) ## render the default project into build/ and train it (LEVEL=deployment)
	@rm -rf $(DEMO)
	@$(BIN)/cookiecutter . --no-input --default-config --output-dir build $(if $(LEVEL),level=$(LEVEL))
	@$(MAKE) --no-print-directory -C $(DEMO) train

test: $(READY) ## render everything and live a user's day (ARGS= for pytest)
	@$(BIN)/pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder $(ARGS)

check: $(READY) ## format, imports and lint of hooks, tests and benchmarks; changes nothing
	@$(BIN)/black --check --quiet . && $(BIN)/isort --check . && $(BIN)/ruff check .

fix: $(READY) ## repair format, imports and lint
	@$(BIN)/ruff check --fix . ; $(BIN)/isort . ; $(BIN)/black .

bench: $(READY) ## measure what the README claims (ONLY=name)
	@$(BIN)/python -m benchmarks $(ONLY)

$(READY):
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed: make PYTHON=..." \
		if sys.version_info < (3, 11) else 0)'
	@echo "Installing the template's own tools into .venv"
	@$(PYTHON) -m venv --clear .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes \
		--requirement requirements/dev.txt
	@touch $(READY)

COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-header --no-strip-extras $(if $(UPGRADE),--upgrade)

lock: $(READY) ## compile all locks, the project's first (UPGRADE=1 for newer versions)
	@rm -rf build/lock
	@$(BIN)/cookiecutter . --no-input --default-config --output-dir build/lock level=deployment
	@$(MAKE) --no-print-directory -C build/lock/my-project lock setup
	@cp build/lock/my-project/requirements/*.txt '$(TEMPLATE)/requirements/'
	@$(BIN)/python tests/reserved.py build/lock/my-project
	$(COMPILE) --group pyproject.toml:dev --constraints '$(TEMPLATE)/requirements/base.txt' \
		--constraints '$(TEMPLATE)/requirements/dev.txt' --output-file requirements/dev.txt

help: ## list the verbs
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile | sort | expand -t 8
