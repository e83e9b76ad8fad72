"""The versions that are served: found at the start, exchanged when their alias moves."""

import time
from collections.abc import Callable
from functools import partial

from ..data.contract import Contract
from ..models import golden
from ..project import Paths, Settings, UserError
from . import registry, schema
from . import telemetry as observe
from .registry import Pointer, Served

CHAMPION, CHALLENGER = "champion", "challenger"
RETRY_SECONDS = 60  # after which a refused version is loaded again, its alias unmoved

MISSING = {
    CHAMPION: "the registry has no champion; run `make train` first.",
    CHALLENGER: "there is no challenger: the champion answers everything",
}


class Versions:
    """What each alias serves; `problems` says of each why that is not what the registry names.

    `served` is replaced, never changed: a request goes on with what it began with.
    """

    def __init__(
        self, paths: Paths, settings: Settings, contract: Contract, aliases: tuple[str, ...]
    ) -> None:
        self._paths, self._settings, self._contract = paths, settings, contract
        self.served: dict[str, Served] = {}
        self.problems: dict[str, str | None] = dict.fromkeys(aliases)
        self._pointers: dict[str, Pointer] = {}
        self._refused: dict[str, tuple[Pointer, float, str]] = {}  # until when, and why
        # What was served last comes first: the registry may be away, or name what will not do.
        for alias in aliases:
            self._follow(alias, partial(registry.last, paths, alias))
        self.look()
        if CHAMPION not in self.served:
            raise UserError(f"there is no model to serve: {self.problems[CHAMPION]}")

    @property
    def champion(self) -> Served:
        """The version that answers, unless a strategy lets the challenger."""
        return self.served[CHAMPION]

    @property
    def problem(self) -> str | None:
        """The problems of all aliases as one text."""
        return "; ".join(filter(None, self.problems.values())) or None

    @property
    def refused(self) -> dict[str, bool]:
        """Of each alias, whether what the registry names is not served."""
        fine = (None, MISSING[CHALLENGER])
        return {alias: problem not in fine for alias, problem in self.problems.items()}

    def look(self) -> None:
        """Serve what the registry names; whatever goes wrong with it, the old version stays."""
        for alias, known in self.problems.items():
            if alias in self.served and not self._fits(alias, self.served[alias]):
                self._drop(alias)
            problem = self._follow(
                alias, partial(registry.find, self._paths, self._settings, alias)
            )
            self.problems[alias] = problem
            if problem != known:
                observe.log("version", alias=alias, problem=problem)

    def _follow(self, alias: str, find: Callable[[], Pointer | None]) -> str | None:
        """Serve the version that is found; returns why not, if so."""
        try:
            pointer = find()
            if pointer is None:
                if alias != CHAMPION:
                    self._drop(alias)
                return MISSING[alias]
            if pointer != self._pointers.get(alias):
                self._take(alias, pointer)
            self._refused.pop(alias, None)
        except Exception as error:
            old = self.served.get(alias)
            return f"{alias}: version {old.version} stays: {error}" if old else str(error)
        return None

    def _take(self, alias: str, pointer: Pointer) -> None:
        """Serve a version unless it was refused just now: loading it again costs others time."""
        refused, until, why = self._refused.get(alias, (None, 0.0, ""))
        if refused == pointer and time.monotonic() < until:
            raise UserError(why)
        try:
            self._load(alias, pointer)
        except Exception as error:
            self._refused[alias] = pointer, time.monotonic() + RETRY_SECONDS, str(error)
            raise

    def _load(self, alias: str, pointer: Pointer) -> None:
        served = registry.serve(self._paths, self._settings, pointer)
        served.model.score(schema.example_frame(self._contract))
        golden.check(served.model, served.golden)
        if not self._fits(alias, served):
            answered = self.champion.model.task_signature
            raise UserError(f"it answers {served.model.task_signature}, the champion {answered}")
        registry.remember(self._paths, alias, pointer)
        self.served, self._pointers[alias] = {**self.served, alias: served}, pointer
        observe.log("version", alias=alias, serves=served.version)

    def _fits(self, alias: str, served: Served) -> bool:
        """Whether a version answers the champion's question; the champion sets it."""
        champion = self.served.get(CHAMPION, served)
        return alias == CHAMPION or served.model.task_signature == champion.model.task_signature

    def _drop(self, alias: str) -> None:
        self.served = {name: served for name, served in self.served.items() if name != alias}
        self._pointers.pop(alias, None)
