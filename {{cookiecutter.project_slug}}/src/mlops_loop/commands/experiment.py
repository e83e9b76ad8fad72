"""`make experiment`: try other parameters with `dvc exp`, in a checkout of its own.

It ends with `evaluate` and is logged as a run: nothing is registered.
"""

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

from ..config import Section, changed, read_yaml
from ..console import Arguments, parse
from ..lineage import git
from ..project import Paths, UserError, load_settings
from .pipeline import dvc

Params = TypeVar("Params", bound=Section)
HIDDEN = r".*/|Created|baseline\.|held_out\.|prediction_interval|rows\.|contract\.yaml"
TABLE = ("--only-changed", "--md", "--drop", HIDDEN)


@contextmanager
def checkout(commit: str, paths: Paths) -> Iterator[Paths]:
    """Clone the project at a commit, with this project's DVC cache and remotes, for a while."""
    with TemporaryDirectory(prefix="checkout-", ignore_cleanup_errors=True) as folder:
        # `git worktree` would leave a trace in this repository when it is killed.
        source = git(paths.root, "rev-parse", "--show-toplevel")
        clone = ["git", "clone", "--quiet", "--shared", "--no-checkout", source, folder]
        subprocess.check_call(clone)
        subprocess.check_call(["git", "checkout", "--quiet", "--detach", commit], cwd=folder)
        root = Path(folder, git(paths.root, "rev-parse", "--show-prefix"))
        for file in (paths.root / ".dvc").glob("config*"):
            shutil.copy(file, root / ".dvc")
        # Relative places in these files are relative to the project.
        dvc(root, "cache", "dir", "--local", dvc(paths.root, "cache", "dir").strip())
        for line in dvc(paths.root, "remote", "list").splitlines():
            name, url = line.removesuffix("(default)").strip().split(maxsplit=1)
            dvc(root, "remote", "modify", "--local", name, "url", url)
        yield Paths(root, root / paths.package.relative_to(paths.root))


def start(
    paths: Paths, params: Params, check: Callable[[Params], object], changes: str, name: str
) -> str:
    """Run an experiment with changes such as `train.max_trees=100`, and log it; returns its name.

    Raises UserError, before anything runs, for values that are not valid, or a name that is taken.
    """
    pairs = [change.partition("=") for change in changes.split()]
    if not all(key and value for key, _, value in pairs):
        raise UserError(f'SET="{changes}": write SET="train.learning_rate=0.05 train.max_trees=9"')
    params = changed(params, {key: read_yaml(value) for key, _, value in pairs})
    check(params)
    missing = git(paths.root, "ls-files", "--others", "--exclude-standard", "src", "data")
    if missing:
        listed = ", ".join(missing.splitlines())
        raise UserError(f"git does not track {listed}; `git add` what the experiment needs.")
    from ..tracking import registry as tracking

    registry = tracking.connect(paths, load_settings(paths))
    words = "-".join(f"{key.rpartition('.')[2]}-{value}" for key, _, value in pairs)
    name = name or re.sub(r"[^A-Za-z0-9_.]+", "-", words).strip("-.")
    options = [f"--set-param={change}" for change in changes.split()]
    if paths.dvc_lock.exists():
        options += ["--copy-paths", paths.dvc_lock.name]
    run = ("exp", "run", "--temp", *options, "--name", name, "evaluate")
    dvc(paths.root, *run, show=True, TRIGGER="experiment")
    head = git(paths.root, "rev-parse", "HEAD")
    commit = git(paths.root, "rev-parse", f"refs/exps/{head[:2]}/{head[2:]}/{name}")
    with checkout(commit, paths) as copy:
        dvc(copy.root, "checkout", "prepare", "train", "evaluate")
        run_id = tracking.ensure_run(registry, copy, params, "experiment", name)
        tracking.log_evaluation(registry, copy, run_id)
    return name


def main(
    paths: Paths, params: Params, check: Callable[[Params], object], arguments: Arguments
) -> None:
    """Start an experiment with the changes of SET, if any; list those of the current commit."""
    args = parse("experiment", arguments, set="", name="")
    if args.set:
        name = start(paths, params, check, args.set, args.name)
    print(dvc(paths.root, "exp", "show", *TABLE))
    if args.set:
        print(f"`.venv/bin/dvc exp branch {name}` makes a git branch of it.")
