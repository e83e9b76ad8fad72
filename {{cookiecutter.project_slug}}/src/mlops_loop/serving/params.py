"""Section `serving` of params.yaml: how predictions are served and logged."""

import hashlib
from typing import Annotated, Any, Literal

from pydantic import Field, NaiveDatetime, PositiveFloat, PositiveInt

from ..config import Section, validated

IMPUTED = "imputed.json"  # beside the copies of versions: by version and column
Share = Annotated[float, Field(gt=0, lt=1)]


class Canary(Section):
    """The share of requests that the challenger predicts."""

    percent: Annotated[float, Field(ge=0, le=100)]


class ABTest(Section):
    """The design of an A/B test, fixed before it starts."""

    share: Share
    size: Annotated[int, Field(ge=10)]
    confidence: Share
    started: Annotated[NaiveDatetime | None, Field(strict=False)]


class Deliver(Section):
    """The load test of `make deliver`: requests a second, and the 99th percentile of latency."""

    rate: PositiveFloat
    seconds: PositiveFloat
    p99_ms: PositiveFloat


class Serving(Section):
    """The strategy, limits of a request, the log, and how often the aliases are read."""

    task: str  # of params.yaml
    strategy: Literal["single", "shadow", "canary", "ab", "bandit"]
    sticky_by: str | None
    canary: Canary
    ab: ABTest
    refresh_seconds: PositiveFloat
    max_rows: PositiveInt
    max_bytes: Annotated[int, Field(ge=1_000)]
    max_requests: PositiveInt
    timeout_seconds: PositiveFloat
    log_full: Literal["refuse", "drop_counted"]
    outbox_bytes: Annotated[int, Field(ge=10_000)]
    queue_bytes: Annotated[int, Field(ge=10_000)]
    retention_days: PositiveInt
    deliver: Deliver

    @property
    def aliases(self) -> tuple[str, ...]:
        """The aliases of the versions that are served."""
        return ("champion",) if self.strategy == "single" else ("champion", "challenger")

    @property
    def logged_strategy(self) -> str:
        """The strategy as it is logged: an A/B test of another design has another name."""
        if self.strategy != "ab":
            return self.strategy
        fixed = f"{self.ab.model_dump_json()} {self.sticky_by}"
        return f"ab:{hashlib.sha256(fixed.encode()).hexdigest()[:8]}"


def serving_options(section: dict[str, Any] | None, task: str) -> Serving:
    """Validate the section of params.yaml; raises UserError that names every wrong key."""
    return validated(Serving, {**(section or {}), "task": task}, "params.yaml", "serving")
