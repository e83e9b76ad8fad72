"""Keep what the answers chose, then set the project up.

Never fails: cookiecutter would delete the project. What could not be done is listed.
"""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

COOKIECUTTER = dict({{cookiecutter.items() | rejectattr(1, "mapping") | list}})
ROOT = Path.cwd()

# Each answer owns whole files or folders; those of the other answers go. A level also keeps what
# the levels before it own.
KEEP = {
    "level": {
        "training": [],
        "deployment": [
            ".dockerignore",
            ".github/workflows/cd.yml",
            ".gitlab-cd.yml",
            "deploy",
            "docs/service.md",
            "make/serving.mk",
            "requirements/app.txt",
            "requirements/export.txt",
            "requirements/serving.txt",
            "src/mlops_loop/serving",
            "src/{package_name}/serving",
            "tests/test_service.py",
        ],
        "operations": [
            ".github/workflows/loop.yml",
            ".gitlab-loop.yml",
            "dags",
            "docs/monitoring.md",
            "docs/operations.md",
            "make/monitoring.mk",
            "requirements/airflow.txt",
            "src/mlops_loop/monitoring",
            "src/{package_name}/data/sources/log.py",
            "src/{package_name}/monitoring",
        ],
    },
    "license": {
        "MIT": ["LICENSE-MIT"],
        "Apache-2.0": ["LICENSE-Apache-2.0"],
        "BSD-3-Clause": ["LICENSE-BSD-3-Clause"],
        "Proprietary": ["LICENSE-Proprietary"],
    },
    "ci": {
        "github": [".github"],
        "gitlab": [".gitlab-cd.yml", ".gitlab-ci.yml", ".gitlab-loop.yml"],
    },
}


def remove(path: Path) -> None:
    """Remove a file or a folder that must be there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


def not_chosen() -> list[str]:
    """Every path of KEEP that the answers did not choose."""
    gone: dict[str, None] = {}  # in their order: a file that two answers own goes once
    for question, owned in KEEP.items():
        answers = list(owned)
        chosen = answers.index(COOKIECUTTER[question])
        kept = answers[: chosen + 1] if question == "level" else [answers[chosen]]
        gone |= dict.fromkeys(p for answer in answers if answer not in kept for p in owned[answer])
    return [path.format(**COOKIECUTTER) for path in gone]


def keep_chosen() -> None:
    """Remove what the answers did not choose, and caches."""
    for path in not_chosen():
        remove(ROOT / path)
    for pattern in ("__pycache__", ".*_cache"):  # of tools that ran in the template folder
        for path in list(ROOT.rglob(pattern)):
            shutil.rmtree(path, ignore_errors=True)
    (ROOT / f"LICENSE-{COOKIECUTTER['license']}").rename(ROOT / "LICENSE")


def is_comparison() -> bool:
    """Return whether cruft renders this only to compare it (`update`, `check`, `diff`).

    cruft renders those into a fresh temporary folder, and unlike cookiecutter names no output
    folder; `cruft create` looks the same in a temporary folder, but its parent says "create".
    """
    if "_output_dir" in COOKIECUTTER:
        return False
    import tempfile  # late: most renders do without

    temporary = Path(tempfile.gettempdir()).resolve()
    if ROOT.parent.parent != temporary or not ROOT.parent.name.startswith("tmp"):
        return False
    return " create " not in parent_command()


def parent_command() -> str:
    """The command line of the program that renders; empty where it cannot be told."""
    try:
        listed = subprocess.run(
            ["ps", "-o", "args=", "-p", str(os.getppid())],
            check=False,
            capture_output=True,
            text=True,
        )
    except FileNotFoundError:
        return ""
    return listed.stdout


def git(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run git in the project."""
    command = ["git", *arguments]
    english = os.environ | {"LC_ALL": "C"}
    return subprocess.run(command, env=english, check=False, capture_output=True, text=True)


