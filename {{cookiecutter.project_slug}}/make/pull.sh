#!/bin/sh
# Pull the data of this commit. Without a remote in reach that fails only where the source of the
# pipeline is a file that is missing; an argument names a file to write this reason to instead.
set -eu
url=$(dvc remote list | sed -n 's/^[^[:space:]]*[[:space:]]*\(.*[^[:space:]]\)[[:space:]]*(default)$/\1/p')
case $url in
"") absent=".dvc/config names no remote" ;;
*://*) absent= ;;
*) absent=$(test -d "$url" || echo "the remote $url is not on this machine") ;;
esac
if [ -z "$absent" ]; then
    # By name, as DVC would fail on the outputs of stages that have not run yet.
    { sed -n 's/^  \([^ ]*\):$/\1/p' dvc.lock | tr '\n' '\0' && git ls-files -z '*.dvc'; } |
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
test -n "${1:-}" || { echo "error: $reason" >&2 && exit 1; }
echo "$reason" > "$1"
