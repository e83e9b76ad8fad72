"""`make reproduce`: train a version again from its commit and data, and compare the results.

Everything happens in a temporary clone: working tree, registry and DVC's cache stay as they are.
Exit code 0: identical; 1: something differs, and a table lists it; 2: it cannot be done.
"""

import shutil
import sys
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from ..console import aligned
from ..files import read_json
from ..lineage import git, machine
from ..models.model import load, model_hash
from ..models.types import Floats
from ..project import Paths, UserError, load_settings, run
from .compare import Row, differing
from .experiment import checkout, dvc

if TYPE_CHECKING:
    from ..tracking.registry import Version

HASH, REQUIREMENTS = "model hash", "requirements/base.txt"


def differences(
    then: Mapping[str, object], now: Mapping[str, object], scores: tuple[Floats, Floats]
) -> list[Row]:
    """List the results that differ, such as metrics, as rows of a name and both values."""
    rows = differing(then, now)
    apart = np.abs(scores[0] - scores[1]).reshape(len(scores[0]), -1).max(axis=1)
    if count := np.count_nonzero(apart):
        found = f"{count:,} differ, by {apart.max():.3g} at most"
        rows.append(("predictions", f"{len(apart):,}", found))
    return rows


def require_commit(version: "Version", paths: Paths) -> str:
    """The commit of a version; raises UserError if its code cannot be recovered."""
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


def train_again(version: "Version", copy: Paths) -> None:
    """Run every stage from `validate` to `evaluate` in the copy; nothing comes from a cache.

    The data are those of its dvc.lock; raises UserError where no cache or remote has them, or where
    a stage fails.
    """
    site = str(copy.root / ".dvc" / "site")
    try:
        dvc(copy.root, "pull", "data/raw", DVC_SITE_CACHE_DIR=site)
    except UserError as error:
        raise UserError(
            f"the data of {version} ({version.tags['data_version']}) are neither in DVC's cache "
            f"nor in its remote; `dvc push` them from where they are. {error}"
        ) from error
    dvc(copy.root, "freeze", "ingest")
    command = ("repro", "--force", "--no-commit", "evaluate")
    dvc(copy.root, *command, show=True, DVC_SITE_CACHE_DIR=site)


def reproduce(paths: Paths, *names: str) -> None:
    """Train a version again and print what differs; exit code 1 where something does."""
    if len(names) != 1:
        raise UserError("usage: make reproduce VERSION=3 (or an alias)")
    from ..tracking import registry as tracking

    registry = tracking.connect(paths, load_settings(paths))
    version = registry.find(names[0])
    commit, lock = require_commit(version, paths), registry.artifact(version, paths.dvc_lock.name)
    with checkout(commit, paths) as copy:
        shutil.copy(lock, copy.dvc_lock)
        print(f"{version}: training again from commit {commit[:10]} in {copy.root}", flush=True)
        train_again(version, copy)
        test = pl.read_parquet(copy.interim / "test" / "*.parquet")
        logged = registry.record(version).metrics
        scores = registry.load(version.name).score(test), load(copy.candidate).score(test)
        metrics = {k: v for k, v in read_json(copy.metrics)["test"].items() if v is not None}
        then = {name: logged[f"test_{name}"] for name in metrics if f"test_{name}" in logged}
        digest = model_hash(copy.candidate)
    hashes = {HASH: version.tags["model_hash"][:12]}, {HASH: digest[:12]}
    rows = differences(hashes[0] | then, hashes[1] | metrics, scores)
    if rows:
        # The environment may be the cause.
        files = registry.artifact(version, "environment/base.txt"), paths.requirements
        locks = ({REQUIREMENTS: sha256(file.read_bytes()).hexdigest()[:12]} for file in files)
        rows += differing(version.tags, machine(), machine()) + differing(*locks)
        print(f"{version} is not reproduced; what differs:")
        print(*aligned([("", "registered", "trained again"), *rows]), sep="\n")
        sys.exit(1)
    print(
        f"{version} is reproduced: the same model (hash {digest[:12]}), "
        f"{len(test):,} equal predictions, equal metrics."
    )


def main(paths: Paths, arguments: Sequence[str]) -> None:
    """Train VERSION again; a UserError ends it with exit code 2."""
    run(lambda: reproduce(paths, *arguments), code=2)
