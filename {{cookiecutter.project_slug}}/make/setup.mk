# The environment is ready when the stamp for this place and these locks is there: content, not times,
# so that a clone, a switched branch or a moved folder is noticed and nothing else is.
LOCKS := requirements/base.txt requirements/dev.txt $(wildcard requirements/serving.txt)
checksum = $(shell { (cd .venv && pwd -P) 2> /dev/null; cat $(1); } | cksum | cut -d ' ' -f 1)
LOCKED := .venv/.ready-$(call checksum,$(LOCKS))

# What a verb needs besides, from a lock of its own: $(call extra,tune) is the stamp of having it.
extra = .venv/.ready-$(1)-$(call checksum,$(LOCKS) requirements/$(1).txt)
# A remote that is no folder needs its client, once URL= or .dvc/config names one.
READY := $(LOCKED) $(if $(shell echo "$(URL)" | cat - .dvc/config | grep -E '(s3|gs|ssh)://'),$(call extra,remote))

.PHONY: setup lock
setup: $(READY) ## finish what is missing: environment and commit hooks
	@PYTHON="$(PYTHON)" sh make/setup.sh $(LOCKS)

$(LOCKED):
	@PYTHON="$(PYTHON)" sh make/setup.sh $(LOCKS)

group = $(firstword $(subst -, ,$*))
.venv/.ready-%: | $(LOCKED)
	@echo "Installing requirements/$(group).txt into .venv"
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode --require-hashes \
		--requirement requirements/$(group).txt
	@touch $@

COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-header --no-strip-extras $(if $(UPGRADE),--upgrade)
# Groups that are installed on top of the base and the tools for development.
OPTIONAL := notebook remote tune $(if $(wildcard make/serving.mk),serving export app)

lock: $(READY) ## compile pyproject.toml into requirements/ (UPGRADE=1 for newer versions)
	$(COMPILE) pyproject.toml --output-file requirements/base.txt
	$(COMPILE) --group pyproject.toml:dev --constraints requirements/base.txt \
		--output-file requirements/dev.txt
	for group in $(OPTIONAL); do \
		$(COMPILE) --group pyproject.toml:$$group --constraints requirements/base.txt \
			--constraints requirements/dev.txt $$serving --output-file requirements/$$group.txt || exit; \
		test $$group != serving || serving="--constraints requirements/serving.txt"; \
	done
