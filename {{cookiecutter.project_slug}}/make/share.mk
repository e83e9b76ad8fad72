# The data in a place that the team shares.
.PHONY: remote pull
remote: $(READY) .dvc/config ## share the data: URL=s3://bucket/path, gs://…, ssh://… or /folder (ENDPOINT=https://…)
	@test -n "$(URL)" || { echo "Name the place: make remote URL=s3://bucket/path" >&2; exit 2; }
	@$(BIN)/python make/remote.py remote "$(URL)" "$(ENDPOINT)"

pull: $(READY) .dvc/config ## fetch the data that this commit names (WHY_NOT=file for a reason instead of an error)
	@$(BIN)/python make/remote.py pull "$(WHY_NOT)"
