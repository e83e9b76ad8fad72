#!/bin/sh
# Build .venv with exactly what its arguments, the locks, name, and install the commit hooks. What is
# there already is left alone, so a second run finishes what the first could not.
set -eu
unset GIT_DIR GIT_INDEX_FILE GIT_WORK_TREE PIP_PREFIX PIP_TARGET PIP_USER PYTHONHOME PYTHONPATH
PATH=$PWD/.venv/bin:$PATH
new_enough='import sys; sys.exit(sys.version_info < (3, 11))'
offline="the packages could not be installed, see above; is there a network?"
trap 'echo "Interrupted; \`make setup\` continues here." >&2; exit 130' INT

fail() { echo "Left to do: $1 Then run \`make setup\` in $PWD." >&2; exit 1; }

case $PWD in *[#?%*[:]*)
    fail "rename a folder of this path: to many tools # ? % * [ and : in it are signs of their own." ;;
esac

stamp() { # of this .venv, in this place, with these locks; the Makefile computes the same
    echo ".venv/.ready-$({ (cd .venv 2> /dev/null && pwd -P); cat "$@"; } | cksum | cut -d ' ' -f 1)"
}

create() {
    rm -rf .venv
    for python in "${PYTHON:-python3}" python3.13 python3.12 python3.11 false; do
        "$python" -c "$new_enough" 2> /dev/null && break
    done
    test "$python" != false || fail "install Python 3.11 or newer, or name it: make setup PYTHON=…."
    uv=$(command -v uv || true)
    "$python" -m venv ${uv:+--without-pip} .venv || fail "$python cannot create .venv; install python3-venv or uv."
    test -z "$uv" || return 0
    sed -n '/^uv==/,/[^\\]$/p' requirements/dev.txt > .venv/uv.txt
    .venv/bin/pip install --quiet --require-hashes --only-binary=:all: --requirement .venv/uv.txt || fail "$offline"
}

if [ ! -e "$(stamp "$@")" ]; then
    # The scripts in .venv name the place where it was made.
    { .venv/bin/python -c "$new_enough" && grep -qF "$(cd .venv && pwd -P)" .venv/bin/activate &&
        command -v uv; } > /dev/null 2>&1 || create
    rm -f .venv/.ready-*
    mkdir -p "${UV_CACHE_DIR:-$HOME/.cache/uv}" 2> /dev/null || export UV_NO_CACHE=1
    echo "Installing $(cat "$@" | grep -c '^[^ #]*==') locked packages into .venv: about 1.3 GB, a few minutes"
    # Compiled, every later command starts faster; only sync compiles all of them.
    uv pip sync --quiet --python .venv/bin/python --compile-bytecode --require-hashes --build-constraint "$1" "$@" || fail "$offline"
    # The locked uv carries the build backend that pyproject.toml names: no download.
    .venv/bin/uv pip install --quiet --python .venv/bin/python --no-deps --editable . || fail "$offline"
    # The first training copies this empty store: making one takes MLflow seconds.
    rm -f .venv/mlflow.db
    .venv/bin/python -c 'from mlflow import MlflowClient as Client; Client("sqlite:///.venv/mlflow.db").search_experiments()' \
        > /dev/null 2>&1 || rm -f .venv/mlflow.db
    touch "$(stamp "$@")"
fi

top=$(git rev-parse --show-toplevel 2> /dev/null) || top="no git repository"
if [ "$top" != "$(pwd -P)" ]; then
    echo "No commit hooks: the project is not the root of a repository, but in: $top"
elif scope=$(git config --show-scope core.hooksPath); then
    echo "No commit hooks, as git's core.hooksPath is set: run" \
        "\`git config --${scope%%[!a-z]*} --unset-all core.hooksPath\`, then \`make setup\`."
elif ! said=$(.venv/bin/pre-commit install 2>&1); then
    echo "No commit hooks: $said"
else # they name the place of this .venv, and are lost when it is moved
    cd "$(git rev-parse --git-path hooks)"
    sed -i.old "s/Did you forget.*virtualenv?/Run \`make setup\`, as .venv was moved or is missing./" pre-commit
    rm pre-commit.old
fi
