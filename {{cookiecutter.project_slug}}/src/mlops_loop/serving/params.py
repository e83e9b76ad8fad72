"""Section `serving` of params.yaml: how predictions are served and logged."""

import hashlib
from typing import Annotated, Any, Literal

from pydantic import Field, NaiveDatetime

from ..config import Section, validated
from ..project import UserError
from .feedback import Metric, metric_of

Share = Annotated[float, Field(gt=0, lt=1)]


class Canary(Section):
    """The share of requests that the challenger predicts."""

    percent: Annotated[float, Field(ge=0, le=100)]


class ABTest(Section):
    """The design of an A/B test, fixed before it starts."""

    metric: Metric
    share: Share
    size: Annotated[int, Field(ge=10)]
    confidence: Share
    started: Annotated[NaiveDatetime | None, Field(strict=False)]


class Bandit(Section):
    """The policy that finds the version with the better rewards."""

    policy: Literal["thompson", "epsilon"]
    epsilon: Annotated[float, Field(ge=0, le=1)]


class Deliver(Section):
    """The load test of `make deliver`: requests a second, and the 99th percentile of latency."""

    rate: Annotated[float, Field(gt=0)]
    seconds: Annotated[float, Field(gt=0)]
    p99_ms: Annotated[float, Field(gt=0)]


class Serving(Section):
    """The strategy, limits of a request, the log, and how often the aliases are read."""

    strategy: Literal["single", "shadow", "canary", "ab", "bandit"]
    sticky_by: str | None
    canary: Canary
    ab: ABTest
    bandit: Bandit
    refresh_seconds: Annotated[float, Field(gt=0)]
    max_rows: Annotated[int, Field(ge=1)]
    max_bytes: Annotated[int, Field(ge=1_000)]
    max_requests: Annotated[int, Field(ge=1)]
    timeout_seconds: Annotated[float, Field(gt=0)]
    log_full: Literal["refuse", "drop_counted"]
    outbox_bytes: Annotated[int, Field(ge=10_000)]
    queue_bytes: Annotated[int, Field(ge=10_000)]
    retention_days: Annotated[int, Field(ge=1)]
    deliver: Deliver

    @property
    def aliases(self) -> tuple[str, ...]:
        """The aliases of the versions that are served."""
        return ("champion",) if self.strategy == "single" else ("champion", "challenger")

    @property
    def design(self) -> str:
        """The name of the A/B test in the log: a test of another design has another name."""
        fixed = f"{self.ab.model_dump_json()} {self.sticky_by}"
        return f"ab:{hashlib.sha256(fixed.encode()).hexdigest()[:8]}"


def serving_options(section: Any, task: str) -> Serving:
    """Validate the section of params.yaml; raises UserError that names every wrong key."""
    metric = metric_of(task)
    match section:
        case {"ab": {"metric": None}}:
            section = {**section, "ab": {**section["ab"], "metric": metric}}
    options = validated(Serving, section, "params.yaml", "serving")
    if options.strategy == "ab" and options.ab.metric != metric:
        raise UserError(f"params.yaml: serving.ab.metric: {task} has only {metric}.")
    return options
