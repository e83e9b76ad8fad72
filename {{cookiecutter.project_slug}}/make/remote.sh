#!/bin/sh
# Name the data remote, push the data of the last commit, and prove the copy: a clone with an empty
# cache gets every file back, with the hash that DVC recorded. On failure .dvc/config stays as it was.
set -eu
url=$1 endpoint=$2 root=$PWD

fail() {
    echo "error: $1" >&2
    exit 1
}

case $url in
s3://*:*@* | gs://*:*@* | ssh://*:*@*) fail "URL: git would store the password; see .env.example." ;;
s3://* | gs://* | ssh://*) ;;
*://*) fail "URL=$url: use s3://bucket/…, gs://bucket/…, ssh://host/… or a folder." ;;
*) url=$(python -c 'import os, sys; print(os.path.realpath(os.path.expanduser(sys.argv[1])))' "$url") ;;
esac
case $url/ in "$(pwd -P)"/*) fail "URL=$url: name a folder outside of the project." ;; esac
test -n "$(git rev-list --max-count=1 --all -- dvc.lock '*.dvc')" ||
    fail "there are no data to share yet; run \`make train\`, commit, and try again."

mkdir -p .dvc/tmp && clone=$(mktemp -d "$root/.dvc/tmp/clone.XXXXXX") # on the disk of the cache
cp .dvc/config "$clone.config"
trap 'test $? = 0 || cp "$clone.config" "$root/.dvc/config"; rm -rf "$clone" "$clone.config"' EXIT
dvc remote add --quiet --force --default storage "$url"
dvc remote modify storage verify true
test -z "$endpoint" || dvc remote modify storage endpointurl "$endpoint"

cache=$(dvc cache dir) prefix=$(git rev-parse --show-prefix)
git clone --quiet "$(git rev-parse --show-toplevel)" "$clone"
cp .dvc/config* "$clone/$prefix.dvc" && cd "$clone/$prefix"
dvc cache dir --local "$cache" && dvc push
dvc cache dir --local "$PWD/.dvc/cache" && sh "$root/make/pull.sh"
echo "$url is the remote; from now on \`git push\` pushes the data too. Commit .dvc/config next."
