"""`make tune`: better parameters by cross-validation on the train split, written to params.yaml.

The search sees neither validation nor test; validation then says what the best is worth.
"""

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import polars as pl
from optuna import Study
from optuna.importance import FanovaImportanceEvaluator, get_param_importances
from optuna.trial import TrialState

from ...config import edit
from ...console import aligned
from ...data.contract import load_contract
from ...files import replaced
from ...lineage import lineage
from ...models.bootstrap import improvement
from ...models.learner import Learner, P
from ...project import Paths, load_settings
from .folds import make_fold, positions, refit
from .space import metric_name, searched
from .study import Search, Values, abandon, done, explore, open_study

if TYPE_CHECKING:
    from ...tracking.registry import Registry

FEWEST_FOR_IMPORTANCE = 5


def parse(arguments: Sequence[str]) -> dict[str, object]:
    """TRIALS and TIMEOUT as make passes them on, in the place of those of params.yaml."""
    parser = argparse.ArgumentParser(prog="make tune")
    parser.add_argument("--trials", type=int)
    parser.add_argument("--timeout", type=float)
    given = vars(parser.parse_args(arguments))
    return {f"tune.{name}": value for name, value in given.items() if value is not None}


def read(paths: Paths, split: str, target: str) -> pl.DataFrame:
    """The features and, last, the target of a split."""
    rows = pl.read_parquet(paths.processed / split / "*.parquet")
    return rows.select(pl.exclude(target), target)


def prepare(learner: Learner[P], paths: Paths) -> Search[P]:
    """The search that params.yaml asks for; raises UserError where nothing could come of it."""
    metric, space = (
        metric_name(learner.tune.metric, learner.task, learner.scoring),
        searched(learner.params, learner.tune, learner.model),
    )
    rows, origin = read(paths, "train", learner.target), pl.read_parquet(
        paths.interim / "train" / "*.parquet"
    )
    places = positions(origin, learner, load_contract(paths.contract))
    target = rows[:, -1]
    folds = [make_fold(rows[a], rows[b], target, learner) for a, b in places]
    return Search(learner, space, metric, folds)


def gain(search: Search[Any], study: Study, paths: Paths) -> tuple[float, float, float]:
    """How much better the best is than the current, on the validation split, with its interval.

    Both are fitted on train with the trees that cross-validation found.
    """
    learner = search.learner
    rows, others = (read(paths, name, learner.target) for name in ("train", "validation"))
    fold = make_fold(rows, others, pl.concat([rows[:, -1], others[:, -1]]), learner)
    ours, theirs = (
        refit(fold, learner, search.with_values(values), trees_of(study, values))
        for values in (best_values(study), search.current)
    )
    return improvement(learner.scoring.metrics[search.metric], ours, theirs, learner.bootstrap)


def best_values(study: Study) -> Values:
    """The values with the best score over all folds."""
    values: Values = study.best_trial.user_attrs["values"]
    return values


def trees_of(study: Study, values: Values) -> int:
    """The trees that these values took in cross-validation."""
    found = (t.user_attrs["trees"] for t in done(study) if t.user_attrs["values"] == values)
    return int(next(found))


def trials_table(study: Study, metric: str) -> pl.DataFrame:
    """A row a trial: its number, state, score, values, trees and seconds."""
    return pl.DataFrame(
        {
            "trial": trial.number,
            "state": trial.state.name.lower(),
            metric: trial.value,
            **trial.user_attrs["values"],
            "trees": trial.user_attrs["trees"],
            "seconds": trial.duration.total_seconds() if trial.duration else None,
        }
        for trial in done(study)
    )


def write_report(study: Study, search: Search[Any], paths: Paths) -> None:
    """Write reports/tuning: every trial, the history of the search and what mattered in it."""
    from ...models import plots

    trials, higher = trials_table(study, search.metric), study.direction.name == "MAXIMIZE"
    figures = {"history": plots.search_history(trials[search.metric], higher)}
    complete = study.get_trials(states=(TrialState.COMPLETE,))
    if len(complete) >= FEWEST_FOR_IMPORTANCE and len(search.space) > 1:
        evaluator = FanovaImportanceEvaluator(seed=search.learner.seed)
        shares = get_param_importances(study, evaluator=evaluator)
        figures["importance"] = plots.bars(
            shares, "Importance of parameters", "share of the variance"
        )
    with replaced(paths.tuning) as folder:
        folder.mkdir()
        trials.write_csv(folder / "trials.csv")
        for name, figure in figures.items():
            plots.save(figure, folder / f"{name}.png")


def adopt(search: Search[Any], study: Study, paths: Paths) -> list[str]:
    """Write the best values to params.yaml if they are better; returns what was found and done."""
    best, now, unchanged = best_values(study), search.current, "params.yaml stays as it is."
    values = {f"train.{key}": value for key, value in best.items() if value != now[key]}
    if not values:
        return [f"The current parameters are the best; {unchanged}"]
    better, low, high = gain(search, study, paths)
    said = f"on validation {search.metric} improves by {better:.4g} ({low:.4g} to {high:.4g})"
    if not better > 0:
        return [f"Not better where the search has not looked: {said}; {unchanged}"]
    edit(paths.params, values)
    changes = [(f"train.{key}", f"{now[key]} -> {best[key]}") for key in best]
    return [
        f"Better where the search has not looked: {said}. In params.yaml:",
        *aligned([change for change in changes if change[0] in values]),
        "Look at `git diff params.yaml`; `make train` trains with it, and the gate judges.",
    ]


def standing(study: Study, search: Search[Any]) -> str:
    """How far the search is, and its best score beside that of the current parameters."""
    ended = done(study)
    scores = {str(t.user_attrs["values"]): t.value for t in ended if t.value is not None}
    said = f"{len(ended)} of {max(len(ended), search.total)} trials are done"
    if scores:
        current = scores.get(str(search.current))
        said += f"; {search.metric} of the best {study.best_value:.4g}"
        said += f", of the current {current:.4g}" if current is not None else ""
    return said


def sweep_run(study: Study, registry: "Registry", tags: dict[str, str]) -> str:
    """The run of the whole search, the same when it goes on."""
    run_id: str = study.user_attrs.get("run_id", "")
    if not registry.run_exists(run_id):
        run_id = registry.start_run("tune", {**tags, "sweep": study.study_name})
        study.set_user_attr("run_id", run_id)
    return run_id


def main(paths: Paths, learner: Learner[P]) -> None:
    """Search, or go on with a search, and write what came of it."""
    search, settings = prepare(learner, paths), load_settings(paths)
    study = open_study(paths.studies, search)
    from ...tracking import registry as tracking

    registry = tracking.connect(paths, settings)
    parent = sweep_run(study, registry, lineage(paths, settings, learner.params))
    abandon(study, registry)
    try:
        explore(study, search, registry, parent)
    except KeyboardInterrupt:
        abandon(study, registry)
        sys.exit(f"Interrupted: {standing(study, search)}. `make tune` goes on from here.")
    more = f" TRIALS={2 * len(done(study))} goes on." if learner.tune.sampler != "grid" else ""
    print(f"{standing(study, search)}.{more}")
    print(*adopt(search, study, paths), sep="\n")
    write_report(study, search, paths)
    registry.attach(parent, paths.tuning)
    registry.end_run(parent)
