"""The facts by which a retraining is decided, and the rules that forbid one."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from ..files import Content
from ..tracking.history import Entry
from .params import YEAR, Retrain

PROMOTED, WAITING, REFUSED, FAILED = "promoted", "waiting", "refused", "failed"
READ = ("retrain", "approve", "reject", "promote")  # the events that Evidence needs
QUIET, CALM = timedelta(days=5), 1.05  # a page whose last days are so quiet is over
TRIES = 3  # refused retrainings after which only a new alarm starts another


@dataclass(frozen=True)
class Page:
    """A loss that is above the expected one from its onset to the last day with known outcomes."""

    onset: date
    last: date
    ratio: float


@dataclass(frozen=True)
class Evidence:
    """The facts that triggers decide by.

    `check` is the content of the latest check, or empty. `history` holds the entries of READ.
    `new_files` are partitions that `ingest.source` has and the last training had not.
    """

    today: date
    check: Content
    history: Sequence[Entry]
    options: Retrain
    new_files: Sequence[str] = ()

    @property
    def retrainings(self) -> list[Entry]:
        """The retrainings that came to an end, oldest first."""
        done = [entry for entry in self.history if entry.event == "retrain"]
        return [entry for entry in done if entry.content["outcome"] != FAILED]

    @property
    def known_until(self) -> date | None:
        """The newest day that a training has seen; None if nothing tells it."""
        days = [entry.content["until"] for entry in self.retrainings[-1:]]
        days += [self.check["reference"]["last"]] if "reference" in self.check else []
        return max(map(to_date, days), default=None)

    @property
    def labelled(self) -> list[Content]:
        """The checked days with known outcomes, oldest first."""
        found = self.check.get("loss", {}).get("by_day", [])
        return [{**each, "day": to_date(each["day"])} for each in found]

    @property
    def new_rows(self) -> int:
        """Rows with known outcomes of days that no training has seen."""
        since = self.known_until or date.min
        return sum(each["rows"] for each in self.labelled if each["day"] > since)

    @property
    def page(self) -> Page | None:
        """The page that stands: an alarm of the loss begins one, some quiet days end it.

        Until it ends, it goes on after a refused retraining, but not after the third.
        """
        refused = 0
        for entry in self.retrainings:
            refused = refused + 1 if entry.content["outcome"] == REFUSED else 0
        since = to_date(self.retrainings[-1].content["until"]) if self.retrainings else date.min
        alarms = [alarm for alarm in self.check.get("alarms", ()) if alarm["level"] == "act"]
        alarmed, stands = {to_date(alarm["day"]) for alarm in alarms}, bool(refused % TRIES)
        seen = list[Content]()
        for each in self.labelled:
            if each["day"] > since and (seen or stands or each["day"] in alarmed):
                seen, stands = [*seen, each], False
                last = [other for other in seen if each["day"] - other["day"] < QUIET]
                # Alarms of the last weeks go on long after their days.
                if each["day"] - seen[0]["day"] >= QUIET and ratio(last) < CALM:
                    seen = []
        # An alarm of earlier weeks may begin it before the loss rose.
        usual = (1 + ratio(seen)) / 2 if seen else 0.0
        while len(seen) > 1 and seen[0]["ratio"] < usual:
            seen = seen[1:]
        return Page(seen[0]["day"], seen[-1]["day"], ratio(seen)) if seen else None

    def forbidden(self) -> str:
        """The reason why no automatic retraining may start, if any."""
        *_, last = [None, *self.retrainings]
        decided = [entry.version for entry in self.history if entry.event != "retrain"]
        if last and last.content["outcome"] == WAITING and last.version not in decided:
            return f"version {last.version} waits for a decision"
        days = self.options.cool_down_days
        if last and (self.today - last.day).days < days:
            return f"the last retraining was on {last.day}, and the cool-down is {days} days"
        tried = [entry for entry in self.history if entry.content.get("outcome") == FAILED]
        if tried and tried[-1].day == self.today:
            return "the retraining of today failed"
        year = [entry for entry in self.retrainings if (self.today - entry.day).days < YEAR]
        if len(year) >= self.options.per_year:
            return f"{len(year)} retrainings in a year are all that retrain.per_year allows"
        return ""


def to_date(day: str | date) -> date:
    """Read a day, as JSON has it or not."""
    return date.fromisoformat(str(day))


def mean_losses(days: Sequence[Content]) -> tuple[float, float, int]:
    """Mean observed and expected loss of the rows of some days, and their number."""
    rows = sum(day["rows"] for day in days)
    observed, expected = (
        float(sum(day["rows"] * day[name] for day in days) / max(rows, 1))
        for name in ("observed", "expected")
    )
    return observed, expected, rows


def ratio(days: Sequence[Content]) -> float:
    """Observed over expected loss of some days."""
    observed, expected, _ = mean_losses(days)
    return observed / expected
