"""Write docs/options.md from cookiecutter.json and the KEEP table of the hook."""

import ast
import json
from pathlib import Path
from typing import Any

from cookiecutter.generate import generate_context
from cookiecutter.prompt import prompt_for_config

TEMPLATE = Path(__file__).resolve().parent.parent
PAGE = TEMPLATE / "docs" / "options.md"
INTRODUCTION = """\
# Options

Everything that the template asks. The page is made from `cookiecutter.json` by
`.venv/bin/python docs/options.py`; a test fails when the two differ. What is not asked is decided
(`docs/decisions.md`) or a setting of the generated project (`params.yaml`, `contract.yaml`, `.env`).

Any answer can be given on the command line, with `--no-input` for the defaults of the others:

```bash
cookiecutter PATH_OR_URL --no-input project_name="House Prices" ci=gitlab
```

A wrong answer is refused in one sentence before anything is written: a name that Python or PyPI
does not accept, or that a dependency or the standard library has already; a choice that is not in
this list.

| question | meaning | default | choices |
|---|---|---|---|
"""
FILES = """
## What a choice owns

The files of the other choices are removed after rendering; a level keeps what the levels before it
own. `level`, `license` and `setup` change texts and actions besides.

| question | choice | path in the template |
|---|---|---|
"""


def questions() -> dict[str, Any]:
    """The questions as they stand in cookiecutter.json."""
    content = json.loads((TEMPLATE / "cookiecutter.json").read_text(encoding="utf-8"))
    return {name: value for name, value in content.items() if not name.startswith("_")}


def defaults() -> dict[str, str]:
    """The answers of somebody who only presses Enter."""
    context = generate_context(str(TEMPLATE / "cookiecutter.json"))
    return dict(prompt_for_config(context, no_input=True))


def prompts() -> dict[str, str]:
    """The text of each question."""
    content = json.loads((TEMPLATE / "cookiecutter.json").read_text(encoding="utf-8"))
    texts = content["__prompts__"]
    return {n: t["__prompt__"] if isinstance(t, dict) else t for n, t in texts.items()}


def keep() -> dict[str, dict[str, list[str]]]:
    """The KEEP table of the hook: question, choice, paths."""
    hook = ast.parse((TEMPLATE / "hooks" / "post_gen_project.py").read_text(encoding="utf-8"))
    assignments = [node for node in hook.body if isinstance(node, ast.Assign)]
    [table] = [node.value for node in assignments if ast.unparse(node.targets[0]) == "KEEP"]
    found: dict[str, dict[str, list[str]]] = ast.literal_eval(table)
    return found


def default(name: str, value: object) -> str:
    """The default answer, and where it comes from if from another answer."""
    derived = isinstance(value, str) and "{{" in value
    return f"`{defaults()[name]}`" + (" (from the answers above)" if derived else "")


def page() -> str:
    """The text of docs/options.md."""
    texts, lines = prompts(), [INTRODUCTION]
    for name, value in questions().items():
        choices = ", ".join(f"`{choice}`" for choice in value) if isinstance(value, list) else ""
        lines.append(f"| `{name}` | {texts[name]} | {default(name, value)} | {choices} |\n")
    lines.append(FILES)
    for name, owned in keep().items():
        for choice, paths in owned.items():
            listed = ", ".join(f"`{path}`" for path in paths) or "the base: everything else"
            lines.append(f"| `{name}` | `{choice}` | {listed} |\n")
    return "".join(lines)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
