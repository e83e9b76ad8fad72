"""The clone in which a retraining happens, its commits, and what comes back of them."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from ..commands.experiment import checkout
from ..commands.pipeline import dvc, run_module
from ..lineage import author, git
from ..project import Paths, UserError, load_settings
from ..serving.log_tables import url

if TYPE_CHECKING:
    from ..tracking.registry import Version

# A commit of the loop runs no hook, asks for no key, and starts no housekeeping.
PLAIN = "-c commit.gpgsign=false -c core.hooksPath=/dev/null -c maintenance.auto=false -c gc.auto=0"


@dataclass(frozen=True)
class Clone:
    """A clone (`copy`) of a project (`paths`) at its last commit (`base`)."""

    paths: Paths
    copy: Paths
    base: str
    trigger: str

    def repro(self, *arguments: str) -> None:
        """Run stages, none from DVC's cache of runs: those of a lost clone name its commit."""
        log = {"DATABASE_URL": url(self.paths), "TRIGGER": self.trigger}
        dvc(self.copy.root, "repro", "--no-run-cache", *arguments, show=True, **log)

    def tune(self) -> None:
        """Search for parameters, which are left in params.yaml if they are better."""
        self.repro("featurize")
        store = {"MLFLOW_TRACKING_URI": load_settings(self.paths).tracking_uri}
        run_module(self.copy.root, self.paths.package.name, "tune", show=True, **store)

    def bring_data(self) -> None:
        """Take the data that the project has: external files, and raw ones as far as DVC knows."""
        shutil.copytree(self.paths.external, self.copy.external, dirs_exist_ok=True)
        if self.paths.dvc_lock.exists():
            shutil.copy(self.paths.dvc_lock, self.copy.dvc_lock)
            with suppress(UserError):  # what is missing is fetched again
                dvc(self.copy.root, "checkout", "--quiet", "--allow-missing", "ingest")

    def commit(self, message: str, parent: str, *files: str) -> str:
        """Commit files and folders on top of `parent`; returns the commit."""
        self.git("reset", "--quiet", parent)
        self.git("add", "--all", "--", *files)
        self.git("commit", "--quiet", "--allow-empty", "--message", message)
        return git(self.copy.root, "rev-parse", "HEAD")

    def restore(self, commit: str) -> None:
        """Put the files and the results of a commit in place."""
        if git(self.copy.root, "rev-parse", "HEAD") != commit:
            self.git("checkout", "--quiet", "--force", "--detach", commit)
            dvc(self.copy.root, "checkout", "--quiet", "--force")

    def keep(self, commit: str, *refs: str) -> None:
        """Bring a commit into the project, as these references."""
        self.git("push", "--quiet", "origin", *(f"{commit}:{ref}" for ref in refs))

    def find_branch(self, today: date) -> str:
        """A name for a branch that the project does not have."""
        taken = git(self.paths.root, "branch", "--list", "--format=%(refname:short)", "loop/*")
        names = (f"loop/{today}-{number}" for number in count(1))
        return next(name for name in names if name not in taken.split())

    def find_commit(self, version: "Version") -> str:
        """The commit of a version, if it is at hand."""
        commit = version.tags.get("git_commit", "")
        return commit if git(self.copy.root, "cat-file", "-t", commit) == "commit" else ""

    def publish(self, branch: str) -> None:
        """Push data and branch where there are remotes; a failure is said, and stops nothing."""
        try:
            if any("url =" in file.read_text() for file in self.copy.root.glob(".dvc/config*")):
                dvc(self.copy.root, "push", "--quiet")
            for remote in git(self.paths.root, "remote").split()[:1]:
                self.git("push", "--quiet", remote, branch, folder=self.paths.root)
        except UserError as error:
            print(f"warning: {branch} is not shared: {error}", file=sys.stderr)

    def git(self, *arguments: str, folder: Path | None = None) -> None:
        """Run git in the clone, or in a folder; raises UserError with what it says."""
        command = ["git", *PLAIN.split(), *arguments]
        place = folder or self.copy.root
        done = subprocess.run(command, cwd=place, capture_output=True, text=True, check=False)
        if done.returncode:
            raise UserError(f"git {arguments[0]}: {done.stderr.strip()}")


@contextmanager
def open_clone(paths: Paths, trigger: str) -> Iterator[Clone]:
    """Clone the project for a while; raises UserError where it has no commit."""
    base = git(paths.root, "rev-parse", "--verify", "--quiet", "HEAD")
    if not base:
        raise UserError("git has no commit to train from; commit the project first.")
    with checkout(base, paths) as copy:
        clone = Clone(paths, copy, base, trigger)
        # It knows the user's global settings alone.
        clone.git("config", "user.name", author(paths.root))
        mail = git(paths.root, "config", "user.email")
        clone.git("config", "user.email", mail or "loop@localhost")
        yield clone
