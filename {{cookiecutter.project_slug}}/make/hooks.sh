#!/bin/sh
# What the commit gate asks of this checkout (environment) and of DVC (the rest, by git's names).
# Before the first `make train`, without a remote or with an empty cache DVC has nothing to keep in
# step with git, and must not stop git for that.

dvc=.venv/bin/dvc

case $1 in
environment)
    test -x .venv/bin/python && exit
    echo "This checkout has no .venv: run \`make setup\` in $PWD, then commit again."
    exit 1
    ;;
pre-commit)
    test ! -e dvc.lock || $dvc git-hook pre-commit
    ;;
pre-push)
    if test ! -x $dvc; then
        echo "No .venv here, so no data was pushed: run \`make setup\`, then \`$dvc push\`."
    elif test -n "$($dvc remote list)"; then
        test ! -e .env || dvc=".venv/bin/dotenv run --no-override -- $dvc" # the remote's credentials
        $dvc git-hook pre-push
    fi
    ;;
post-checkout)
    test -x $dvc && test "$PRE_COMMIT_CHECKOUT_TYPE" = 1 || exit 0 # 0: git only restores a file
    test -n "$(git ls-files dvc.lock '*.dvc')" || exit 0
    $dvc git-hook post-checkout ||
        echo "Data of this commit are missing: \`make pull\` fetches, \`make train\` builds them."
    ;;
esac
