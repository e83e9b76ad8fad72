"""Where a model comes from: code, data, parameters, features, author and machine."""

import getpass
import hashlib
import os
import platform
import subprocess
from functools import cache
from importlib.metadata import version
from pathlib import Path

from ruamel.yaml import YAML

from .config import Section
from .project import Paths, Settings

# What the pipeline itself writes does not make the code that trained a model dirty.
NOT_CODE = (":(exclude)dvc.lock", ":(exclude)reports", ":(exclude).dvc")


def lineage(paths: Paths, settings: Settings, params: Section) -> dict[str, str]:
    """The tags that every run and version carries."""
    changes = git(paths.root, "status", "--porcelain", "--", ".", *NOT_CODE)
    return {
        "git_commit": git(paths.root, "rev-parse", "HEAD") or "none",
        "git_dirty": "true" if changes else "false",
        "data_version": data_version(paths.dvc_lock),
        "params_hash": _digest(params.model_dump_json(exclude={"serving"}).encode()),
        "features_hash": _digest((paths.processed / "features.json").read_bytes()),
        "template_version": settings.template_version,
        "trigger": settings.trigger,
        "author": author(paths),
        **machine(),
    }


def machine() -> dict[str, str]:
    """The tags of what a program runs on."""
    return {
        "python": platform.python_version(),
        "hardware": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
    }


@cache
def runtime() -> dict[str, str]:
    """The versions of what a prediction depends on."""
    names = ("lightgbm", "numpy", "polars", "scikit-learn")
    return {"python": platform.python_version()} | {name: version(name) for name in names}


def author(paths: Paths) -> str:
    """Who works here: git's name, else the system's."""
    return git(paths.root, "config", "user.name") or getpass.getuser()


def git(folder: Path, *arguments: str) -> str:
    """The output of a git command; empty where there is no git, repository or commit.

    Reads only: git is told not to refresh its index on the way, which the user's own git may hold.
    """
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
    stages = YAML(typ="safe").load(dvc_lock.read_text(encoding="utf-8")).get("stages", {})
    outs = stages.get("ingest", {}).get("outs", [])
    return str(next((out["md5"] for out in outs if out["path"] == "data/raw"), "untracked"))


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
