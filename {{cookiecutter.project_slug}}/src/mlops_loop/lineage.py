"""Lineage of a model: code, data, parameters, features, author and machine."""

import getpass
import json
import os
import platform
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from .config import LEVELS, Section, read_yaml
from .project import Paths, Settings, UserError

Tags = dict[str, str]
# Files that the pipeline writes do not make the code dirty.
NOT_CODE = (":(exclude)dvc.lock", ":(exclude)reports", ":(exclude).dvc")


def lineage(paths: Paths, settings: Settings, params: Section) -> Tags:
    """The tags that every run and version carries."""
    changes = git(paths.root, "status", "--porcelain", "--", ".", *NOT_CODE)
    commit = git(paths.root, "rev-parse", "HEAD")
    return {
        "git_commit": commit or "none",
        "git_dirty": "false" if commit and not changes else "true",
        "data_version": data_version(paths.dvc_lock),
        "params_hash": sha256(params.model_dump_json(exclude=LEVELS).encode()).hexdigest(),
        "features_hash": sha256((paths.processed / "features.json").read_bytes()).hexdigest(),
        "contract_hash": contract_hash(paths.contract),
        "template_version": settings.template_version,
        "trigger": settings.trigger,
        "author": author(paths.root),
        **machine(),
    }


def require_commit(lineage: Mapping[str, str], model: str) -> str:
    """The commit of a model; raises UserError if its code cannot be recovered."""
    commit = lineage.get("git_commit", "none")
    if commit == "none" or lineage.get("git_dirty") != "false":
        raise UserError(
            f"{model} was trained from code that is not committed, so it cannot be recovered; "
            "commit, then train again: .venv/bin/dvc repro --force --single-item train; make train"
        )
    return commit


def contract_hash(path: Path) -> str:
    """Digest of the content of contract.yaml, whatever its comments and layout."""
    return sha256(json.dumps(read_yaml(path), default=str).encode()).hexdigest()


def author(folder: Path) -> str:
    """The name that git knows, else that of the account."""
    return git(folder, "config", "user.name") or getpass.getuser()


def machine() -> Tags:
    """The tags of Python and hardware."""
    hardware = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    return {"python": platform.python_version(), "hardware": hardware}


@cache
def runtime() -> Tags:
    """The versions of Python and of the libraries that predictions depend on."""
    names = "catboost", "lightgbm", "numpy", "polars", "scikit-learn", "xgboost", "xgboost-cpu"
    return {"python": platform.python_version()} | versions(*names)


def versions(*names: str) -> Tags:
    """The versions of those distributions that are installed."""
    found = {}
    for name in names:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def git(folder: Path, *arguments: str) -> str:
    """The output of a git command that only reads; empty where it fails or git is missing."""
    # Without optional locks git does not refresh its index, which the user's own git may hold.
    command = ["git", "--no-optional-locks", *arguments]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def data_version(dvc_lock: Path) -> str:
    """DVC's hash of data/raw; "untracked" where a stage ran without DVC."""
    if not dvc_lock.exists():
        return "untracked"
    stages = read_yaml(dvc_lock).get("stages", {})
    outs = stages.get("ingest", {}).get("outs", [])
    return str(next((out["md5"] for out in outs if out["path"] == "data/raw"), "untracked"))
