"""The versions that are served: read from the folder that `follow` keeps, hot-swapped on change."""

import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..data.contract import Contract
from ..files import read_json, write_json
from ..models import golden
from ..models.model import Model, load
from ..project import UserError
from . import schema, telemetry
from .follow import CHALLENGER, CHAMPION, Follower, VersionRef, is_intact, read_ref, read_state

RETRY_SECONDS = 60  # before a refused version is loaded again, its alias unmoved
STALE_SECONDS = 60  # since the last look at the registry
# For the registry to be read before the service starts: with a version to serve, or with none.
COPY_SECONDS, FIRST_SECONDS = 15, 120

MISSING = {
    CHAMPION: "the registry has no champion; run `make train` first.",
    CHALLENGER: "there is no challenger: the champion answers everything",
}


@dataclass(frozen=True)
class LoadedVersion:
    """A version in memory, with its tags, test metrics and golden requests."""

    version: int
    model: Model
    tags: dict[str, str]
    metrics: dict[str, Any]
    golden: dict[str, Any]


class Versions:
    """The version behind each alias; `problems` holds why an alias is not served as it should.

    `served` is replaced, never changed: a request keeps the versions that it began with.
    """

    def __init__(
        self,
        folder: Path,
        contract: Contract,
        aliases: tuple[str, ...],
        follower: Follower | None = None,
    ) -> None:
        self._folder, self._contract, self._follower = folder, contract, follower
        self.served: dict[str, LoadedVersion] = {}
        self.problems: dict[str, str | None] = dict.fromkeys(("registry", *aliases))
        self._refs: dict[str, VersionRef] = {}
        self._refused: dict[str, tuple[VersionRef, float, str]] = {}  # until when, and why
        if follower:
            follower.ensure()
        # The version that was served last comes first: the registry may name a broken one.
        for alias in aliases:
            if ref := read_ref(folder / f"{alias}.last.json"):
                self._serve(alias, ref)
        if follower:
            follower.wait(COPY_SECONDS if CHAMPION in self.served else FIRST_SECONDS)
            self._refused.clear()  # a damaged copy may have been replaced
        self.refresh()
        if CHAMPION not in self.served:
            raise UserError(f"there is no model to serve: {self.problem}")

    @property
    def champion(self) -> LoadedVersion:
        """The version that predicts, unless a strategy chooses the challenger."""
        return self.served[CHAMPION]

    @property
    def problem(self) -> str | None:
        """The problems of the registry and of all aliases as one text."""
        return "; ".join(filter(None, self.problems.values())) or None

    @property
    def refused(self) -> dict[str, bool]:
        """For each alias, whether the version that the registry names is not served, or unknown."""
        problems = {**self.problems}
        unknown = problems.pop("registry") is not None
        fine = (None, MISSING[CHALLENGER])
        return {alias: unknown or text not in fine for alias, text in problems.items()}

    def refresh(self) -> None:
        """Serve the versions that the folder names now; whatever fails, the old one stays."""
        if self._follower:
            self._follower.ensure()
        for name, old in self.problems.items():
            problem = self._registry_problem() if name == "registry" else self._refresh(name)
            self.problems[name] = problem
            if problem != old:
                telemetry.log("version", alias=name, problem=problem)

    def _registry_problem(self) -> str | None:
        state = read_state(self._folder)
        if self._follower and time.time() - state["time"] > STALE_SECONDS:
            return f"the registry was not read for {STALE_SECONDS} s"
        problem: str | None = state["problem"]
        return problem

    def _refresh(self, alias: str) -> str | None:
        ref = read_ref(self._folder / f"{alias}.json")
        is_withdrawn = alias != CHAMPION and ref is None
        if alias in self.served and (is_withdrawn or not self._fits(alias, self.served[alias])):
            self.served = {name: one for name, one in self.served.items() if name != alias}
            self._refs.pop(alias, None)
        return self._serve(alias, ref) if ref else MISSING[alias]

    def _serve(self, alias: str, ref: VersionRef) -> str | None:
        """Load and check a version unless it is served; returns why it is refused, if so."""
        refused, until, why = self._refused.get(alias, (None, 0.0, ""))
        if refused == ref and time.monotonic() < until:  # loading it again would cost requests
            return why
        self._refused.pop(alias, None)
        try:
            if ref != self._refs.get(alias):
                self._load(alias, ref)
        except Exception as error:
            old = self.served.get(alias)
            why = f"{alias}: version {old.version} stays: {error}" if old else str(error)
            self._refused[alias] = ref, time.monotonic() + RETRY_SECONDS, why
            return why
        return None

    def _load(self, alias: str, ref: VersionRef) -> None:
        copy, last = self._folder / ref.model_hash, self._folder / f"{alias}.last.json"
        if not is_intact(copy):
            raise UserError(f"the copy of version {ref.version} is missing or damaged: {copy}")
        loaded = LoadedVersion(model=load(copy / "model"), **read_json(copy / "version.json"))
        loaded.model.score(schema.example_frame(self._contract))
        golden.check(loaded.model, loaded.golden)
        if not self._fits(alias, loaded):
            expected = self.champion.model.task_signature
            raise UserError(f"it predicts {loaded.model.task_signature}, the champion {expected}")
        self.served, self._refs[alias] = {**self.served, alias: loaded}, ref
        if read_ref(last) != ref:
            with suppress(OSError):  # the folder of an image may be read-only
                write_json(last, vars(ref))
        telemetry.log("version", alias=alias, serves=loaded.version)

    def _fits(self, alias: str, version: LoadedVersion) -> bool:
        """Return whether a version predicts what the champion predicts."""
        champion = self.served.get(CHAMPION, version)
        return alias == CHAMPION or version.model.task_signature == champion.model.task_signature
