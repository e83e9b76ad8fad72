"""YAML files that the user edits, read into frozen and closed models."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import Node

from .project import UserError


class Section(BaseModel):
    """Frozen, closed and strict: an unknown key or a value of another type is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


Model = TypeVar("Model", bound=Section)


def load(path: Path, model: type[Model]) -> Model:
    """Read `path` as `model`; raises UserError that names every offending key by its path."""
    try:
        content = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"{path.name} is missing from {path.parent}.") from error
    except YAMLError as error:
        raise UserError(f"{path.name} is not valid YAML: {error}") from error
    return validated(model, content, path.name)


def validated(model: type[Model], content: object, file: str, *within: str) -> Model:
    """`content`, which stands in `file` within these sections, as `model`.

    Raises UserError that names every offending key by its path.
    """
    try:
        return model.model_validate(content)
    except ValidationError as error:
        sentences = [f"{file}: {_sentence(problem, within)}" for problem in error.errors()]
        raise UserError("\n".join(sentences)) from error


def _sentence(problem: ErrorDetails, within: tuple[str, ...]) -> str:
    key = ".".join(map(str, (*within, *problem["loc"]))) or "(top level)"
    if problem["type"] == "missing":
        return f"{key}: this key is missing."
    if problem["type"] == "extra_forbidden":
        return f"{key}: unknown key; remove it or correct its spelling."
    return f"{key}: {problem['msg']} (found: {problem['input']!r})."


def rewritten(text: str, values: Mapping[str, object]) -> str:
    """YAML text with other scalars at these dotted keys; every other character stays.

    A comment behind a value keeps its column as far as the new one leaves room.
    """
    nodes = {key: _node(YAML().compose(text), key.split(".")) for key in values}
    for key, node in sorted(nodes.items(), key=lambda item: -item[1].start_mark.index):
        start, end = node.start_mark.index, node.end_mark.index
        room = re.match(r"( +(?= #))?", text[end:]).end()  # type: ignore[union-attr]
        value = str(values[key]).ljust(end - start + room if room else 0)
        text = text[:start] + value + text[end + room :]
    return text


def _node(node: Node, keys: list[str]) -> Node:
    for key in keys:
        node = next(value for name, value in node.value if name.value == key)
    return node


def flat(params: Section) -> dict[str, object]:
    """Parameters by dotted key, as params.yaml names them; serving is no matter of a training."""
    return flattened(json.loads(params.model_dump_json(by_alias=True, exclude={"serving"})))


def flattened(sections: dict[str, object]) -> dict[str, object]:
    """The values of nested sections by dotted key."""
    return dict(_flat("", sections))


def _flat(prefix: str, value: object) -> list[tuple[str, object]]:
    if not isinstance(value, dict):
        return [(prefix, value)]
    items = [_flat(f"{prefix}.{key}" if prefix else key, inner) for key, inner in value.items()]
    return [pair for pairs in items for pair in pairs]


def changed(params: Model, values: Mapping[str, object]) -> Model:
    """`params` with other values by dotted key; raises UserError that names what will not do."""
    content: object = params.model_dump(by_alias=True)
    for key, value in values.items():
        content = _with(content, key.split("."), value)
    return validated(type(params), content, "params.yaml")


def _with(content: object, keys: list[str], value: object) -> object:
    if not keys:
        return value
    section = content if isinstance(content, dict) else {}
    return {**section, keys[0]: _with(section.get(keys[0]), keys[1:], value)}
