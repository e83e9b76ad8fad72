"""The rest of a project that Copier renders: the hooks, and the files that are no templates.

Copier calls it in a project that it made, or updates, with its operation, the answers as cookiecutter
names them, and those that it wants to remember.
"""

import json
import re
import shutil
import sys
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

HOOKS = Path(__file__).parent
SOURCE = HOOKS.parent / "{{cookiecutter.project_slug}}"


def load(hook: str, answers: dict[str, str]) -> dict[str, Any]:
    """Run a hook as a module, with the answers that cookiecutter would fill in."""
    text = (HOOKS / f"{hook}.py").read_text(encoding="utf-8")
    filled = re.sub(r"dict\(\{\{.*?\}\}\)", lambda _: repr(answers), text)
    module: dict[str, Any] = {"__name__": hook}
    exec(compile(filled, hook, "exec"), module)
    return module


def copy_unrendered(patterns: list[str], gone: list[str]) -> None:
    """Copy the files that cookiecutter copies without rendering, but for those of other answers."""
    for path in SOURCE.rglob("*"):
        name = path.relative_to(SOURCE).as_posix()
        above = [name, *map(str, Path(name).parents)]
        is_cache = any(
            fnmatch(part, "__pycache__") or fnmatch(part, ".*_cache") for part in path.parts
        )
        wanted = any(fnmatch(each, pattern) for each in above for pattern in patterns)
        if path.is_file() and wanted and not is_cache and not set(above) & set(gone):
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, name)


def main(operation: str, answers: dict[str, str], remembered: dict[str, str]) -> None:
    """Finish the project in the current folder."""
    if refused := "\n".join(load("pre_gen_project", answers)["refusals"](answers)):
        sys.exit(refused)
    hook = load("post_gen_project", answers)
    patterns = json.loads((HOOKS.parent / "cookiecutter.json").read_text(encoding="utf-8"))
    copy_unrendered(patterns["_copy_without_render"], hook["not_chosen"]())
    Path(f"LICENSE-{answers['license']}").replace("LICENSE")
    text = json.dumps(remembered, ensure_ascii=False, indent=2)
    note = "# Of Copier, which reads it to update; JSON is YAML."
    Path(".copier-answers.yml").write_text(f"{note}\n{text}\n", encoding="utf-8")
    if operation == "copy" and not Path(".git").exists():
        hook["set_up"]()


if __name__ == "__main__":
    main(sys.argv[1], *map(json.loads, sys.argv[2:]))
