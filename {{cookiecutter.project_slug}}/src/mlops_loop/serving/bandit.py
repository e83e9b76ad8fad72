"""`serving.strategy: bandit`: the version with the better rewards predicts more and more."""

from dataclasses import dataclass
from random import Random
from statistics import fmean, stdev

import sqlalchemy as sql

from . import feedback
from . import prediction_log as log
from .params import Bandit as Options

LATEST = 1_000  # rewards of a version that count, so that a decline is noticed
LEAST = 10  # rewards of each version before they count


@dataclass(frozen=True)
class Rewards:
    """The rewards of a version: 1 for the right class, or minus the absolute error."""

    number: int
    mean: float
    deviation: float


class Bandit:
    """Chooses a version by the rewards of its predictions."""

    def __init__(self, options: Options, metric: feedback.Metric, random: Random) -> None:
        self._options, self._metric, self._random = options, metric, random
        self.rewards: dict[int, Rewards] = {}

    def choose(self, versions: list[int]) -> int:
        """Choose one of these versions."""
        explores = self._options.policy == "epsilon" and self._random.random() < (
            self._options.epsilon
        )
        if explores or not all(version in self.rewards for version in versions):
            return self._random.choice(versions)
        if self._options.policy == "thompson":
            return max(versions, key=self._draw)
        return max(versions, key=lambda version: self.rewards[version].mean)

    def _draw(self, version: int) -> float:
        """Sample a version's mean reward (Thompson, 1933): Beta of a rate, normal of a mean."""
        known = self.rewards[version]
        if self._metric == "correct":
            right = known.number * known.mean
            return self._random.betavariate(1 + right, 1 + known.number - right)
        return self._random.gauss(known.mean, known.deviation / known.number**0.5)

    def refresh(self, engine: sql.Engine, versions: list[int]) -> None:
        """Read the latest rewards of each version; keep them where the database is down."""
        p, rewards = log.predictions.c, {}
        sign = 1 if self._metric == "correct" else -1
        try:
            with engine.connect() as connection:
                for version in versions:
                    query = log.answered.where(p.strategy == "bandit", p.version == version)
                    latest = query.order_by(log.feedback.c.time.desc()).limit(LATEST)
                    values = [
                        feedback.value(self._metric, row.output["prediction"], row.actual)
                        for row in connection.execute(latest)
                    ]
                    known = [sign * value for value in values if value is not None]
                    if len(known) >= LEAST:
                        rewards[version] = Rewards(len(known), fmean(known), stdev(known))
        except sql.exc.SQLAlchemyError:
            return
        self.rewards = rewards
