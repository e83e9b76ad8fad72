"""Dynamic batching: requests of one record that arrive at the same moment are scored together.

Starting Polars and LightGBM is most of the cost of a row: sixteen take twice as long as one.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from ..models.types import Floats
from .versions import LoadedVersion

Record = dict[str, Any]
Score = Callable[[LoadedVersion, list[Record]], Floats]
Batch = list[tuple[Record, asyncio.Future[Floats]]]


class DynamicBatcher:
    """Collects the records that have arrived; each version scores its own."""

    def __init__(self, score: Score) -> None:
        self._score = score
        self._waiting: dict[int, Batch] = {}

    async def score(self, served: LoadedVersion, record: Record) -> Floats:
        """Score one record; raises what scoring it raises."""
        scored: asyncio.Future[Floats] = asyncio.get_running_loop().create_future()
        if served.version not in self._waiting:
            self._waiting[served.version] = []
            scored.get_loop().call_soon(self._score_batch, served)
        self._waiting[served.version].append((record, scored))
        return await scored

    def _score_batch(self, served: LoadedVersion) -> None:
        self._resolve(served, self._waiting.pop(served.version))

    def _resolve(self, served: LoadedVersion, batch: Batch) -> None:
        batch = [one for one in batch if not one[1].cancelled()]
        if not batch:
            return
        try:
            scores = self._score(served, [record for record, _ in batch])
        except Exception as error:
            if len(batch) == 1:
                batch[0][1].set_exception(error)
            else:  # only the request with the record that fails gets its error
                for one in batch:
                    self._resolve(served, [one])
            return
        for row, (_, scored) in enumerate(batch):
            scored.set_result(scores[row : row + 1])
