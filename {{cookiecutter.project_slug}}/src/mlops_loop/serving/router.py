"""The choice of a version by `serving.strategy`: champion, challenger, or both."""

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import sqlalchemy as sql

from ..data.contract import Contract, request_columns
from ..project import UserError
from . import telemetry
from .bandit import Bandit
from .feedback import metric_of
from .follow import CHALLENGER, CHAMPION
from .params import Serving
from .versions import LoadedVersion, Versions

UNITS = 2**32
MAX_SHADOW_ROWS = 1_000  # that wait for the challenger
Record = dict[str, Any]


@dataclass(frozen=True)
class Assignment:
    """Rows of a request that one version predicts, with the unit of each (A/B test, canary)."""

    strategy: str
    alias: str
    served: LoadedVersion
    rows: Sequence[int]
    units: Sequence[int | None]


def assign_all(strategy: str, alias: str, served: LoadedVersion, rows: int) -> Assignment:
    """Assign all rows of a request to one version."""
    return Assignment(strategy, alias, served, range(rows), [None] * rows)


class Router:
    """Assigns the rows of a request to versions."""

    def __init__(
        self, options: Serving, contract: Contract, versions: Versions, random: Random
    ) -> None:
        names = [column.name for column in request_columns(contract)]
        if options.sticky_by not in (None, *names):
            raise UserError(
                f"params.yaml: serving.sticky_by: {options.sticky_by} is none of {names}."
            )
        self.options, self.versions = options, versions
        self._name = options.design if options.strategy == "ab" else options.strategy
        self.bandit = Bandit(options.bandit, metric_of(versions.champion.model.task), random)

    @property
    def strategy(self) -> str:
        """The strategy at present, as it is logged: without a challenger it is `single`."""
        return self._name if CHALLENGER in self.versions.served else "single"

    def assign(self, records: list[Record], key: str) -> list[Assignment]:
        """Assign records to versions; equal keys, or values of `sticky_by`, get the same one."""
        served = self.versions.served  # once: it may be replaced meanwhile
        strategy = self._name if CHALLENGER in served else "single"
        share = self._challenger_share(served)
        if not share:
            return [assign_all(strategy, CHAMPION, served[CHAMPION], len(records))]
        column = self.options.sticky_by
        units = [unit(strategy, record[column] if column else key) for record in records]
        rows: dict[str, list[int]] = {CHAMPION: [], CHALLENGER: []}
        for row, each in enumerate(units):
            rows[CHALLENGER if each < share * UNITS else CHAMPION].append(row)
        return [
            Assignment(strategy, alias, served[alias], chosen, [units[row] for row in chosen])
            for alias, chosen in rows.items()
            if chosen
        ]

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


def unit(salt: str, key: object) -> int:
    """A hash of a key below UNITS; the key itself may be personal data."""
    return int.from_bytes(hashlib.sha256(f"{salt} {key}".encode()).digest()[:4])


class Shadow:
    """Requests that the challenger predicts in the background, for the log alone."""

    def __init__(self) -> None:
        self._waiting: asyncio.Queue[tuple[int, Callable[[], None]]] = asyncio.Queue()
        self._rows = 0

    def offer(self, rows: int, predict: Callable[[], None]) -> None:
        """Queue a request of so many rows; where too many wait, it is dropped and counted."""
        if self._rows > MAX_SHADOW_ROWS:
            telemetry.unshown.inc(rows)
            return
        self._rows += rows
        self._waiting.put_nowait((rows, predict))

    async def run(self) -> None:
        """Predict one request after another."""
        while True:
            rows, predict = await self._waiting.get()
            try:
                await asyncio.to_thread(predict)
            except Exception as error:
                telemetry.unshown.inc(rows)
                telemetry.log("shadow", problem=type(error).__name__)
            self._rows -= rows
