"""YAML files that the user edits, read into frozen and closed models."""

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from .errors import UserError


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
