# The environment is ready when the stamp for this place and these locks is there: content, not times,
# so that a clone, a switched branch or a moved folder is noticed and nothing else is.
LOCKS := requirements/base.txt requirements/dev.txt $(wildcard requirements/serving.txt)
checksum = $(shell { (cd .venv && pwd -P) 2>/dev/null; cat $(1); } | cksum | cut -d ' ' -f 1)
LOCKED := .venv/.ready-$(call checksum,$(LOCKS))
# A remote that is no folder needs packages of its own, once URL= or .dvc/config names one.
REMOTE := .venv/.ready-remote-$(call checksum,$(LOCKS) requirements/remote.txt)
NAMED := $(shell echo "$(URL)" | cat - .dvc/config 2>/dev/null | grep -oE '(s3|gs|ssh)://')
READY := $(LOCKED) $(if $(NAMED),$(REMOTE))

# What some verbs need besides, from a lock of its own; the target is the stamp of having it.
define install
@$(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode --require-hashes \
	--requirement requirements/$(1).txt
@touch $@
endef

.PHONY: setup lock
setup: ## finish what is missing: environment, git, DVC, commit hooks
	@$(PYTHON) make/setup.py setup
	@$(MAKE) --silent --no-print-directory .dvc/config # and, in a clone, what its remote needs

$(LOCKED):
	@$(PYTHON) make/setup.py environment

$(REMOTE): $(LOCKED)
	@echo "remote: installing what S3, Google Cloud and SSH need into .venv"
	$(call install,remote)

.dvc/config: | $(READY)
	@$(PYTHON) make/setup.py dvc

COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-header --no-strip-extras $(if $(UPGRADE),--upgrade)
# A group of pyproject.toml that is installed on top of the base and the tools for development; and
# those on top of the service.
LAYERED := notebook remote tune $(basename $(notdir $(wildcard requirements/serving.txt requirements/export.txt)))
SERVED := $(basename $(notdir $(wildcard requirements/app.txt)))
CONSTRAINED := --constraints requirements/base.txt --constraints requirements/dev.txt
define layers
for group in $(1); do $(COMPILE) --group pyproject.toml:$$group $(CONSTRAINED) $(2) \
	--output-file requirements/$$group.txt || exit; done
endef

lock: $(READY) ## compile pyproject.toml into requirements/ (UPGRADE=1 for newer versions)
	$(COMPILE) pyproject.toml --output-file requirements/base.txt
	$(COMPILE) --group pyproject.toml:dev --constraints requirements/base.txt \
		--output-file requirements/dev.txt
	$(call layers,$(LAYERED))
	$(call layers,$(SERVED),--constraints requirements/serving.txt)
