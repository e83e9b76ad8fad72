"""Bring a checkout to life, step by step. What cannot be done is listed; a second run finishes it.

setup: everything · environment: .venv from the hashed locks · dvc: repository and DVC
repository: repository and first commit

Standard library only, and readable by old Pythons, so that they can be told that they are too old.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
LOCKS = [ROOT / "requirements" / name for name in ("base.txt", "dev.txt", "serving.txt")]
LOCKS = [lock for lock in LOCKS if lock.exists()]
NEW_ENOUGH = "import sys; sys.exit(sys.version_info < (3, 11))"
DVC_FILES = [".dvc/.gitignore", ".dvc/config"]
DVC_CONFIG = "[core]\n    analytics = false\n    check_update = false\n"

# The caller may say how packages are reached, not where they go or which repository this is.
FOREIGN = re.compile(
    r"PIP_(?!(CACHE_DIR|(CLIENT_)?CERT|CONFIG_FILE|DEFAULT_TIMEOUT|(EXTRA_)?INDEX_URL|FIND_LINKS"
    r"|NO_INDEX|PROXY|RETRIES|TRUSTED_HOST)$)"
    r"|(CONDA_PREFIX|PYTHONHOME|PYTHONPATH|VIRTUAL_ENV|__PYVENV_LAUNCHER__)$"
    r"|(UV_PROJECT_ENVIRONMENT|UV_PYTHON|UV_SYSTEM_PYTHON)$"
    r"|GIT_(DIR|INDEX_FILE|OBJECT_DIRECTORY|PREFIX|WORK_TREE)$"
)

STRANGER = (
    "git does not know you; say `git config --global user.name NAME` and"
    " `git config --global user.email ADDRESS`."
)


class Left(Exception):
    """A step that could not be done, with the sentence that says what to do."""


class Unwanted(Exception):
    """A step that this folder must do without, with the sentence that says why."""


def surroundings() -> dict[str, str]:
    """The caller's environment variables without those that belong to other projects."""
    kept = {key: value for key, value in os.environ.items() if not FOREIGN.match(key)}
    kept.update(DVC_NO_ANALYTICS="1", PIP_DISABLE_PIP_VERSION_CHECK="1", LC_ALL="C")
    try:
        cache = Path(kept.get("UV_CACHE_DIR") or Path.home() / ".cache" / "uv")
        cache.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):
        kept["UV_NO_CACHE"] = "1"
    return kept


def ask(*command: str | Path, visible: bool = False) -> subprocess.CompletedProcess[str]:
    """Run a command for its answer, or in full view."""
    output = None if visible else subprocess.PIPE
    return subprocess.run(
        [str(part) for part in command],
        cwd=ROOT,
        env=surroundings(),
        check=False,
        stdout=output,
        stderr=output,
        text=True,
    )


def do(*command: str | Path, otherwise: str = "") -> None:
    """Run a command, in full view where `otherwise` says what its failure means, or raise Left."""
    done = ask(*command, visible=bool(otherwise))
    if done.returncode:
        words = re.search(r"^(?!Traceback)\S.*", f"{done.stderr}\n{done.stdout}", re.MULTILINE)
        said = f"`{Path(command[0]).name} {command[1]}` says: {words.group() if words else 'no'}"
        raise Left(otherwise or said)


def stamp() -> Path:
    """The file that says: this .venv, in this place, holds what these locks say."""
    content = f"{VENV.resolve()}\n".encode() + b"".join(lock.read_bytes() for lock in LOCKS)
    checksum = subprocess.run(["cksum"], input=content, stdout=subprocess.PIPE, check=True).stdout
    return VENV / f".ready-{checksum.decode().split()[0]}"


def find_python() -> str:
    """The first interpreter that is new enough."""
    for name in [os.environ.get("PYTHON"), "python3", "python3.13", "python3.12", "python3.11"]:
        if name and shutil.which(name) and not ask(name, "-c", NEW_ENOUGH).returncode:
            return name
    raise Left("Python 3.11 or newer is needed; install it or name it: `make setup PYTHON=...`.")


def find_uv() -> str | None:
    """uv of this environment, else the user's own."""
    return shutil.which("uv", path=str(VENV / "bin")) or shutil.which("uv")


def is_usable() -> bool:
    """Whether .venv is whole and was made where it now lies: its scripts name the place."""
    activate = VENV / "bin" / "activate"
    return (
        activate.exists()
        and str(VENV.resolve()) in activate.read_text(encoding="utf-8")
        and PYTHON.exists()
        and not ask(PYTHON, "-c", NEW_ENOUGH).returncode
        and find_uv() is not None
    )


def create_venv() -> None:
    """A new .venv that has uv within reach."""
    python = find_python()
    shutil.rmtree(VENV, ignore_errors=True)
    if shutil.which("uv"):
        do("uv", "venv", "--quiet", "--python", python, VENV, otherwise="uv made no .venv.")
        return
    broken = f"{python} has no working venv module; install python3-venv or uv."
    do(python, "-m", "venv", VENV, otherwise=broken)
    print("environment: installing uv into .venv")
    pin = re.search(r"^uv==(.*\\\n)*.*", LOCKS[1].read_text(encoding="utf-8"), re.MULTILINE)
    assert pin, "requirements/dev.txt locks no uv"
    (VENV / "uv.txt").write_text(pin.group(), encoding="utf-8")
    pip = (PYTHON, "-m", "pip", "install", "--quiet", "--require-hashes", "--only-binary=:all:")
    unreached = "uv could not be installed; is there a network?"
    do(*pip, "--requirement", VENV / "uv.txt", otherwise=unreached)


