"""`serving.strategy: bandit`: the version with the better rewards answers more and more."""

from dataclasses import dataclass
from random import Random
from statistics import fmean, stdev
from typing import Any

import sqlalchemy as sql

from . import feedback
from . import prediction_log as log
from .params import Bandit as Options

LATEST = 1_000  # rewards of a version that count, so that one that has become worse is noticed
LEAST = 10  # rewards of each version before they count


@dataclass(frozen=True)
class Rewards:
    """The rewards of a version: whether the class was right, or minus the absolute error."""

    number: int
    mean: float
    deviation: float


class Bandit:
    """Chooses the version that answers by the feedback on what they answered."""

    def __init__(self, options: Options, metric: feedback.Metric, random: Random) -> None:
        self._options, self._metric, self._random = options, metric, random
        self.rewards: dict[int, Rewards] = {}

    def choose(self, versions: list[int]) -> int:
        """One of these versions."""
        if not all(version in self.rewards for version in versions):
            return self._random.choice(versions)
        if self._options.policy == "thompson":
            return max(versions, key=self._draw)
        if self._random.random() < self._options.epsilon:
            return self._random.choice(versions)
        return max(versions, key=lambda version: self.rewards[version].mean)

    def _draw(self, version: int) -> float:
        """How good the version may be (Thompson, 1933): Beta of a rate, normal of a mean."""
        known = self.rewards[version]
        if self._metric == "correct":
            right = known.number * known.mean
            return self._random.betavariate(1 + right, 1 + known.number - right)
        return self._random.gauss(known.mean, known.deviation / known.number**0.5)

    def refresh(self, engine: sql.Engine, versions: list[int]) -> None:
        """Read the latest rewards of each version; they stay where the database does not answer."""
        found = {}
        try:
            with engine.connect() as connection:
                for version in versions:
                    found[version] = connection.execute(_latest(version)).all()
        except sql.exc.SQLAlchemyError:
            return
        self.rewards = {}
        for version, rows in found.items():
            values = [
                feedback.value(self._metric, row.output["prediction"], row.actual) for row in rows
            ]
            known = [value for value in values if value is not None]
            if len(known) >= LEAST:
                sign = 1 if self._metric == "correct" else -1
                self.rewards[version] = Rewards(len(known), sign * fmean(known), stdev(known))


def _latest(version: int) -> sql.Select[Any]:
    p = log.predictions.c
    query = log.answered.where(p.strategy == "bandit", p.version == version)
    return query.order_by(log.feedback.c.time.desc()).limit(LATEST)
