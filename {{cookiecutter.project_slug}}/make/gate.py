"""The commit gate on every file: `check` changes nothing, `fix` keeps the gate's repairs.

Both run it in a copy, because a hook repairs what it complains about.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parent.parent
# An outer git command, such as a hook that calls make, points these at its own repository.
ENVIRONMENT = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")} | {
    "MYPY_CACHE_DIR": str(ROOT / ".mypy_cache"),
}


def git(*arguments: str, cwd: Path) -> list[str]:
    """Run git and return the NUL-separated names that it prints."""
    command = ["git", *arguments]
    result = subprocess.run(command, cwd=cwd, env=ENVIRONMENT, check=True, stdout=subprocess.PIPE)
    return [os.fsdecode(name) for name in result.stdout.split(b"\0") if name]


def copy_files(names: list[str], source: Path, target: Path) -> None:
    """Copy files with their times, which mypy's cache goes by."""
    for name in names:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source / name, target / name, follow_symlinks=False)


def run_gate(copy: Path, skip: str, output: int | None = None) -> int:
    """Run the hooks on a copy of the project and return pre-commit's exit code."""
    listed = git("ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=ROOT)
    copy_files([name for name in listed if (ROOT / name).is_file()], ROOT, copy)
    git("init", "--quiet", cwd=copy)
    git("add", "--force", "--all", cwd=copy)
    (copy / ".venv").symlink_to(ROOT / ".venv")
    command = [".venv/bin/pre-commit", "run", "--all-files"]
    environment = ENVIRONMENT | {"SKIP": skip}
    return subprocess.run(command, cwd=copy, env=environment, stdout=output, check=False).returncode


def repaired(copy: Path) -> list[str]:
    """The files that hooks changed."""
    return git("diff", "--name-only", "-z", cwd=copy)


def check() -> int:
    """Report everything that the gate finds."""
    with TemporaryDirectory() as copy:
        code = run_gate(Path(copy), skip="dvc-status")
        if repaired(Path(copy)):
            print("\n`make fix` makes these repairs:", flush=True)
            subprocess.run(["git", "--no-pager", "diff"], cwd=copy, env=ENVIRONMENT, check=True)
    return code


def fix() -> int:
    """Bring the gate's repairs back, then report what is left."""
    with TemporaryDirectory() as copy:
        run_gate(Path(copy), skip="dvc-status,mypy,secrets", output=subprocess.DEVNULL)
        names = repaired(Path(copy))
        copy_files(names, Path(copy), ROOT)
    for name in names:
        print(f"repaired {name}", flush=True)
    return check()


if __name__ == "__main__":
    sys.exit({"check": check, "fix": fix}[sys.argv[1]]())
