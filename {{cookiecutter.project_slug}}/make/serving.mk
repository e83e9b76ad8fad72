##@ Service
SERVING := $(BIN)/python -m $(PACKAGE).serving
ENGINE ?= docker

.PHONY: serve work stream batch rollout key deliver image app export
serve: $(READY) ## serve the champion over HTTP on 127.0.0.1 [PORT=8000 HOST=]
	@$(if $(HOST),HOST="$(HOST)") PORT="$(or $(PORT),8000)" exec $(SERVING) serve

batch: $(READY) ## score a file into a table of DATABASE_URL: INPUT=new.parquet TABLE=scores [BATCH=name]
	$(call need,INPUT TABLE,make batch INPUT=new.parquet TABLE=scores)
	@$(SERVING) batch $(OPTIONS)

work: ## predict the jobs of POST /jobs; any number of workers may run
stream: ## predict records from stdin on stdout, a line of JSON each
rollout: ## requests, answers and errors of champion and challenger, and the result of an A/B test
key: ## make an API key, and its hash for API_KEY_HASHES in .env
deliver: ## run the delivery checklist against a running service [URL= ENVIRONMENT=test VERSION= APPROVED_BY= ASK=1]
export: $(call extra,export) ## export a LightGBM version as ONNX into export/ [VERSION=champion]
work stream rollout key deliver export: $(READY)
	@exec $(SERVING) $@ $(OPTIONS)

image: $(READY) ## build a container image of the service with its champion [IMAGE=name:tag VERSION= ENGINE=podman]
	@$(SERVING) image "$(or $(VERSION),champion)"
	@$(ENGINE) build --file deploy/Dockerfile --tag "$(or $(IMAGE),$(notdir $(CURDIR)))" \
		--build-arg CODE_VERSION="$$(git rev-parse HEAD)" .

app: $(READY) $(call extra,app) ## a page on a running `make serve`: form, explanation, model card [PORT=8501]
	@PORT="$(or $(PORT),8501)" exec $(SERVING) app
