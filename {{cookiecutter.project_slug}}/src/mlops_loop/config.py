"""YAML files that the user edits: read into frozen and closed models, or edited in place."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from .files import replaced
from .project import UserError

SENTENCES = {
    "missing": "this key is missing.",
    "extra_forbidden": "unknown key; remove it or correct its spelling.",
}


class Section(BaseModel):
    """Frozen, closed and strict: an unknown key or a value of another type is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


Model = TypeVar("Model", bound=Section)


def load(path: Path, model: type[Model]) -> Model:
    """Read `path` as `model`; raises UserError that names every offending key by its path."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        content = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"{path.name} is missing from {path.parent}.") from error
    except YAMLError as error:
        raise UserError(f"{path.name} is not valid YAML: {error}") from error
    return validated(model, content, path.name)


def validated(model: type[Model], content: object, file: str, *within: str) -> Model:
    """Read the content of sections `within` of a file; raises UserError as `load` does."""
    try:
        return model.model_validate(content)
    except ValidationError as error:
        lines = []
        for problem in error.errors():
            key = ".".join(map(str, (*within, *problem["loc"]))) or "(top level)"
            found = f"{problem['msg']} (found: {problem['input']!r})."
            lines.append(f"{file}: {key}: {SENTENCES.get(problem['type'], found)}")
        raise UserError("\n".join(lines)) from error


def edit(path: Path, values: Mapping[str, object]) -> list[str]:
    """Set dotted keys of a YAML file, all or nothing; returns the keys that the file lacks.

    Comments stay, and every other line too if it is laid out as the template's. A section that is
    set to a mapping loses the keys that are not in it.
    """
    yaml, missing = round_trip(), []
    content = yaml.load(path)
    for key, value in values.items():
        *sections, name = key.split(".")
        section = content
        for inner in sections:
            section = section.get(inner, {})
        if name not in section:
            missing.append(key)
        elif isinstance(value, dict):
            for other in section[name].keys() - value.keys():
                del section[name][other]
            section[name].update(value)
        else:
            section[name] = value
    with replaced(path) as temporary:
        yaml.dump(content, temporary)
    return missing


def round_trip() -> Any:
    """Return a reader and writer of YAML that keeps comments, quotes and columns."""
    from ruamel.yaml import YAML

    yaml = YAML()
    yaml.preserve_quotes, yaml.width = True, 4096
    yaml.indent(mapping=2, sequence=4, offset=2)
    null = ("tag:yaml.org,2002:null", "null")
    yaml.representer.add_representer(type(None), lambda writer, _: writer.represent_scalar(*null))
    return yaml


def flat(params: Section) -> dict[str, object]:
    """Return parameters by dotted key, as params.yaml names them, without those of `serving`."""
    content = json.loads(params.model_dump_json(by_alias=True, exclude={"serving"}))
    return dict(_leaves("", content))


def _leaves(prefix: str, content: dict[str, Any]) -> Iterator[tuple[str, object]]:
    for key, value in content.items():
        if isinstance(value, dict):
            yield from _leaves(f"{prefix}{key}.", value)
        else:
            yield prefix + key, value


def changed(params: Model, values: Mapping[str, object]) -> Model:
    """Replace values by dotted key; raises UserError that names each value that is not valid."""
    content: Any = params.model_dump(by_alias=True)
    for key, value in values.items():
        content = _with(content, key.split("."), value)
    return validated(type(params), content, "params.yaml")


def _with(content: object, keys: list[str], value: object) -> object:
    if not keys:
        return value
    section = content if isinstance(content, dict) else {}
    return {**section, keys[0]: _with(section.get(keys[0]), keys[1:], value)}
