"""The modules of the template folder and what they import, without running them."""

import ast
from collections.abc import Iterator
from pathlib import Path

from helpers import SOURCE

SRC = SOURCE / "src"
# The user's package is `project`, as in the other tests.
FOLDERS = {"mlops_loop": SRC / "mlops_loop", "project": SRC / "{{cookiecutter.package_name}}"}


def find_modules(package: str) -> dict[str, Path]:
    """The modules of a package, and the packages in it, by their names."""
    found = {}
    for path in sorted(FOLDERS[package].rglob("*.py")):
        parts = path.relative_to(FOLDERS[package]).with_suffix("").parts
        inner = parts[:-1] if parts[-1] == "__init__" else parts
        found[".".join([package, *inner])] = path
    return found


def imports(name: str, path: Path) -> Iterator[str]:
    """The imports of a module, also inside functions, by absolute names."""
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*above, *filter(None, [node.module])])
            yield module
            if module.partition(".")[0] in FOLDERS:
                yield from (f"{module}.{alias.name}" for alias in node.names)
