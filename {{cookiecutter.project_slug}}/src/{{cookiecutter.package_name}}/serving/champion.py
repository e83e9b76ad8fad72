"""The version that is served: found at the start, exchanged when its alias moves."""

import asyncio

from ..data.contract import Contract
from ..errors import UserError
from ..paths import Paths
from ..settings import Settings
from . import registry, schema
from .registry import Pointer, Served, Unreachable

ALIAS = "champion"


class Champion:
    """The served version; `problem` says why a newer one is not, or that the registry is away."""

    def __init__(self, paths: Paths, settings: Settings, contract: Contract) -> None:
        self._paths, self._settings, self._contract = paths, settings, contract
        self.problem: str | None = None
        self._pointer, self.served = self._start()

    def _start(self) -> tuple[Pointer, Served]:
        """The alias's version, or the last one that was served where the registry is away.

        Raises UserError where there is neither.
        """
        try:
            pointer = registry.find(self._paths, self._settings, ALIAS)
            if pointer is None:
                raise UserError("the registry has no champion; run `make train` first.")
            return pointer, self._open(pointer)
        except Unreachable as error:
            known = registry.last(self._paths, ALIAS)
            if known is None:
                raise UserError(f"there is no model to serve: {error}.") from error
            self.problem = f"version {known.version} stays: {error}"
            return known, registry.open_copy(self._paths.served / known.model_hash)

    def _open(self, pointer: Pointer) -> Served:
        served = registry.serve(self._paths, self._settings, pointer)
        served.model.score(schema.example_frame(self._contract))
        registry.remember(self._paths, ALIAS, pointer)
        return served

    def look(self) -> None:
        """Serve the alias's version; whatever goes wrong with it, the old one stays."""
        try:
            pointer = registry.find(self._paths, self._settings, ALIAS)
            if pointer not in (None, self._pointer):
                self.served, self._pointer = self._open(pointer), pointer
            self.problem = None
        except Exception as error:
            self.problem = f"version {self._pointer.version} stays: {error}"

    async def watch(self, seconds: float) -> None:
        """Look again and again, beside the requests."""
        while True:
            await asyncio.sleep(seconds)
            await asyncio.to_thread(self.look)
