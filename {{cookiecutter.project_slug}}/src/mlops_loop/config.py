"""YAML files that the user edits: read into frozen and closed models, or edited in place."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, ValidationError

from .files import Content, replaced
from .project import UserError


class Section(BaseModel):
    """Frozen, closed and strict: an unknown key or a value of another type is an error."""

    model_config = {"frozen": True, "extra": "forbid", "strict": True}


class Levels(Section):
    """Sections of the levels, which check them themselves: no training depends on them."""

    serving: Content | None = None
    monitoring: Content | None = None
    retrain: Content | None = None
    responses: Content | None = None


LEVELS = set(Levels.model_fields)


class Ingest(Section):
    """The source of raw data; the other keys are those of the source."""

    model_config = ConfigDict(extra="allow")

    source: str


class Tune(Section):
    """The search for parameters."""

    trials: PositiveInt
    timeout: PositiveFloat | None
    sampler: Literal["tpe", "random", "grid"]
    metric: str | None
    folds: Annotated[int, Field(ge=2)]
    models: list[str] | None
    space: dict[str, Content]


Model = TypeVar("Model", bound=Section)


def read_yaml(source: Path | str) -> Any:
    """Read YAML, of a file or a text."""
    from ruamel.yaml import YAML

    return YAML(typ="safe").load(source)


def load(path: Path, model: type[Model]) -> Model:
    """Read `path` as `model`; raises UserError that names every offending key by its path."""
    from ruamel.yaml.error import YAMLError

    try:
        content = read_yaml(path)
    except (OSError, YAMLError) as error:
        raise UserError(f"{path.name} cannot be read: {error}") from error
    return validated(model, content, path.name)


def validated(model: type[Model], content: object, file: str, *within: str) -> Model:
    """Read the content of sections `within` of a file; raises UserError as `load` does."""
    try:
        return model.model_validate(content)
    except ValidationError as error:
        lines = []
        for problem in error.errors():
            key = ".".join(map(str, (*within, *problem["loc"])))
            words = {
                "missing": "this key is missing.",
                "extra_forbidden": "unknown key; remove it or correct its spelling.",
                "value_error": f"{problem['msg'].removeprefix('Value error, ')}.",
            }.get(problem["type"], f"{problem['msg']} (found: {problem['input']!r}).")
            lines.append(": ".join(filter(None, (file, key, words))))
        raise UserError("\n".join(lines)) from error


def edit(path: Path, values: Mapping[str, object]) -> list[str]:
    """Set dotted keys of a YAML file, all or nothing; returns the keys that the file lacks.

    Comments stay, and every other line too if it is laid out as the template's. A section that is
    set to a mapping loses the keys that are not in it.
    """
    from ruamel import yaml

    editor = yaml.YAML()
    editor.preserve_quotes, editor.width = True, 4096
    editor.indent(mapping=2, sequence=4, offset=2)
    editor.representer.add_representer(type(None), yaml.representer.SafeRepresenter.represent_none)
    content = editor.load(path)
    places = dict(walk(content))
    for key in values.keys() & places.keys():
        (section, name), value = places[key], values[key]
        if isinstance(value, dict):
            for other in section[name].keys() - value.keys():
                del section[name][other]
            # What stays keeps its layout too.
            section[name].update({k: v for k, v in value.items() if section[name].get(k, ...) != v})
        else:
            section[name] = value
    with replaced(path) as temporary:
        editor.dump(content, temporary)
    return [key for key in values if key not in places]


def walk(content: Content, prefix: str = "") -> Iterator[tuple[str, tuple[Any, str]]]:
    """Yield each dotted key with the section that holds it and its name there."""
    for name, value in content.items():
        yield prefix + name, (content, name)
        if isinstance(value, dict):
            yield from walk(value, f"{prefix}{name}.")


def flat(params: Section) -> dict[str, object]:
    """Return parameters by dotted key, as params.yaml names them, without LEVELS."""
    content = json.loads(params.model_dump_json(by_alias=True, exclude=LEVELS))
    return {key: s[name] for key, (s, name) in walk(content) if not isinstance(s[name], dict)}


def changed(params: Model, values: Mapping[str, object]) -> Model:
    """Replace values by dotted key; raises UserError that names each value that is not valid."""
    content = params.model_dump(by_alias=True)
    places = dict(walk(content))
    for key, value in values.items():
        section, name = places.get(key, (content, key))
        section[name] = value
    return validated(type(params), content, "params.yaml")
