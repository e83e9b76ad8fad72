"""The choice of a version by `serving.strategy`: champion, challenger, or both."""

import asyncio
import hashlib
from random import Random
from statistics import fmean, stdev
from typing import NamedTuple

import sqlalchemy as sql

from ..project import UserError
from . import log_tables as log
from . import telemetry
from .follow import CHALLENGER, CHAMPION
from .params import Serving
from .schema import Records
from .versions import LoadedVersion, Versions

UNITS = 2**32
LATEST = 1_000  # rewards of a version that count, so that a decline is noticed
LEAST = 10  # rewards of each version before they count


class Assignment(NamedTuple):
    """The version that predicts a request, and the request's unit (A/B test, canary)."""

    strategy: str
    alias: str
    served: LoadedVersion
    unit: int | None = None


class SeveralUnits(Exception):
    """A request of several records, of which each may belong to another unit."""


class Router:
    """Assigns requests to versions."""

    def __init__(self, options: Serving, versions: Versions, random: Random) -> None:
        names = [column.name for column in versions.champion.requests.columns]
        sticky = options.sticky_by
        if sticky not in (None, *names):
            raise UserError(f"params.yaml: serving.sticky_by: {sticky} is none of {names}.")
        self.options, self.versions = options, versions
        self.bandit = Bandit(options.task, random)

    def strategy(self, served: dict[str, LoadedVersion]) -> str:
        """The strategy as it is logged: without a challenger it is `single`."""
        return self.options.logged_strategy if CHALLENGER in served else "single"

    def assign(self, served: dict[str, LoadedVersion], records: Records, key: str) -> Assignment:
        """Assign a request to a version; equal keys, or values of `sticky_by`, get the same one.

        Raises SeveralUnits for several records where each has a key of its own.
        """
        strategy, share = self.strategy(served), self._challenger_share(served)
        if not share:
            return Assignment(strategy, CHAMPION, served[CHAMPION])
        if column := self.options.sticky_by:
            if len(records) > 1:
                raise SeveralUnits
            key = str(records[0].get(column, key))  # another champion's requests may lack it
        found = unit(strategy, key)
        alias = CHALLENGER if found < share * UNITS else CHAMPION
        return Assignment(strategy, alias, served[alias], found)

    def _challenger_share(self, served: dict[str, LoadedVersion]) -> float:
        if CHALLENGER not in served:
            return 0
        if self.options.strategy == "bandit":
            versions = [served[alias].version for alias in (CHAMPION, CHALLENGER)]
            return float(self.bandit.choose(versions) == versions[1])
        shares = {"canary": self.options.canary.percent / 100, "ab": self.options.ab.share}
        return shares.get(self.options.strategy, 0)

    async def watch(self, engine: sql.Engine) -> None:
        """Refresh the versions and the rewards every few seconds."""
        while True:
            await asyncio.sleep(self.options.refresh_seconds)
            try:
                await asyncio.to_thread(self.versions.refresh)
                if self.options.strategy == "bandit":
                    served = [each.version for each in self.versions.served.values()]
                    await asyncio.to_thread(self.bandit.refresh, engine, served)
            except Exception as error:
                telemetry.log("watch", problem=type(error).__name__)


def unit(salt: str, key: str) -> int:
    """A hash of a key below UNITS; the key itself may be personal data."""
    return int.from_bytes(hashlib.sha256(f"{salt} {key}".encode()).digest()[:4])


class Bandit:
    """Chooses a version by the rewards of its predictions: Thompson sampling (1933).

    A reward is 1 for the right class and 0 for a wrong one, or minus the absolute error.
    """

    def __init__(self, task: str, random: Random) -> None:
        self._task, self._random = task, random
        self._rewards: dict[int, tuple[int, float, float]] = {}  # number, mean, deviation

    def choose(self, versions: list[int]) -> int:
        """Choose one of these versions, at random until the rewards of each are known."""
        if any(version not in self._rewards for version in versions):
            return self._random.choice(versions)
        return max(versions, key=self._draw)

    def _draw(self, version: int) -> float:
        """Sample a version's mean reward: Beta of a rate, normal of a mean."""
        number, mean, deviation = self._rewards[version]
        if self._task == "regression":
            return self._random.gauss(mean, deviation / number**0.5)
        right = number * mean
        return self._random.betavariate(1 + right, 1 + number - right)

    def refresh(self, engine: sql.Engine, versions: list[int]) -> None:
        """Read the latest rewards of each version; where that fails, the old ones stay."""
        p, rewards = log.predictions.c, {}
        sign = -1 if self._task == "regression" else 1
        with engine.connect() as connection:
            for version in versions:
                query = log.answered.where(p.strategy == "bandit", p.version == version)
                latest = query.order_by(log.feedback.c.time.desc()).limit(LATEST)
                measured = log.measure(connection, latest, self._task)
                values = [sign * value for _, value in measured]
                if len(values) >= LEAST:
                    rewards[version] = len(values), fmean(values), stdev(values)
        self._rewards = rewards
