"""Sections of params.yaml that machinery reads as a whole; light to import."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from .config import Section


class Ingest(Section):
    """The source of raw data; the other keys are those of the source."""

    model_config = ConfigDict(extra="allow")

    source: str


class Tune(Section):
    """The search for parameters."""

    trials: Annotated[int, Field(ge=1)]
    timeout: Annotated[float, Field(gt=0)] | None
    sampler: Literal["tpe", "random", "grid"]
    metric: str | None
    folds: Annotated[int, Field(ge=2)]
    space: dict[str, dict[str, Any]]
