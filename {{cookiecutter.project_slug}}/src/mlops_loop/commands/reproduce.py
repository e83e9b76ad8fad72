"""A version trained again from its commit and its data, and held against what was registered.

Everything happens in a temporary clone: working tree, registry and DVC's cache stay as they are.
Exit code 0: identical; 1: something differs, and a table says what; 2: it cannot be done.
"""

import hashlib
import logging
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from subprocess import PIPE, STDOUT, Popen, check_call
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from ..console import aligned
from ..files import read_json
from ..lineage import git, machine
from ..models.model import load, model_hash
from ..models.types import Floats
from ..project import Paths, UserError, load_settings
from .compare import Row, differing

if TYPE_CHECKING:
    from ..tracking.registry import Registry, Version

REQUIREMENTS = "requirements/base.txt"


@dataclass(frozen=True)
class Fingerprint:
    """What a training can be recognised by, and what it ran on."""

    model_hash: str
    scores: Floats
    metrics: dict[str, float]
    environment: dict[str, str]


def differences(then: Fingerprint, now: Fingerprint) -> list[Row]:
    """What differs, as rows of a name and both values; empty where the trainings are identical.

    The environment is listed only where the results differ, as a possible cause.
    """
    hashes = ({"model hash": each.model_hash[:12]} for each in (then, now))
    rows = differing(*hashes)
    rows += _scores(then.scores, now.scores)
    rows += differing(then.metrics, now.metrics)
    return rows and rows + differing(then.environment, now.environment)


def _scores(then: Floats, now: Floats) -> list[Row]:
    apart = np.abs(then - now).reshape(len(then), -1).max(axis=1)
    count = np.count_nonzero(apart)
    if not count:
        return []
    return [("predictions", f"{len(then):,}", f"{count:,} differ, by {apart.max():.3g} at most")]


def require_commit(version: "Version", paths: Paths) -> str:
    """The commit of a version; raises UserError that says why its code cannot be recovered."""
    commit = version.tags.get("git_commit", "none")
    if commit == "none":
        raise UserError(f"{version} was trained outside of git; commit, then `make train`.")
    if version.tags.get("git_dirty") != "false":
        raise UserError(
            f"{version} was trained from a tree with uncommitted changes, so its code cannot be "
            "recovered; commit, then `make train`."
        )
    if git(paths.root, "cat-file", "-t", commit) != "commit":
        raise UserError(
            f"{version} was trained at commit {commit}, which this repository does not have; "
            "`git fetch` it from where it was trained."
        )
    return commit


def check_out(commit: str, paths: Paths, folder: Path) -> Paths:
    """The project at a commit, in a clone in `folder`."""
    # `git worktree` would leave a trace in this repository when it is killed; a clone leaves none.
    top = git(paths.root, "rev-parse", "--show-toplevel")
    for command in (
        ("clone", "--quiet", "--shared", "--no-checkout", top, folder),
        ("-C", folder, "checkout", "--quiet", "--detach", commit),
    ):
        check_call(["git", *command])
    root = folder / git(paths.root, "rev-parse", "--show-prefix")
    return Paths(root, root / paths.package.relative_to(paths.root))


def restore_data(version: "Version", copy: Paths, paths: Paths) -> None:
    """Fill data/raw of the copy from this project's DVC cache or remote, as its dvc.lock says.

    Raises UserError where they do not have it.
    """
    from dvc.repo import Repo

    logging.getLogger("dvc").setLevel(logging.CRITICAL)
    with Repo(paths.root) as ours:
        config = {
            "core": {**ours.config["core"], "site_cache_dir": str(copy.root / ".dvc" / "site")},
            "cache": {**ours.config["cache"], "dir": ours.cache.local_cache_dir},
            "remote": ours.config["remote"],
        }
    with Repo(copy.root, config=config) as repo:
        try:
            repo.pull(str(copy.raw))
        except Exception as error:  # whatever DVC or a storage library raises
            raise UserError(
                f"the data of {version} ({version.tags['data_version']}) come neither from DVC's "
                f"cache nor from its remote ({type(error).__name__}); `dvc push` them from where "
                "they are."
            ) from error
        repo.freeze(f"{copy.root / 'dvc.yaml'}:ingest")


