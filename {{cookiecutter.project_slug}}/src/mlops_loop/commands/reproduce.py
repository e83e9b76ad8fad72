"""`make reproduce`: train a version again from its commit and data, and compare the results.

Everything happens in a temporary clone: working tree, registry and DVC's cache stay as they are.
Exit code 0: identical; 1: something differs, and a table lists it; 2: it cannot be done.
"""

import shutil
import sys
from hashlib import sha256
from typing import TYPE_CHECKING

from ..config import read_yaml
from ..console import Arguments, aligned, parse
from ..files import read_json
from ..lineage import git, machine, require_commit
from ..models.model import model_hash
from ..project import Paths, UserError, run
from ..tracking import open_registry
from .compare import differing
from .experiment import checkout
from .pipeline import dvc

if TYPE_CHECKING:
    from ..tracking.registry import Version

HASH, REQUIREMENTS = "model hash", "requirements/base.txt"


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


def reproduce(paths: Paths, name: str) -> None:
    """Train a version again and print what differs; exit code 1 where something does."""
    registry = open_registry(paths)
    version = registry.find(name)
    commit = require_commit(version.tags, str(version))
    if git(paths.root, "cat-file", "-t", commit) != "commit":
        raise UserError(
            f"{version} was trained at commit {commit}, which this repository does not have; "
            "`git fetch` it from where it was trained."
        )
    lock = registry.artifact(version, paths.dvc_lock.name)
    with checkout(commit, paths) as copy:
        shutil.copy(lock, copy.dvc_lock)
        if base := read_yaml(copy.params)["train"].get("base"):
            shutil.copytree(registry.model_files(registry.find(base)), copy.base)
        print(f"{version}: training again from commit {commit[:10]} in {copy.root}", flush=True)
        train_again(version, copy)
        metrics, digest = read_json(copy.metrics)["test"], model_hash(copy.candidate)[:12]
    logged = read_json(registry.artifact(version, "reports/metrics.json"))["test"]
    then = {HASH: version.tags["model_hash"][:12], **logged}
    rows = differing(then, {HASH: digest, **metrics})
    if rows:
        # The environment may be the cause.
        files = registry.artifact(version, REQUIREMENTS), paths.requirements
        locks = ({REQUIREMENTS: sha256(file.read_bytes()).hexdigest()[:12]} for file in files)
        rows += differing(version.tags, machine(), machine()) + differing(*locks)
        print(f"{version} is not reproduced; what differs:")
        print(*aligned([("", "registered", "trained again"), *rows]), sep="\n")
        sys.exit(1)
    print(f"{version} is reproduced: the same model (hash {digest}), equal metrics.")


def main(paths: Paths, arguments: Arguments) -> None:
    """Train VERSION again; a UserError ends it with exit code 2."""
    args = parse("reproduce", arguments, version="champion")
    run(lambda: reproduce(paths, args.version), code=2)
