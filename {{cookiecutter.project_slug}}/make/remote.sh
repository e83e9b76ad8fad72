#!/bin/sh
# share URL ENDPOINT: name the data remote, push the data of the last commit, and prove the copy: a
#   clone with an empty cache gets every file back, with the hash that DVC recorded. On failure
#   .dvc/config stays as it was.
# pull [FILE]: pull the data of this commit. Without a remote in reach that fails only where the source
#   of the pipeline is a file that is missing; FILE names a file to write this reason to instead.
set -eu

fail() {
    echo "error: $1" >&2
    exit 1
}

share() {
    url=$1 endpoint=$2 root=$PWD

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
    dvc cache dir --local "$PWD/.dvc/cache" && sh "$root/make/remote.sh" pull
    echo "$url is the remote; from now on \`git push\` pushes the data too. Commit .dvc/config next."
}

pull() {
    # DVC wraps what is longer than a line.
    url=$(COLUMNS=9999 dvc remote list | sed -n 's/^[^[:space:]]*[[:space:]]*\(.*[^[:space:]]\)[[:space:]]*(default)$/\1/p')
    case $url in
    "") absent=".dvc/config names no remote" ;;
    *://*) absent= ;;
    *) absent=$(test -d "$url" || echo "the remote $url is not on this machine") ;;
    esac
    if [ -z "$absent" ]; then
        # By name, as DVC would fail on the outputs of stages that have not run yet.
        { sed -n 's/^  \([^ ]*\):$/\1/p' dvc.lock 2> /dev/null | tr '\n' '\0' && git ls-files -z '*.dvc'; } |
            xargs -0 dvc pull
        exit
    fi
    missing=$(git ls-files '*.dvc' | while read -r name; do
        test -e "${name%.dvc}" || echo "${name%.dvc}: not in this checkout, and $absent;"
    done)
    if [ -z "$missing" ] || ! grep -q '^ *source: file' params.yaml; then
        echo "Nothing was pulled, because $absent; the pipeline can run without."
        exit
    fi
    reason="$missing run \`make remote URL=…\` where the data are, and commit .dvc/config."
    test -n "${1:-}" || fail "$reason"
    echo "$reason" > "$1"
}

"$@"
