"""The names that a project's package must not take: those of its environment.

python tests/reserved.py PROJECT    rewrites the block in hooks/pre_gen_project.py
"""

import re
import subprocess
import sys
import textwrap
from pathlib import Path

HOOK = Path(__file__).resolve().parent.parent / "hooks" / "pre_gen_project.py"
BLOCK = re.compile(r'(RESERVED = set\("""\n)(.*?)("""\.split)', re.DOTALL)
TOP_LEVEL = "import importlib.metadata as m; print(*m.packages_distributions())"
TESTS = {"conftest", "test", "tests"}


def reserved_names(project: Path) -> set[str]:
    """Importable top-level names and distributions of the locks, lower case as on macOS' disks."""
    python = project / ".venv" / "bin" / "python"
    listed = subprocess.run(
        [python, "-I", "-c", TOP_LEVEL], check=True, capture_output=True, text=True
    )
    locks = "".join(path.read_text() for path in (project / "requirements").glob("*.txt"))
    distributions = re.findall(r"^([a-z0-9-]+)(?:\[.*\])?==", locks, re.MULTILINE)
    names = {name.lower().replace("-", "_") for name in [*listed.stdout.split(), *distributions]}
    ours = re.search(r'module-name = "(.*)"', (project / "pyproject.toml").read_text())
    assert ours
    return {name for name in names if re.fullmatch(r"[a-z](_?[a-z0-9])*", name)} - {ours[1]} | TESTS


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
