"""The names that a project's package must not take: those of its environment.

python tests/template/reserved.py PROJECT    rewrites the block in hooks/pre_gen_project.py
"""

import json
import re
import subprocess
import sys
import textwrap
from pathlib import Path

TEMPLATE = Path(__file__).resolve().parents[2]
HOOK = TEMPLATE / "hooks" / "pre_gen_project.py"
SOURCE = TEMPLATE / "{{cookiecutter.project_slug}}"
BLOCK = re.compile(r'(RESERVED = set\("""\n)(.*?)("""\.split)', re.DOTALL)
TOP_LEVEL = "import importlib.metadata as m, json; print(json.dumps(m.packages_distributions()))"
OTHERS = {"airflow", "conftest", "mlops_loop", "pip", "test", "tests"}


def reserved_names(project: Path) -> set[str]:
    """Distributions of all locks of every level, and what those that every project has can be imported as.

    Lower case, as macOS' disks do not tell it from upper.
    """
    python = project / ".venv" / "bin" / "python"
    listed = subprocess.run(
        [python, "-I", "-c", TOP_LEVEL], check=True, capture_output=True, text=True
    )
    installed = json.loads(listed.stdout).items()
    always = distributions(project, "base", "dev")
    imported = {
        name.lower() for name, owners in installed if always & set(map(python_name, owners))
    }
    names = imported | distributions(SOURCE, "*") | OTHERS
    return {name for name in names if re.fullmatch(r"[a-z](_?[a-z0-9])*", name)}


def distributions(project: Path, *locks: str) -> set[str]:
    """The packages of some locks."""
    paths = [path for lock in locks for path in (project / "requirements").glob(f"{lock}.txt")]
    text = "".join(path.read_text() for path in paths)
    found = re.findall(r"^([a-z0-9-]+)(?:\[.*\])?==", text, re.MULTILINE)
    return set(map(python_name, found))


def python_name(distribution: str) -> str:
    """A distribution's name as Python would have to spell it."""
    return re.sub("[-.]", "_", distribution.lower())


def names_in_hook() -> set[str]:
    """The names that the hook refuses."""
    block = BLOCK.search(HOOK.read_text())
    assert block
    return set(block[2].split())


def rewrite(names: set[str]) -> None:
    """Put the names into the hook."""
    lines = textwrap.fill(" ".join(sorted(names)), 98, break_on_hyphens=False)
    HOOK.write_text(BLOCK.sub(lambda match: f"{match[1]}{lines}\n{match[3]}", HOOK.read_text()))


if __name__ == "__main__":
    rewrite(reserved_names(Path(sys.argv[1]).resolve()))
