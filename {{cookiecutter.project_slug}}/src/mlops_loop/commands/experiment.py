"""`make experiment`: try other parameters with `dvc exp`, in a checkout of its own.

It ends with `evaluate` and is logged as a run: nothing is registered.
"""

import re
from collections.abc import Callable, Sequence
from typing import TypeVar

from ..config import Section, changed
from ..console import parse
from ..lineage import git
from ..project import Paths, UserError, load_settings
from .checkout import checkout, dvc

Params = TypeVar("Params", bound=Section)
USAGE = 'name the changes: make experiment SET="train.learning_rate=0.05 train.max_trees=100"'
TABLE = ("--only-changed", "--md", "--drop", r".*/|Created|baseline\.|rows\.|contract\.yaml")


def start(
    paths: Paths, params: Params, check: Callable[[Params], object], changes: str, name: str
) -> str:
    """Run an experiment with changes such as `train.max_trees=100`, and log it; returns its name.

    Raises UserError, before anything runs, for values that are not valid, or a name that is taken.
    """
    from ruamel.yaml import YAML

    pairs = [change.partition("=") for change in changes.split()]
    if not pairs or not all(key and value for key, _, value in pairs):
        raise UserError(USAGE)
    yaml = YAML(typ="safe")
    params = changed(params, {key: yaml.load(value) for key, _, value in pairs})
    check(params)
    missing = git(paths.root, "ls-files", "--others", "--exclude-standard", "src", "data")
    if missing:
        listed = ", ".join(missing.splitlines())
        raise UserError(f"git does not track {listed}; `git add` what the experiment needs.")
    from ..tracking import registry as tracking

    registry = tracking.connect(paths, load_settings(paths))
    words = "-".join(f"{key.rpartition('.')[2]}-{value}" for key, _, value in pairs)
    name = name or re.sub(r"[^A-Za-z0-9_.]+", "-", words).strip("-.")
    options = [word for change in changes.split() for word in ("--set-param", change)]
    if paths.dvc_lock.exists():
        options += ["--copy-paths", paths.dvc_lock.name]
    run = ("exp", "run", "--temp", *options, "--name", name, "evaluate")
    dvc(paths.root, *run, show=True, TRIGGER="experiment")
    head = git(paths.root, "rev-parse", "HEAD")
    commit = git(paths.root, "rev-parse", f"refs/exps/{head[:2]}/{head[2:]}/{name}")
    with checkout(commit, paths) as copy:
        dvc(copy.root, "checkout", "prepare", "train", "evaluate")
        tracking.log_evaluation(registry, copy, tracking.ensure_run(registry, copy, params))
    return name


def main(
    paths: Paths, params: Params, check: Callable[[Params], object], arguments: Sequence[str]
) -> None:
    """`start` an experiment, or `list` those of the current commit."""
    verb, *options = arguments
    args = parse("experiment", options, set="", name="")
    if verb == "start":
        name = start(paths, params, check, args.set, args.name)
    print(dvc(paths.root, "exp", "show", *TABLE))
    if verb == "start":
        print(f"`.venv/bin/dvc exp branch {name}` makes a git branch of it.")
