"""The versions that are served: read from the folder that `follow` keeps, hot-swapped on change."""

import time
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl

from ..data.contract import Contract, load_contract
from ..files import Content, read_json, write_json
from ..models import golden
from ..models.model import Model, load
from ..project import UserError
from . import telemetry
from .follow import CHALLENGER, CHAMPION, Follower, VersionRef, is_intact, read_ref, read_state
from .params import IMPUTED, Serving
from .schema import RequestSchema, find_conflict

RETRY_SECONDS = 60  # before a refused version is loaded again, its alias unmoved
STALE_SECONDS = 60  # since the last look at the registry
# For the registry to be read before the service starts: with a version to serve, or with none.
COPY_SECONDS, FIRST_SECONDS = 15, 120


@dataclass(frozen=True)
class LoadedVersion:
    """A version in memory, with its contract, tags, test metrics and golden requests.

    `model` is the version's baseline where its own cannot be used and no other was served.
    """

    ref: VersionRef
    version: int
    model: Model
    contract: Contract
    requests: RequestSchema
    tags: dict[str, str]
    metrics: Content
    golden: Content
    target_range: tuple[Any, Any]  # that the contract allows
    is_baseline: bool = False


class Versions:
    """The version behind each alias; `problems` holds why an alias is not served as it should.

    `served` is replaced, never changed: a request keeps the versions that it began with.
    """

    def __init__(self, folder: Path, options: Serving, follower: Follower | None = None) -> None:
        self._folder, self._max_rows, self._follower = folder, options.max_rows, follower
        self.served: dict[str, LoadedVersion] = {}
        self.problems: dict[str, str | None] = dict.fromkeys(("registry", *options.aliases))
        self._refused: dict[str, tuple[VersionRef, float, str]] = {}  # until when, and why
        if follower:
            follower.ensure()
        # The version that was served last comes first: the registry may name a broken one.
        for alias in options.aliases:
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
        registry, *problems = self.problems.items()
        return {alias: (registry[1] or text) is not None for alias, text in problems}

    def refresh(self) -> None:
        """Serve the versions that the folder names now; whatever fails, the old one stays."""
        if self._follower:
            self._follower.ensure()
        for name, old in self.problems.items():
            problem = self._registry_problem() if name == "registry" else self._refresh(name)
            self.problems[name] = problem
            if problem != old:
                telemetry.log("version", alias=name, problem=problem)
        imputed = read_json(file) if (file := self._folder / IMPUTED).exists() else {}
        for each in self.served.values():
            each.requests.imputed = imputed.get(str(each.version), {})

    def _registry_problem(self) -> str | None:
        state = read_state(self._folder)
        if self._follower and time.time() - state["time"] > STALE_SECONDS:
            return f"the registry was not read for {STALE_SECONDS} s"
        problem: str | None = state["problem"]
        return problem

    def _refresh(self, alias: str) -> str | None:
        ref, old = read_ref(self._folder / f"{alias}.json"), self.served.get(alias)
        if old and alias == CHALLENGER and (ref is None or self._misfit(old)):
            self.served = {CHAMPION: self.champion}
        if ref is None and alias == CHAMPION:
            return "the registry has no champion; run `make train` first."
        return self._serve(alias, ref) if ref else None

    def _serve(self, alias: str, ref: VersionRef) -> str | None:
        """Load and check a version unless it is served; returns why it is refused, if so."""
        refused, until, why = self._refused.get(alias, (None, 0.0, ""))
        if refused == ref and time.monotonic() < until:  # loading it again would cost requests
            return why
        self._refused.pop(alias, None)
        old = self.served.get(alias)
        try:
            if old is None or old.ref != ref:
                self._load(alias, ref)
        except Exception as error:
            why = f"{alias}: version {old.version} stays: {error}" if old else str(error)
            if alias == CHAMPION and old is None:
                why += self._serve_baseline(ref)
            self._refused[alias] = ref, time.monotonic() + RETRY_SECONDS, why
            return why
        return None

    def _serve_baseline(self, ref: VersionRef) -> str:
        """Let the baseline of a champion that cannot be used answer; returns a sentence on it."""
        try:
            loaded = self._read(ref, "baseline")
        except Exception:  # there is no copy of it either
            return ""
        # Another hash than the version's: its own model is tried again.
        loaded = replace(loaded, ref=replace(ref, model_hash="baseline"), is_baseline=True)
        self.served = {CHAMPION: loaded}
        return "; its baseline answers"

    def _read(self, ref: VersionRef, model: str) -> LoadedVersion:
        """Load a version from its copy, with its `model` or its `baseline`, and score a record."""
        copy = self._folder / ref.folder
        contract, loaded = load_contract(copy / "contract.yaml"), load(copy / model)
        known = read_json(copy / "version.json")
        example = known["golden"]["records"][0]
        requests = RequestSchema(contract, self._max_rows, example)
        loaded.score(pl.DataFrame([example]))
        ranges = {column.name: (column.min, column.max) for column in contract.columns}
        return LoadedVersion(
            ref=ref,
            model=loaded,
            contract=contract,
            requests=requests,
            target_range=ranges.get(loaded.target, (None, None)),
            **known,
        )

    def _load(self, alias: str, ref: VersionRef) -> None:
        copy, last = self._folder / ref.folder, self._folder / f"{alias}.last.json"
        if not is_intact(copy, ref):
            raise UserError(f"the copy of version {ref.version} is missing or damaged: {copy}")
        loaded = self._read(ref, "model")
        golden.check(loaded.model, loaded.golden)
        if alias == CHALLENGER and (problem := self._misfit(loaded)):
            raise UserError(problem)
        self.served = {**self.served, alias: loaded}
        if read_ref(last) != ref:
            with suppress(OSError):  # the folder of an image may be read-only
                write_json(last, vars(ref))
        telemetry.log("version", alias=alias, serves=loaded.version)

    def _misfit(self, challenger: LoadedVersion) -> str | None:
        """The reason why a challenger cannot predict what the champion is asked, if any."""
        if (champion := self.served.get(CHAMPION)) is None:
            return None
        ours, theirs = champion.model.task_signature, challenger.model.task_signature
        if ours != theirs:
            return f"it predicts {theirs}, the champion {ours}"
        if conflict := find_conflict(champion.contract, challenger.contract):
            return f"its contract refuses requests of the champion: {conflict}"
        return None
