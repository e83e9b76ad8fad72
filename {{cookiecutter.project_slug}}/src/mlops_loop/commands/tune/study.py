"""The search of `make tune`: an Optuna study that an interruption does not change."""

import hashlib
import itertools
import json
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic

import numpy as np
import optuna
from optuna import Study, Trial
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.pruners import PercentilePruner
from optuna.samplers import RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState

from ...config import changed, flat
from ...console import working
from ...models.dataset import Fold
from ...models.learner import Learner, P
from .folds import judge
from .space import Range, Space

if TYPE_CHECKING:
    from ...tracking.registry import Registry

Values = dict[str, Any]
DIGITS = 4

optuna.logging.set_verbosity(optuna.logging.WARNING)

# The current parameters may lie outside of the space.
warnings.filterwarnings("ignore", message="Fixed parameter")


@dataclass(frozen=True)
class Search(Generic[P]):
    """What is searched, and what judges it."""

    learner: Learner[P]
    space: Space
    metric: str
    folds: list[Fold]

    @property
    def current(self) -> Values:
        """The values that params.yaml has now."""
        now = flat(self.learner.params)
        return {key: now[f"train.{key}"] for key in self.space}

    @property
    def distributions(self) -> dict[str, Any]:
        """The space in Optuna's words; the current value is always among choices."""
        return {key: _distribution(self.space[key], now) for key, now in self.current.items()}

    @property
    def planned(self) -> list[Values]:
        """The points that are not left to a sampler: the current one, then those of a grid."""
        if self.learner.tune.sampler != "grid":
            return [self.current]
        axes = [_axis(each) for each in self.distributions.values()]
        grid = (dict(zip(self.space, point, strict=True)) for point in itertools.product(*axes))
        return [self.current, *(point for point in grid if point != self.current)]

    @property
    def total(self) -> int:
        """How many trials there are to be: those asked for, or all points of a smaller grid."""
        asked = self.learner.tune.trials
        return min(asked, len(self.planned)) if self.learner.tune.sampler == "grid" else asked

    def with_values(self, values: Values) -> P:
        """The parameters with these values below `train`."""
        return changed(
            self.learner.params, {f"train.{key}": value for key, value in values.items()}
        )


def _distribution(entry: Range | list[Any], now: Any) -> Any:
    if isinstance(entry, list):
        return CategoricalDistribution(entry if now in entry else [*entry, now])
    if all(isinstance(number, int) for number in (entry.low, entry.high, entry.step or 1, now)):
        return IntDistribution(entry.low, entry.high, entry.log, entry.step or 1)
    return FloatDistribution(entry.low, entry.high, entry.log, entry.step)


def _axis(distribution: Any) -> list[Any]:
    if isinstance(distribution, CategoricalDistribution):
        return list(distribution.choices)
    steps = round((distribution.high - distribution.low) / distribution.step)
    return [shortened(distribution.low + distribution.step * step) for step in range(steps + 1)]


def shortened(value: Any) -> Any:
    """A number as one would write it: more digits than four say nothing."""
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value


def fingerprint(search: Search[Any]) -> str:
    """What two searches share whose scores can be compared: all but what is searched."""
    ignored = {"train.threads", *(f"train.{key}" for key in search.space)}
    fixed = {k: v for k, v in flat(search.learner.params).items() if k.startswith("train.")}
    space = {key: str(each) for key, each in search.distributions.items()}
    known = [{k: v for k, v in fixed.items() if k not in ignored}, space, search.metric]
    digest = hashlib.sha256(json.dumps([search.learner.task, search.learner.seed, *known]).encode())
    for fold in search.folds:
        for table in (fold.train, fold.valid):
            digest.update(table.matrix.tobytes() + table.target.tobytes())
    return digest.hexdigest()[:12]


def open_study(path: Path, search: Search[Any]) -> Study:
    """The study of this search in the file, new or to be gone on with."""
    higher = search.learner.scoring.metrics[search.metric].higher_is_better
    return optuna.create_study(
        storage=f"sqlite:///{path}",
        study_name=f"{search.learner.model}-{fingerprint(search)}",
        direction="maximize" if higher else "minimize",
        # Most of what a good sampler tries is better than the median of what came before.
        pruner=PercentilePruner(25.0),
        load_if_exists=True,
    )


def done(study: Study) -> list[FrozenTrial]:
    """The trials that count: those that ended, also early because others were better."""
    ended: list[FrozenTrial] = study.get_trials(states=(TrialState.COMPLETE, TrialState.PRUNED))
    return ended


def abandon(study: Study, registry: "Registry") -> None:
    """Mark what an interruption left behind as failed, in the study and in its runs."""
    for _ in study.get_trials(states=(TrialState.WAITING,)):
        study.ask()
    for trial in study.get_trials(states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)
    registry.kill_runs("sweep", study.study_name)


def explore(study: Study, search: Search[Any], registry: "Registry", parent: str) -> None:
    """Try points until there are as many as the search wants, or the time is over.

    What is drawn depends on the trials before it alone, so that an interrupted search, which goes
    on here, ends where an uninterrupted one does. The current parameters are always tried.
    """
    options, start = search.learner.tune, time.monotonic()
    with working("tune"):
        while True:
            tried = [trial.user_attrs["values"] for trial in done(study)]
            planned = [point for point in search.planned if point not in tried]
            late = options.timeout and time.monotonic() - start > options.timeout
            if search.current in tried and (late or len(tried) >= search.total):
                return
            seed, tpe = search.learner.seed + len(tried), options.sampler == "tpe"
            study.sampler = TPESampler(seed=seed) if tpe else RandomSampler(seed=seed)
            attempt(study, search, registry, parent, planned[0] if planned else None)


def attempt(
    study: Study, search: Search[Any], registry: "Registry", parent: str, point: Values | None
) -> None:
    """Try a point, else one that the sampler draws, as a run below `parent`."""
    if point:
        study.enqueue_trial(point)
    trial = study.ask(search.distributions)
    values = point or {key: shortened(value) for key, value in trial.params.items()}
    run_id = registry.start_run(f"trial {trial.number}", {"sweep": study.study_name}, parent)
    trial.set_user_attr("values", values)
    scores = cross_validate(trial, search, values)
    whole = len(scores) == len(search.folds)
    state, score = TrialState.COMPLETE if whole else TrialState.PRUNED, float(np.mean(scores))
    figures = {search.metric: score, **{f"fold_{n}": s for n, s in enumerate(scores, start=1)}}
    params = {f"train.{key}": value for key, value in values.items()}
    registry.log(run_id, params, figures, {"state": state.name.lower()})
    registry.end_run(run_id)
    study.tell(trial, score if whole else None, state)


def cross_validate(trial: Trial, search: Search[Any], values: Values) -> list[float]:
    """The score of each fold, of fewer where those of other trials were better by then."""
    params, scores, trees = search.with_values(values), list[float](), list[int]()
    for number, fold in enumerate(search.folds, start=1):
        score, count = judge(fold, search.learner, params, search.metric)
        scores, trees = [*scores, score], [*trees, count]
        trial.report(float(np.mean(scores)), number)
        # What is in params.yaml is compared in the end, so it is never given up.
        if number < len(search.folds) and values != search.current and trial.should_prune():
            break
    trial.set_user_attr("trees", round(np.mean(trees)))
    return scores
