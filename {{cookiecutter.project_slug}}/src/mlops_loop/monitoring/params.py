"""Sections `monitoring` and `responses` of params.yaml."""

from typing import Annotated, Any

from pydantic import Field

from ..config import Section, validated
from ..project import UserError

YEAR = 365
# How the alarms of a year are shared out. Losses page; raw losses and drift only warn.
LOSS_SHARES = {1: 0.50, 7: 0.05, 28: 0.05}
SLICE_SHARE, RAW_SHARE, DRIFT_SHARE = 0.10, 0.05, 0.25
DRIFT_DAYS, FEW_DRIFT_DAYS = 90, 60  # of the reference: with fewer its day effects are too unsure


class Monitoring(Section):
    """The one dial of the monitor."""

    alarms_per_year: Annotated[float, Field(gt=0, le=100)]
    every: Annotated[str, Field(pattern=r"^[1-9]\d*d$")]

    @property
    def days(self) -> int:
        """Days of one check."""
        return int(self.every[:-1])

    def level(self, share: float) -> float:
        """The level of a test that has this share of a year's false alarms."""
        return min(self.alarms_per_year * share * self.days / YEAR, 0.5)

    def drift_level(self, weight: float, reference_days: int) -> float:
        """The level of a column's drift, which is lower where the reference has few days."""
        few = 1 < reference_days < FEW_DRIFT_DAYS
        known = reference_days / DRIFT_DAYS if few else 1
        return self.level(DRIFT_SHARE * weight * known)


class Responses(Section):
    """The evidence from which the loop does more than warn and retrain."""

    rollback_above: Annotated[float, Field(gt=1)] | None
    impute_above: Annotated[float, Field(gt=0, lt=1)]


def monitoring_options(section: dict[str, Any] | None) -> Monitoring:
    """Read section `monitoring`; raises UserError that names every wrong key."""
    if section is None:
        raise UserError("params.yaml: monitoring: this section is missing; see level operations.")
    return validated(Monitoring, section, "params.yaml", "monitoring")


def responses_options(section: dict[str, Any] | None) -> Responses:
    """Read section `responses`; raises UserError that names every wrong key."""
    if section is None:
        raise UserError("params.yaml: responses: this section is missing; see docs/operations.md.")
    return validated(Responses, section, "params.yaml", "responses")
