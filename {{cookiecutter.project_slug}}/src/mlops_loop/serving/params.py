"""Section `serving` of params.yaml: how predictions are served and logged."""

import hashlib
from typing import Annotated, Any, Literal

from pydantic import Field, NaiveDatetime

from ..config import Section, validated
from ..project import UserError
from .feedback import Metric, metric_of

Share = Annotated[float, Field(gt=0, lt=1)]


class Canary(Section):
    """How much of the requests the challenger answers."""

    percent: Annotated[float, Field(ge=0, le=100)]


class ABTest(Section):
    """The design of an A/B test, fixed before it starts."""

    metric: Metric
    share: Share
    size: Annotated[int, Field(ge=10)]
    confidence: Share
    started: Annotated[NaiveDatetime | None, Field(strict=False)]


class Bandit(Section):
    """How the version with the better rewards is found."""

    policy: Literal["thompson", "epsilon"]
    epsilon: Annotated[float, Field(ge=0, le=1)]


class Deliver(Section):
    """What `make deliver` asks of a service: so many requests a second, answered so fast."""

    rate: Annotated[float, Field(gt=0)]
    seconds: Annotated[float, Field(gt=0)]
    p99_ms: Annotated[float, Field(gt=0)]


class Serving(Section):
    """Who answers, limits of a request, the log, and how often the aliases are looked up."""

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
        """What the registry calls the versions that are served."""
        return ("champion",) if self.strategy == "single" else ("champion", "challenger")

    @property
    def design(self) -> str:
        """What the log calls the A/B test: a test of another design has another name."""
        fixed = f"{self.ab.model_dump_json()} {self.sticky_by}"
        return f"ab:{hashlib.sha256(fixed.encode()).hexdigest()[:8]}"


def serving_options(section: object, task: str) -> Serving:
    """The section as it was read from params.yaml; raises UserError that names every wrong key."""
    fitting = metric_of(task)
    options = validated(Serving, _with_metric(section, fitting), "params.yaml", "serving")
    if options.strategy == "ab" and options.ab.metric != fitting:
        raise UserError(f"params.yaml: serving.ab.metric: {task} has only {fitting}.")
    return options


def _with_metric(section: Any, fitting: Metric) -> Any:
    """The section with the task's metric in place of null."""
    match section:
        case {"ab": {"metric": None}}:
            return {**section, "ab": {**section["ab"], "metric": fitting}}
    return section