def environment() -> str:
    """.venv with exactly what the locks name, and the project itself."""
    if stamp().exists():
        return "ready"
    for old in VENV.glob(".ready-*"):
        old.unlink()
    if not is_usable():
        create_venv()
    locked = "".join(lock.read_text(encoding="utf-8") for lock in LOCKS)
    packages = len(set(re.findall(r"^\S+==", locked, re.MULTILINE)))
    print(f"environment: installing {packages} locked packages into .venv, about 1.3 GB")
    progress = [] if sys.stderr.isatty() else ["--quiet"]
    do(
        *(find_uv() or "uv", "pip", "sync", "--python", PYTHON, "--compile-bytecode", *progress),
        *("--require-hashes", "--build-constraint", LOCKS[0], *LOCKS),
        otherwise="the packages could not be installed; is there a network?",
    )
    # The locked uv carries the build backend that pyproject.toml asks for: no download.
    do(
        *(VENV / "bin" / "uv", "pip", "install", "--quiet", "--python", PYTHON),
        *("--no-deps", "--editable", ROOT),
        otherwise="the project could not be installed into .venv.",
    )
    stamp().touch()
    return "ready"


def outer_repository() -> Path | None:
    """The repository of someone else that this project lies in and that does not ignore it."""
    if not shutil.which("git"):
        raise Left("git is needed; install it.")
    if (ROOT / ".git").exists():
        return None
    ignored = ask("git", "check-ignore", "--quiet", ".")
    if ignored.returncode == 1:
        return Path(ask("git", "rev-parse", "--show-toplevel").stdout.strip())
    if ignored.returncode and "not a git repository" not in ignored.stderr:
        raise Left(f"git says: {' '.join(ignored.stderr.split())}")
    return None


def repository() -> str:
    """The project's own repository, on branch main."""
    outer = outer_repository()
    if outer:
        raise Unwanted(f"the project lies in the repository {outer}; commit it there.")
    if not (ROOT / ".git").exists():
        do("git", "-c", "init.defaultBranch=main", "init", "--quiet")
    return "ready"


def dvc() -> str:
    """DVC beside git, asked not to report home."""
    outer = outer_repository()
    if not stamp().exists():
        raise Left("waits for the environment.")
    if not (ROOT / ".dvc" / ".gitignore").exists():
        do(VENV / "bin" / "dvc", "init", "--quiet", *(["--subdir"] if outer else []))
    config = ROOT / ".dvc" / "config"
    if not config.exists() or not config.stat().st_size:
        config.write_text(DVC_CONFIG, encoding="utf-8")
    return "ready"


def hooks() -> str:
    """The gate before each commit, and DVC's hooks."""
    outer = outer_repository()
    if outer:
        raise Unwanted(f"hooks belong to {outer}; run `make check` before you commit.")
    if not stamp().exists():
        raise Left("waits for the environment.")
    do(VENV / "bin" / "pre-commit", "install")
    return "ready"


def record(message: str, *paths: str) -> None:
    """Commit these paths, else everything; whom git does not know is told so."""
    # A file that is "big" goes into one pack: sooner written than a hundred files of their own.
    do("git", "-c", "core.bigFileThreshold=1", "add", "--", *(paths or ["."]))
    try:
        quietly = ("-c", "maintenance.auto=false", "commit", "--quiet", "--no-verify")
        do("git", *quietly, "--message", message, "--", *paths)
    except Left:
        if ask("git", "var", "GIT_COMMITTER_IDENT").returncode:
            raise Left(STRANGER) from None
        raise


def commit() -> str:
    """Everything where there is no commit yet, else what DVC's late initialisation added."""
    outer = outer_repository()
    if outer:
        raise Unwanted(f"the project lies in the repository {outer}; commit it there.")
    paths, message = [], f"Start {ROOT.name} from cookiecutter-mlops-loop"
    committed = ask("git", "ls-tree", "HEAD", *DVC_FILES)
    if not committed.returncode:
        paths, message = [name for name in DVC_FILES if (ROOT / name).exists()], "Initialise DVC"
        if committed.stdout or not paths:
            return "ready"
    record(message, *paths)
    return message


VERBS = {
    "setup": {
        "git repository": repository,
        "environment": environment,
        "DVC": dvc,
        "commit hooks": hooks,
        "first commit": commit,
    },
    "environment": {"environment": environment},
    "dvc": {"git repository": repository, "DVC": dvc},
    "repository": {"git repository": repository, "first commit": commit},
}


def main(verb: str) -> int:
    """Do every step of the verb that can be done; 1 where one is left."""
    left = []
    for name, step in VERBS[verb].items():
        try:
            print(f"{name}: {step()}")
        except Unwanted as reason:
            print(f"{name}: none, because {reason}")
        except Left as reason:
            left.append(f"  {name}: {reason}")
    if left:
        print("\nLeft to do:", *left, f"Then run `make setup` in {ROOT}.", sep="\n")
    return bool(left)


if __name__ == "__main__":
    sys.stdout.reconfigure(line_buffering=True)
    try:
        sys.exit(main(sys.argv[1]))
    except KeyboardInterrupt:
        sys.exit("\nInterrupted; `make setup` continues here.")
