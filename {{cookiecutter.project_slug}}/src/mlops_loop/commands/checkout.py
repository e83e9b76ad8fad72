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


def dvc(root: Path, *arguments: str, show: bool = False, **variables: str) -> str:
    """Run DVC in a checkout, whose own code its stages use; returns the output, unless shown.

    Raises UserError if it fails.
    """
    # DVC wraps what is longer than a line.
    ours = {"PYTHONPATH": "src", "PYTHONUNBUFFERED": "1", "COLUMNS": "9999"}
    environment = {**os.environ, **ours, **variables}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    command, output = [sys.executable, "-m", "dvc", *arguments], None if show else subprocess.PIPE
    done = subprocess.run(command, cwd=root, env=environment, stdout=output, text=True, check=False)
    if done.returncode:
        raise UserError(f"`dvc {' '.join(arguments)}` failed; see above.")
    return done.stdout or ""
