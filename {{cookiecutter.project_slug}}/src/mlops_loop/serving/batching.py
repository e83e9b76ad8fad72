"""Requests of one record that arrive at the same moment are scored in one go.

Starting Polars and LightGBM is most of what a row costs: sixteen take twice as long as one.
"""

import asyncio
from collections.abc import Callable

from ..models.types import Floats
from .router import Record
from .versions import LoadedVersion

Score = Callable[[LoadedVersion, list[Record]], Floats]
Waiting = list[tuple[Record, asyncio.Future[Floats]]]


class DynamicBatcher:
    """Collects records until all that have arrived are there; each version scores its own."""

    def __init__(self, score: Score) -> None:
        self._score = score
        self._waiting: dict[int, Waiting] = {}

    async def score(self, served: LoadedVersion, record: Record) -> Floats:
        """The score of one record; raises what scoring it raises."""
        loop = asyncio.get_running_loop()
        if served.version not in self._waiting:
            self._waiting[served.version] = []
            loop.call_soon(self._answer, served)
        scored: asyncio.Future[Floats] = loop.create_future()
        self._waiting[served.version].append((record, scored))
        return await scored

    def _answer(self, served: LoadedVersion) -> None:
        waiting = self._waiting.pop(served.version)
        try:
            scores = self._score(served, [record for record, _ in waiting])
        except Exception:
            for record, scored in waiting:  # only who sent the one that fails learns of it
                self._answer_alone(served, record, scored)
            return
        for row, (_, scored) in enumerate(waiting):
            if not scored.cancelled():
                scored.set_result(scores[row : row + 1])

    def _answer_alone(
        self, served: LoadedVersion, record: Record, scored: "asyncio.Future[Floats]"
    ) -> None:
        if scored.cancelled():
            return
        try:
            scored.set_result(self._score(served, [record]))
        except Exception as error:
            scored.set_exception(error)
