# Every verb of the template; `make` alone lists them. A generated project has its own Makefile.
.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
TEMPLATE := {{cookiecutter.project_slug}}
DEMO := build/my-project
# The template's own tools; and for tests and checks the libraries of the project, whose packages are
# imported from the template folder.
LOCKS := $(wildcard $(addprefix $(TEMPLATE)/requirements/,base.txt dev.txt estimators.txt tune.txt serving.txt export.txt app.txt))
READY := .venv/.ready-$(shell cksum < requirements/dev.txt | cut -d ' ' -f 1)
LIBRARIES := .venv/.ready-libraries-$(shell cat requirements/dev.txt $(LOCKS) | cksum | cut -d ' ' -f 1)

.PHONY: demo test check fix lock bench help
demo: $(READY) ## render the default project into build/ and train it (LEVEL=deployment)
	@rm -rf $(DEMO)
	@$(BIN)/cookiecutter . --no-input --default-config --output-dir build $(if $(LEVEL),level=$(LEVEL))
	@$(MAKE) --no-print-directory -C $(DEMO) train

test: $(LIBRARIES) ## run every test, from units to a user's day (ARGS= for pytest)
	@$(BIN)/pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder $(ARGS)

# In the template folder tools go by the settings of a project, and keep their caches out of it: every
# file there is rendered. Its tests hold Jinja: they are checked as rendered, by the tests.
INSIDE := cd '$(TEMPLATE)' && RUFF_CACHE_DIR=../build/ruff ../$(BIN)

check: $(LIBRARIES) ## check format, imports, lint and, of machinery, types; changes nothing
	@$(BIN)/black --check . && $(BIN)/isort --check . && $(BIN)/ruff check --quiet .
	@$(INSIDE)/black --check src
	@$(INSIDE)/isort --check src
	@$(INSIDE)/ruff check --quiet src
	@$(INSIDE)/mypy --explicit-package-bases --cache-dir ../build/mypy src/mlops_loop

fix: $(LIBRARIES) ## repair format, imports and lint
	@$(BIN)/ruff check --fix . ; $(BIN)/isort . ; $(BIN)/black .
	@$(INSIDE)/ruff check --fix src
	@$(INSIDE)/isort src
	@$(INSIDE)/black src

bench: $(READY) ## measure what the README claims (ONLY=name)
	@$(BIN)/python -m benchmarks $(ONLY)

$(READY):
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed: make PYTHON=..." \
		if sys.version_info < (3, 11) else 0)'
	@test ! -L .venv || { echo "The environment that .venv links to has other tools; update it there." >&2; exit 1; }
	@echo "Installing the template's own tools into .venv"
	@$(PYTHON) -m venv --clear .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes \
		--requirement requirements/dev.txt
	@touch $(READY)

$(LIBRARIES): $(READY)
	@echo "Installing the libraries of the project into .venv"
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode --require-hashes \
		--requirement requirements/dev.txt $(foreach lock,$(LOCKS),--requirement '$(lock)')
	@touch $(LIBRARIES)

COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-header --no-strip-extras $(if $(UPGRADE),--upgrade)

lock: $(READY) ## compile all locks, the project's first (UPGRADE=1 for newer versions)
	@rm -rf build/lock
	@$(BIN)/cookiecutter . --no-input --default-config --output-dir build/lock level=operations
	@$(MAKE) --no-print-directory -C build/lock/my-project lock setup
	@cp build/lock/my-project/requirements/*.txt '$(TEMPLATE)/requirements/'
	@$(BIN)/python tests/template/reserved.py build/lock/my-project
	$(COMPILE) --group pyproject.toml:dev $(foreach lock,$(LOCKS),--constraints '$(lock)') \
		--output-file requirements/dev.txt
	$(COMPILE) --group pyproject.toml:copier --output-file requirements/copier.txt

help: ## list the verbs
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile | sort | expand -t 8
