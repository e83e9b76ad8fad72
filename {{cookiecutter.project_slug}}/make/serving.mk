# The service: HTTP, queue, stream, batch, delivery.
SERVING := $(BIN)/python -m $(PACKAGE).serving

.PHONY: serve work stream batch ab-test key deliver image app export
serve: $(READY) ## serve the champion over HTTP on 127.0.0.1 (PORT=8000 HOST=)
	@$(if $(HOST),HOST="$(HOST)") PORT="$(or $(PORT),8000)" exec $(SERVING) serve

work: $(READY) ## predict the jobs of POST /jobs; any number of workers may run
	@exec $(SERVING) work

stream: $(READY) ## predict records from stdin on stdout, a line of JSON each
	@exec $(SERVING) stream

batch: $(READY) ## score a file into a table of DATABASE_URL: INPUT=new.parquet TABLE=scores [BATCH=name]
	@test -n "$(INPUT)" -a -n "$(TABLE)" || \
		{ echo "Name both: make batch INPUT=new.parquet TABLE=scores" >&2; exit 2; }
	@$(SERVING) batch $(call argument,INPUT,input) \
		$(call argument,TABLE,table) $(call argument,BATCH,batch)

ab-test: $(READY) ## the result of the A/B test of serving.strategy: ab, once it is finished
	@$(SERVING) ab-test

key: $(READY) ## make an API key, and its hash for API_KEY_HASHES in .env
	@$(SERVING) key

deliver: $(READY) ## run the delivery checklist against a running service: [URL= ENVIRONMENT=test VERSION= APPROVED_BY= ASK=1]
	@$(SERVING) deliver $(call argument,URL,url) \
		$(call argument,ENVIRONMENT,environment) $(call argument,VERSION,version) \
		$(call argument,APPROVED_BY,approved-by) $(call argument,ASK,ask)

ENGINE ?= docker
image: $(READY) ## build a container image of the service with its champion: [IMAGE=name:tag VERSION= ENGINE=podman]
	@$(SERVING) image "$(or $(VERSION),champion)"
	@$(ENGINE) build --file deploy/Dockerfile --tag "$(or $(IMAGE),$(notdir $(CURDIR)))" \
		--build-arg CODE_VERSION="$$(git rev-parse HEAD)" .

app: $(READY) $(call extra,app) ## a page on a running `make serve`: form, explanation, model card (PORT=8501)
	@PORT="$(or $(PORT),8501)" exec $(SERVING) app

export: $(READY) $(call extra,export) ## export a LightGBM or linear version as ONNX into export/, if its scores agree: [VERSION=champion]
	@$(SERVING) export $(call argument,VERSION,version)
