"""`serving.strategy: bandit`: the version with the better rewards answers more and more."""

from collections import defaultdict
from dataclasses import dataclass
from random import Random
from statistics import fmean, stdev

import sqlalchemy as sql

from . import kpi, log
from .params import Bandit as Options

LATEST = 2_000  # rewards that count, so that a version that has become worse is noticed
LEAST = 10  # rewards of each version before they count


@dataclass(frozen=True)
class Rewards:
    """The rewards of a version: whether the class was right, or minus the absolute error."""

    number: int
    mean: float
    deviation: float


class Bandit:
    """Chooses the version that answers by the feedback on what they answered."""

    def __init__(self, options: Options, judged_by: kpi.Kpi, random: Random) -> None:
        self._options, self._kpi, self._random = options, judged_by, random
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
        if self._kpi == "correct":
            right = known.number * known.mean
            return self._random.betavariate(1 + right, 1 + known.number - right)
        return self._random.gauss(known.mean, known.deviation / known.number**0.5)

    def refresh(self, engine: sql.Engine) -> None:
        """Read the latest rewards; what is known stays where the database does not answer."""
        query = log.answered.where(log.predictions.c.strategy == "bandit")
        latest = query.order_by(log.feedback.c.time.desc()).limit(LATEST)
        try:
            with engine.connect() as connection:
                rows = connection.execute(latest).all()
        except sql.exc.SQLAlchemyError:
            return
        values = defaultdict(list)
        for row in rows:
            value = kpi.value(self._kpi, row.output["prediction"], row.actual)
            if value is not None:
                values[row.version].append(value if self._kpi == "correct" else -value)
        self.rewards = {
            version: Rewards(len(known), fmean(known), stdev(known))
            for version, known in values.items()
            if len(known) >= LEAST
        }