def make_repository() -> str:
    """Give the project a repository on branch main; returns why it has none."""
    if not shutil.which("git"):
        return "git is missing: install it, then `git init --initial-branch=main`."
    ignored = git("check-ignore", "--quiet", ".")
    if ignored.returncode == 1:
        outer = git("rev-parse", "--show-toplevel").stdout.strip()
        return f"the project lies in the repository {outer}: commit it there."
    if ignored.returncode and "not a git repository" not in ignored.stderr:
        return f"git: {' '.join(ignored.stderr.split())}"
    made = git("-c", "init.defaultBranch=main", "init", "--quiet")
    return made.stderr.strip()


def make_environment() -> str:
    """Build the environment; returns what is left to do."""
    if not shutil.which("make"):
        return "environment and commit hooks: install make and run `make setup`."
    if COOKIECUTTER["setup"] == "no":
        return "environment and commit hooks: run `make setup`."
    try:
        done = subprocess.run(["make", "--no-print-directory", "setup"], check=False)
    except KeyboardInterrupt:
        return "environment: interrupted; `make setup` continues."
    return "environment: see above; `make setup` finishes it." if done.returncode else ""


def commit() -> str:
    """Commit everything; returns what is left to do."""
    message = f"Start {ROOT.name} from cookiecutter-mlops-loop"
    # A file that is "big" goes into one pack: sooner written than a hundred files of their own.
    git("-c", "core.bigFileThreshold=1", "add", ".")
    quietly = ("-c", "maintenance.auto=false", "commit", "--quiet", "--no-verify")
    done = git(*quietly, "--message", message)
    if git("var", "GIT_COMMITTER_IDENT").returncode:
        return (
            "first commit: git has no identity; run `git config --global user.name NAME`, "
            "`git config --global user.email ADDRESS` and `git commit --message Start`."
        )
    if done.returncode and git("config", "--type=bool", "commit.gpgsign").stdout == "true\n":
        return (
            "first commit: git cannot sign it; set user.signingkey to a key that is there, or run "
            "`git config commit.gpgsign false` here, then `git commit --message Start`."
        )
    return f"first commit: {done.stderr.strip()}" if done.returncode else ""


def remember_template() -> str:
    """Write .cruft.json, which `cruft update` reads; returns why there is none.

    `cruft create` writes it itself, after this hook.
    """
    if "_repo_dir" not in COOKIECUTTER or not shutil.which("git"):
        return ""
    template, source = COOKIECUTTER["_template"], Path(COOKIECUTTER["_repo_dir"]).resolve()
    at_source = ("-C", str(source))
    top = git(*at_source, "rev-parse", "--show-toplevel").stdout.strip()
    if Path(top or "/").resolve() != source:
        why = "is no git repository"
    elif git(*at_source, "status", "--porcelain").stdout:
        why = "has changes that are not committed"
    else:
        address = git(*at_source, "config", "remote.origin.url").stdout.strip()
        address = re.sub("//[^/@]*:[^/@]*@", "//", address)  # without a password
        address = str(source) if Path(template).is_dir() else address
        left_out = {"_output_dir", "_repo_dir"}
        answers = {k: v for k, v in COOKIECUTTER.items() if k not in left_out}
        content = {
            "template": address,
            "commit": git(*at_source, "rev-parse", "HEAD").stdout.strip(),
            "checkout": COOKIECUTTER["_checkout"],
            "context": {"cookiecutter": answers | {"_template": address}},
            "directory": None,
        }
        text = json.dumps(content, ensure_ascii=False, indent=2)
        (ROOT / ".cruft.json").write_text(f"{text}\n", encoding="utf-8")
        return ""
    return f"updates: {template} {why}; `cruft link` tells later what the project was made from."


def set_up() -> None:
    """Leave a project as complete as this machine allows, and list what is left."""
    for name in ("DIR", "INDEX_FILE", "OBJECT_DIRECTORY", "PREFIX", "WORK_TREE"):
        os.environ.pop(f"GIT_{name}", None)  # an outer git command points these at its repository
    why_none = make_repository()
    left = [remember_template(), why_none, make_environment(), "" if why_none else commit()]
    if any(left):
        print(f"\nLeft to do in {ROOT}:", *(f"- {each}" for each in left if each), sep="\n")
    print(f"\nNext:\n  cd {ROOT.name}\n  make train\nAll verbs: make")


if __name__ == "__main__":
    keep_chosen()
    if not is_comparison():
        set_up()
