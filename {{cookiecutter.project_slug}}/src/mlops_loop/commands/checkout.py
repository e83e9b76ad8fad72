"""Another commit of the project in a temporary clone, and DVC's commands in it."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from ..lineage import git
from ..project import Paths, UserError


@contextmanager
def checkout(commit: str, paths: Paths) -> Iterator[Paths]:
    """Clone the project at a commit, with this project's DVC cache and remotes, for a while."""
    with TemporaryDirectory(prefix="checkout-", ignore_cleanup_errors=True) as folder:
        copy = clone(commit, paths, Path(folder))
        for name in ("config", "config.local"):
            if (paths.root / ".dvc" / name).exists():
                shutil.copy(paths.root / ".dvc" / name, copy.root / ".dvc" / name)
        # Relative places in these files are relative to the project.
        dvc(copy.root, "cache", "dir", "--local", dvc(paths.root, "cache", "dir").strip())
        for line in dvc(paths.root, "remote", "list").splitlines():
            name, url = line.removesuffix("(default)").strip().split(maxsplit=1)
            dvc(copy.root, "remote", "modify", "--local", name, "url", url)
        yield copy


def clone(commit: str, paths: Paths, folder: Path) -> Paths:
    """Clone the repository at a commit into a folder; returns the project's place in it."""
    # `git worktree` would leave a trace in this repository when it is killed; a clone leaves none.
    top = git(paths.root, "rev-parse", "--show-toplevel")
    for command in (
        ("clone", "--quiet", "--shared", "--no-checkout", top, folder),
        ("-C", folder, "checkout", "--quiet", "--detach", commit),
    ):
        subprocess.check_call(["git", *command])
    root = folder / git(paths.root, "rev-parse", "--show-prefix")
    return Paths(root, root / paths.package.relative_to(paths.root))


def dvc(root: Path, *arguments: str, show: bool = False, **variables: str) -> str:
    """Run DVC in a checkout, whose own code its stages use; returns the output, unless shown.

    Raises UserError if it fails.
    """
    environment = {**os.environ, "PYTHONPATH": "src", "PYTHONUNBUFFERED": "1", **variables}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    command, output = [sys.executable, "-m", "dvc", *arguments], None if show else subprocess.PIPE
    done = subprocess.run(command, cwd=root, env=environment, stdout=output, text=True, check=False)
    if done.returncode:
        raise UserError(f"`dvc {' '.join(arguments)}` failed; see above.")
    return done.stdout or ""
