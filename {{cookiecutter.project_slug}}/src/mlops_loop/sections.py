"""Sections of params.yaml that machinery reads whole; imports nothing but pydantic."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from .config import Section


class Ingest(Section):
    """Where raw data come from; the keys beside `source` are those of the source."""

    model_config = ConfigDict(extra="allow")

    source: str


class Tune(Section):
    """How parameters are searched."""

    trials: Annotated[int, Field(ge=1)]
    timeout: Annotated[float, Field(gt=0)] | None
    sampler: Literal["tpe", "random", "grid"]
    metric: str | None
    folds: Annotated[int, Field(ge=2)]
    space: dict[str, dict[str, Any]]
