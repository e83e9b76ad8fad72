# The data in a place that the team shares. Credentials: .env, or where the provider's tools keep them.
WITH_ENV := $(if $(wildcard .env),$(BIN)/dotenv run --no-override --)

.PHONY: remote pull
remote: $(READY) ## share the data: URL=s3://bucket/path, gs://…, ssh://… or /folder (ENDPOINT=https://…)
	@test -n "$(URL)" || { echo "Name the place: make remote URL=s3://bucket/path" >&2; exit 2; }
	@$(WITH_ENV) sh make/remote.sh "$(URL)" "$(ENDPOINT)"

pull: $(READY) ## pull this commit's data (ALLOW_MISSING=file: write the reason instead of failing)
	@$(WITH_ENV) sh make/pull.sh "$(ALLOW_MISSING)"
