"""Section `serving` of params.yaml: how predictions are served and logged."""

from typing import Annotated, Literal

from pydantic import Field

from ..config import Section, validated
from ..params import load_params
from ..paths import Paths


class Serving(Section):
    """Limits of a request, the log, and how often the alias is looked up."""

    refresh_seconds: Annotated[float, Field(gt=0)]
    most_rows: Annotated[int, Field(ge=1)]
    most_bytes: Annotated[int, Field(ge=1_000)]
    most_connections: Annotated[int, Field(ge=1)]
    timeout_seconds: Annotated[float, Field(gt=0)]
    log_full: Literal["refuse", "drop_counted"]
    spool_bytes: Annotated[int, Field(ge=10_000)]
    keep_days: Annotated[int, Field(ge=1)]


def load_serving(paths: Paths) -> Serving:
    """Read the section; raises UserError that names every wrong key."""
    return validated(Serving, load_params(paths.params).serving, "params.yaml", "serving")
