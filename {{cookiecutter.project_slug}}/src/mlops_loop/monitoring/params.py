"""Sections of params.yaml at level operations, and that of source `log`."""

from datetime import date
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, NonNegativeInt, PositiveInt

from ..config import Model, Section, validated
from ..files import Content
from ..project import UserError

YEAR = 365
# How the alarms of a year are shared out. Losses page; raw losses and drift only warn.
LOSS_SHARES = {1: 0.50, 7: 0.05, 28: 0.05}
SLICE_SHARE, RAW_SHARE, DRIFT_SHARE = 0.10, 0.05, 0.25
DRIFT_DAYS, FEW_DRIFT_DAYS = 90, 60  # of the reference: with fewer its day effects are too unsure

Day = Annotated[date, Field(strict=False)]
Limits = tuple[float, float]
Days = Annotated[tuple[Day, ...], Field(strict=False)]


def count_days(every: str) -> int:
    """The days of one check, at least one."""
    return int(every[:-1]) if every.endswith("d") else 1


class Monitoring(Section):
    """The one dial of the monitor."""

    alarms_per_year: Annotated[float, Field(gt=0, le=100)]
    every: Annotated[str, Field(pattern=r"^([1-9]\d*d|(1|2|3|4|6|8|12)h)$")]
    holidays: Days = ()
    key: str | None = None

    @property
    def days(self) -> int:
        """Days of one check; one where a day is checked several times."""
        return count_days(self.every)

    @property
    def looks(self) -> int:
        """Checks of one day while it lasts, which share its alarms."""
        if self.every.endswith("d"):
            return 1
        return 24 // int(self.every[:-1])

    def level(self, share: float) -> float:
        """The level of a test that has this share of a year's false alarms."""
        return min(self.alarms_per_year * share * self.days / self.looks / YEAR, 0.5)

    def drift_level(self, weight: float, reference_days: int) -> float:
        """The level of a column's drift, which is lower where the reference has few days."""
        few = 1 < reference_days < FEW_DRIFT_DAYS
        known = reference_days / DRIFT_DAYS if few else 1
        return self.level(DRIFT_SHARE * weight * known)


class Responses(Section):
    """The evidence from which the loop does more than warn and retrain."""

    rollback_above: Annotated[float, Field(gt=1)] | None
    impute_above: Annotated[float, Field(gt=0, lt=1)]


class SetAside(Section):
    """Truths that contradict the rest: days of rows, days on which truths came, and a range."""

    days: Days = ()
    arrived: Days = ()
    between: Annotated[Limits | None, Field(strict=False)] = None


class LogRows(Section):
    """Section `ingest` of source `log`: rows with a known truth, from one day to another.

    They come beside those of another source, if `beside` names one.
    """

    beside: str | None = None
    since: Day | None = None
    until: Day | None = None
    set_aside: SetAside = SetAside()


class Candidate(Section):
    """A model that a retraining tries: its window in days, whether it is tuned first.

    A `stateful` one continues the champion's trees on the days since; of so many in a row the last
    is fitted anew, on its window. Other keys are changes of params.yaml: `train.model`.
    """

    model_config = ConfigDict(extra="allow")

    days: PositiveInt | None = None
    tune: bool = False
    stateful: Annotated[int, Field(ge=2)] | None = None


class Retrain(Section):
    """The triggers of a retraining, its rows, and the rollout of its version."""

    schedule_days: PositiveInt | None
    new_rows: PositiveInt | None
    wait_days: PositiveInt
    cool_down_days: NonNegativeInt
    per_year: NonNegativeInt
    rows: Literal["log", "source"]
    delay_days: NonNegativeInt
    judge_days: PositiveInt
    candidates: Annotated[dict[str, Candidate], Field(min_length=1)]
    rollout: Literal["promote", "shadow", "canary", "ab"]
    approval: Literal["auto", "human"]


def read_section(model: type[Model], section: Content | None) -> Model:
    """Read the section named after its model; raises UserError that names every wrong key."""
    name = model.__name__.lower()
    if section is None:
        raise UserError(f"params.yaml: {name}: this section is missing; see docs/operations.md.")
    return validated(model, section, "params.yaml", name)
