"""Who answers: the champion, or by `serving.strategy` the challenger, now and then or unseen."""

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import sqlalchemy as sql

from ..data.contract import Contract, request_columns
from ..project import UserError
from . import telemetry as observe
from .bandit import Bandit
from .feedback import metric_of
from .follow import CHALLENGER, CHAMPION
from .params import Serving
from .versions import LoadedVersion, Versions

UNITS = 2**32
SHADOWED_ROWS = 1_000  # that may wait for the challenger
Record = dict[str, Any]


@dataclass(frozen=True)
class Part:
    """Rows of a request that one version answers, and the unit that each of them belongs to."""

    strategy: str
    alias: str
    served: LoadedVersion
    rows: Sequence[int]
    units: Sequence[int | None]


def whole(strategy: str, alias: str, served: LoadedVersion, rows: int) -> Part:
    """A request that one version answers, whoever asks."""
    return Part(strategy, alias, served, range(rows), [None] * rows)


class Router:
    """Divides the rows of a request among the versions."""

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
        """What is done now, as the log calls it."""
        return self._strategy(self.versions.served)

    def _strategy(self, served: dict[str, LoadedVersion]) -> str:
        return self._name if CHALLENGER in served else "single"

    def parts(self, records: list[Record], key: str) -> list[Part]:
        """Which version answers which records; equal keys, or values of `sticky_by`, have one."""
        served = self.versions.served
        strategy, column = self._strategy(served), self.options.sticky_by
        share = self._share(served)
        if not share:
            return [whole(strategy, CHAMPION, served[CHAMPION], len(records))]
        units = [unit(strategy, record[column] if column else key) for record in records]
        rows: dict[str, list[int]] = {CHAMPION: [], CHALLENGER: []}
        for row, each in enumerate(units):
            rows[CHALLENGER if each < share * UNITS else CHAMPION].append(row)
        return [
            Part(strategy, alias, served[alias], chosen, [units[row] for row in chosen])
            for alias, chosen in rows.items()
            if chosen
        ]

    def _share(self, served: dict[str, LoadedVersion]) -> float:
        """The share of the units that the challenger answers."""
        if CHALLENGER not in served:
            return 0
        if self.options.strategy == "bandit":
            versions = {served[alias].version: alias for alias in (CHAMPION, CHALLENGER)}
            return float(versions[self.bandit.choose([*versions])] == CHALLENGER)
        shares = {"canary": self.options.canary.percent / 100, "ab": self.options.ab.share}
        return shares.get(self.options.strategy, 0)

    async def watch(self, engine: sql.Engine) -> None:
        """Look again and again, beside the requests, for other versions and for feedback."""
        while True:
            await asyncio.sleep(self.options.refresh_seconds)
            try:
                await asyncio.to_thread(self._look, engine)
            except Exception as error:
                observe.log("watch", problem=type(error).__name__)

    def _look(self, engine: sql.Engine) -> None:
        self.versions.refresh()
        if self.options.strategy == "bandit":
            served = [each.version for each in self.versions.served.values()]
            self.bandit.refresh(engine, served)


def unit(salt: str, key: object) -> int:
    """A number below UNITS, the same for equal keys; it does not tell the key, which may be
    personal."""
    return int.from_bytes(hashlib.sha256(f"{salt} {key}".encode()).digest()[:4])


class Shadow:
    """What is left to the challenger: answered beside the requests, and only logged."""

    def __init__(self) -> None:
        self._waiting: asyncio.Queue[tuple[int, Callable[[], None]]] = asyncio.Queue()
        self._rows = 0

    def offer(self, rows: int, answer: Callable[[], None]) -> None:
        """Take so many rows to answer; where too many wait, they are dropped and counted."""
        if self._rows > SHADOWED_ROWS:
            observe.unshown.inc(rows)
            return
        self._rows += rows
        self._waiting.put_nowait((rows, answer))

    async def run(self) -> None:
        """Answer one request after the other."""
        while True:
            rows, answer = await self._waiting.get()
            try:
                await asyncio.to_thread(answer)
            except Exception as error:
                observe.unshown.inc(rows)
                observe.log("shadow", problem=type(error).__name__)
            self._rows -= rows
