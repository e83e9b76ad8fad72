"""Write copier.yml from cookiecutter.json and the KEEP table of the hook."""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

TEMPLATE = Path(__file__).resolve().parent.parent
PAGE = TEMPLATE / "copier.yml"
FOLDER = "{{cookiecutter.project_slug}}"
HEAD = """\
# Made from cookiecutter.json and the hooks by `.venv/bin/python docs/copier.py`; a test fails when they
# differ. Copier renders the same files; what it cannot do, hooks/copier.py does (hence --trust).
"""
# cookiecutter has the slug of any script; this one of ASCII.
SLUGIFY = "lower | regex_replace('[^a-z0-9]+', '-') | trim('-')"


def keep() -> dict[str, dict[str, list[str]]]:
    """The table KEEP: the paths that each answer owns."""
    hook = ast.parse((TEMPLATE / "hooks/post_gen_project.py").read_text(encoding="utf-8"))
    assigned = (node for node in hook.body if isinstance(node, ast.Assign))
    [table] = [n.value for n in assigned if ast.unparse(n.targets[0]) == "KEEP"]
    owned: dict[str, dict[str, list[str]]] = ast.literal_eval(table)
    return owned


def expression(default: str) -> str:
    """A default of cookiecutter in the words of Copier, whose answers have no prefix."""
    return default.replace("cookiecutter.", "").replace("slugify", SLUGIFY)


def question(name: str, default: Any, prompt: Any) -> dict[str, Any]:
    """A question with its text and choices."""
    if isinstance(default, str):
        return {"type": "str", "help": prompt, "default": expression(default)}
    texts = prompt if isinstance(prompt, dict) else {"__prompt__": prompt}
    choices = {texts.get(choice, choice): choice for choice in default}
    return {"type": "str", "help": texts["__prompt__"], "choices": choices, "default": default[0]}


def excluded(content: dict[str, Any]) -> Iterator[str]:
    """Paths that Copier leaves to the script, or that the answers did not choose."""
    yield from ("__pycache__", ".*_cache", *content["_copy_without_render"])
    for name, owned in keep().items():
        answers = list(owned)
        for place, answer in enumerate(answers):
            chosen = answers[place:] if name == "level" else [answer]
            for path in owned[answer]:
                filled = path.replace("{package_name}", "{{ package_name }}")
                yield f"{{% if {name} not in {chosen} %}}/{filled}{{% endif %}}"


def config() -> dict[str, Any]:
    """The content of copier.yml."""
    content = json.loads((TEMPLATE / "cookiecutter.json").read_text(encoding="utf-8"))
    names = [name for name in content if not name.startswith("_")]
    computed = {n: d for n, d in content.items() if re.match("__(?!prompts)", n)}
    fields = [f"{name}={name}" for name in names]
    fields += [f"{n}={expression(d)[3:-3]}" for n, d in computed.items()]
    fields.append(f"_template_version={content['_template_version']!r}")
    questions = {n: question(n, content[n], content["__prompts__"][n]) for n in names}
    answers = {
        "type": "json",
        "when": False,
        "default": f"{{{{ dict({', '.join(fields)}) | to_json }}}}",
    }
    script = "{{ _copier_conf.src_path }}/hooks/copier.py"
    given = ("_copier_operation", "cookiecutter | to_json", "_copier_answers | to_json")
    task = ["{{ _copier_python }}", script, *(f"{{{{ {each} }}}}" for each in given)]
    return {
        "_min_copier_version": "9.10",
        "_subdirectory": f"{{{{ '{FOLDER}' }}}}",
        "_templates_suffix": "",
        "_envops": content["_jinja2_env_vars"],
        "_exclude": list(excluded(content)),
        "_tasks": [task],
        **questions,
        "cookiecutter": answers,
    }


def text() -> str:
    """The text of copier.yml."""
    return HEAD + yaml.safe_dump(config(), allow_unicode=True, sort_keys=False, width=4096)


if __name__ == "__main__":
    PAGE.write_text(text(), encoding="utf-8")
