#!/bin/sh
# DVC for make (share, pull) and for git's hooks (the others), which must not stop git before the first
# `make train`, without a remote or without an environment. The remote's credentials may stand in .env.
set -eu
PATH=$PWD/.venv/bin:$PATH
if [ -e .env ] && [ -x .venv/bin/dotenv ] && [ -z "${READ_ENV:-}" ]; then
    READ_ENV=1 exec dotenv run --no-override -- sh "$0" "$@"
fi

fail() { echo "error: $1" >&2; exit 1; }

# Name the data remote, push the data of the last commit, and prove the copy: a clone with an empty
# cache gets every file back, with the hash that DVC recorded. On failure .dvc/config stays as it was.
share() {
    url=$1 endpoint=$2 root=$PWD
    case $url in
    *://*:*@*) fail "URL: git would store the password; see .env.example." ;;
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
    dvc cache dir --local "$PWD/.dvc/cache" && pull ""
    echo "$url is the remote; from now on \`git push\` pushes the data too. Commit .dvc/config next."
}

# Pull the data of this commit. Without a remote in reach that fails only where files are missing that
# the source of the pipeline may read; $1 names a file to write this reason to instead.
pull() {
    url=$(COLUMNS=9999 dvc remote list | sed -n 's/^[^[:space:]]*[[:space:]]*\(.*[^[:space:]]\)[[:space:]]*(default)$/\1/p')
    if [ -d "$url" ] || [ "$url" != "${url#*://}" ]; then
        # By name, as DVC would fail on the outputs of stages that have not run yet.
        { sed -n 's/^  \([^ ]*\):$/\1/p' dvc.lock 2> /dev/null | tr '\n' '\0' && git ls-files -z '*.dvc'; } |
            xargs -0 dvc pull
        return
    fi
    absent=".dvc/config names no remote${url:+ but $url, which is not on this machine}"
    missing=$(git ls-files '*.dvc' | while read -r name; do test -e "${name%.dvc}" || echo "${name%.dvc}"; done | paste -sd ' ' -)
    if [ -z "$missing" ] || ! sed 's/#.*//' params.yaml | grep -q data/external; then
        echo "Nothing was pulled, because $absent; the pipeline can run without."
        return
    fi
    reason="$missing: not in this checkout, and $absent; run \`make remote URL=…\` where the data are, and commit .dvc/config."
    test -n "$1" || fail "$reason"
    echo "$reason" > "$1"
}

case $1 in
share | pull) "$@" ;;
pre-commit) test ! -e dvc.lock || dvc git-hook pre-commit ;;
pre-push)
    test -x .venv/bin/dvc || echo "No .venv, so no data were pushed: run \`make setup\`, then \`.venv/bin/dvc push\`."
    test ! -x .venv/bin/dvc || test -z "$(dvc remote list)" || dvc git-hook pre-push
    ;;
post-checkout) # type 0: git only restores a file
    test -x .venv/bin/dvc && test "$PRE_COMMIT_CHECKOUT_TYPE" = 1 || exit 0
    test -z "$(git ls-files dvc.lock '*.dvc')" || dvc git-hook post-checkout ||
        echo "Data of this commit are missing: \`make pull\` fetches, \`make train\` builds them."
    ;;
esac