def repeat(copy: Paths) -> None:
    """Run every stage from `validate` to `evaluate` in the copy; nothing comes from a cache.

    Raises UserError where one fails.
    """
    search = os.pathsep.join
    variables = {
        **os.environ,
        "PATH": search([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
        "PYTHONPATH": search([str(copy.root / "src"), os.environ.get("PYTHONPATH", "")]),
        "PYTHONUNBUFFERED": "1",
        "MLFLOW_TRACKING_URI": f"sqlite:///{copy.store}",
        "DVC_SITE_CACHE_DIR": str(copy.root / ".dvc" / "site"),
    }
    command = [sys.executable, "-m", "dvc", "repro", "--force", "--no-commit", "evaluate"]
    with Popen(
        command, cwd=copy.root, env=variables, stdout=PIPE, stderr=STDOUT, text=True
    ) as process:
        said = ""
        for line in process.stdout or ():
            if line.startswith("Running stage"):
                print(line, end="", flush=True)
                said = ""
            said += line
    if process.returncode:
        raise UserError(f"a stage of that commit fails here:\n{said}")


def fingerprints(
    registry: "Registry", version: "Version", copy: Paths, paths: Paths
) -> tuple[Fingerprint, Fingerprint]:
    """What was registered, and what the copy has trained, both on the copy's test split."""
    test = pl.read_parquet(copy.interim / "test" / "*.parquet")
    metrics = {k: v for k, v in read_json(copy.metrics)["test"].items() if v is not None}
    logged = registry.record(version).metrics
    tags = version.tags
    then = Fingerprint(
        tags["model_hash"],
        registry.load(version.name).score(test),
        {name: logged[f"test_{name}"] for name in metrics if f"test_{name}" in logged},
        {
            **{name: tags.get(name, "-") for name in machine()},
            REQUIREMENTS: _digest(registry.artifact(version, "environment/base.txt")),
        },
    )
    now = Fingerprint(
        model_hash(copy.candidate),
        load(copy.candidate).score(test),
        metrics,
        {**machine(), REQUIREMENTS: _digest(paths.requirements)},
    )
    return then, now


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]


def reproduce(
    registry: "Registry", version: "Version", paths: Paths
) -> tuple[Fingerprint, Fingerprint]:
    """Train a version again; raises UserError where that cannot be done."""
    commit = require_commit(version, paths)
    lock = registry.artifact(version, paths.dvc_lock.name)
    with TemporaryDirectory(prefix="reproduce-", ignore_cleanup_errors=True) as folder:
        copy = check_out(commit, paths, Path(folder))
        shutil.copy(lock, copy.dvc_lock)
        restore_data(version, copy, paths)
        print(f"{version}: commit {commit[:10]} and its data are in {folder}", flush=True)
        repeat(copy)
        return fingerprints(registry, version, copy, paths)


def main(paths: Paths, arguments: Sequence[str]) -> None:
    """Say whether VERSION is reproduced; exit code 1 where something differs."""
    if len(arguments) != 1:
        raise UserError("usage: make reproduce VERSION=3 (or an alias)")
    from ..tracking import registry as tracking

    registry = tracking.connect(paths, load_settings(paths))
    version = registry.find(arguments[0])
    then, now = reproduce(registry, version, paths)
    rows = differences(then, now)
    if not rows:
        print(
            f"{version} is reproduced: the same model (hash {now.model_hash[:12]}), "
            f"{len(now.scores):,} equal predictions, equal metrics."
        )
        return
    print(f"{version} is not reproduced; what differs:")
    print(*aligned([("", "registered", "trained again"), *rows]), sep="\n")
    sys.exit(1)
