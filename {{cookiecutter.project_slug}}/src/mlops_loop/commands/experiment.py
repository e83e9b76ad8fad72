"""`make experiment`, `experiments`, `branch`: other parameters tried without editing a file.

DVC runs an experiment in a checkout of its own and keeps it as a commit below refs/exps. It ends
with `evaluate`: nothing is registered.
"""

import argparse
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import TypeVar

from ruamel.yaml import YAML

from ..config import Section, changed, flattened
from ..console import aligned, figure
from ..lineage import git
from ..project import Paths, UserError, load_settings

Params = TypeVar("Params", bound=Section)
USAGE = 'say what to change: make experiment SET="train.learning_rate=0.05 train.max_trees=100"'

# What DVC says to do next; here `dvc exp branch` does it.
HINTS = ("To apply the results", "dvc exp apply", "To switch to the new branch", "git checkout")
NO_NAME = re.compile(r"[^A-Za-z0-9_.]+")


def parse(text: str) -> dict[str, str]:
    """The values of SET by dotted key; raises UserError that shows how it is written."""
    pairs = [word.partition("=") for word in text.split()]
    if not pairs or not all(key and value for key, _, value in pairs):
        raise UserError(USAGE)
    return {key: value for key, _, value in pairs}


def default_name(values: dict[str, str]) -> str:
    """A name that says what is different, such as learning_rate-0.05."""
    words = (f"{key.split('.')[-1]}-{value}" for key, value in values.items())
    return NO_NAME.sub("-", "-".join(words)).strip("-.")


def experiments(paths: Paths) -> dict[str, str]:
    """The commit of each experiment by its name, the oldest first."""
    how = ("--format=%(objectname) %(refname)", "--sort=creatordate", "refs/exps/??/*/*")
    lines = git(paths.root, "for-each-ref", *how).splitlines()
    return {line.rpartition("/")[2]: line.split()[0] for line in lines}


def check_tracked(paths: Paths) -> None:
    """Raise UserError for code and data that the checkout of an experiment would miss."""
    missing = git(paths.root, "ls-files", "--others", "--exclude-standard", "src", "data")
    if missing:
        listed = ", ".join(missing.splitlines())
        raise UserError(f"git does not know {listed}; `git add` what the experiment needs.")


def start(
    paths: Paths,
    params: Params,
    check: Callable[[Params], object],
    values: dict[str, str],
    name: str,
) -> None:
    """Run an experiment with these values; raises UserError where they or its name will not do."""
    yaml = YAML(typ="safe")
    params = changed(params, {key: yaml.load(value) for key, value in values.items()})
    check(params)
    if name in experiments(paths):
        raise UserError(
            f"there is an experiment {name}: `make experiments` shows it; NAME= makes another one."
        )
    check_tracked(paths)
    settings = load_settings(paths)
    from ..tracking import registry as tracking

    tracking.connect(paths, settings)
    changes = [word for key, value in values.items() for word in ("--set-param", f"{key}={value}")]
    lock = ["--copy-paths", paths.dvc_lock.name] if paths.dvc_lock.exists() else []
    dvc("run", "--temp", *lock, *changes, "--name", name, "evaluate", here=settings.tracking_uri)


def dvc(*arguments: str, here: str = "") -> None:
    """Run `dvc exp`, its stages with their checkout's own code and with this project's store."""
    mine = {"PYTHONPATH": "src", "MLFLOW_TRACKING_URI": here, "TRIGGER": "experiment"}
    with subprocess.Popen(
        [sys.executable, "-m", "dvc", "exp", *arguments],
        env={**os.environ, **mine, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        text=True,
    ) as running:
        for line in running.stdout or ():
            if not any(hint in line for hint in HINTS):
                print(line, end="", flush=True)
    if running.returncode:
        raise UserError("DVC could not do it, as it says above; nothing here has changed.")


def table(paths: Paths) -> list[tuple[str, ...]]:
    """Test metrics and other parameters of the workspace, then of each experiment."""
    now = flattened(YAML(typ="safe").load(paths.params.read_text(encoding="utf-8")))
    metrics = paths.metrics.read_text(encoding="utf-8") if paths.metrics.exists() else ""
    rows = [("workspace", _test(metrics), "")]
    for name, commit in experiments(paths).items():
        then = flattened(YAML(typ="safe").load(git(paths.root, "show", f"{commit}:./params.yaml")))
        others = (f"{key}={value}" for key, value in then.items() if now.get(key) != value)
        test = _test(git(paths.root, "show", f"{commit}:./reports/metrics.json"))
        rows.append((name, test, " ".join(others)))
    names = list(dict.fromkeys(name for _, test, _ in rows for name in test))
    figures = [(row[0], *(figure(row[1].get(name)) for name in names), row[2]) for row in rows]
    return [("experiment", *names, "other than the workspace"), *figures]


def _test(metrics: str) -> dict[str, float | None]:
    return dict(json.loads(metrics)["test"]) if metrics else {}


def branch(paths: Paths, name: str, wanted: str) -> None:
    """Make a git branch of an experiment; raises UserError where that cannot be."""
    known = experiments(paths)
    if name not in known:
        listed = ", ".join(known) or "none; `make experiment` makes one"
        raise UserError(f"there is no experiment {name or '(say NAME=)'}; there are: {listed}.")
    if git(paths.root, "rev-parse", "--verify", f"refs/heads/{wanted}"):
        raise UserError(f"there is a branch {wanted}; name another one with BRANCH=.")
    dvc("branch", name, wanted)


def main(
    paths: Paths, params: Params, check: Callable[[Params], object], arguments: Sequence[str]
) -> None:
    """Do what make asks for: start an experiment, list them all, or make a branch of one."""
    parser = argparse.ArgumentParser()
    parser.add_argument("verb", choices=("start", "list", "branch"))
    for option in ("set", "name", "branch"):
        parser.add_argument(f"--{option}", default="")
    asked = parser.parse_args(arguments)
    if asked.verb == "branch":
        wanted = asked.branch or asked.name
        branch(paths, asked.name, wanted)
        print(f"Commit your work, then `git switch {wanted}` and `make train`: the gate judges.")
        return
    if asked.verb == "start":
        values = parse(asked.set)
        name = asked.name or default_name(values)
        start(paths, params, check, values, name)
    print(*aligned(table(paths)), sep="\n")
    if asked.verb == "start":
        print(f"`.venv/bin/dvc exp branch {name}` makes a git branch of it.")
