"""`make tune`: search for better parameters with Optuna, by cross-validation on the train split.

The search sees neither validation nor test; validation decides if the best reaches params.yaml.
"""

import hashlib
import os
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import optuna
import polars as pl
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState
from sklearn import model_selection as sk

from ..config import changed, edit, flat, read_yaml
from ..console import Arguments, aligned, figure, interval, parse, track
from ..data.contract import load_contract
from ..files import Content, replaced
from ..lineage import lineage
from ..models.bootstrap import Predictions, best_threshold, improvement
from ..models.held_out import make_folds, read_keys
from ..models.model import decide, raw_scores, unweighted
from ..models.training import Fold, Learner, P, make_fold
from ..models.types import Estimator
from ..project import Paths, UserError, load_settings

# They decide how a fit is done or used, not how good it can be.
NOT_SEARCHED = ("model", "threads", "class_weight", "threshold", "out_of_fold", "lightgbm.folds")
MODEL, FEWEST_FOR_IMPORTANCE = "train.model", 5


@dataclass(frozen=True)
class Search:
    """Search for the best `metric` over `folds`.

    `space` holds the distributions of each estimator, `current` the values of params.yaml, both by
    its keys; train.model is one of them where there are several estimators.
    """

    learner: Learner[Any]
    metric: str
    space: dict[str, Content]
    folds: list[Fold]
    current: Content


def read_space(learner: Learner[Any], model: str) -> Content:
    """tune.space of an estimator as distributions of Optuna, the current value among choices.

    Raises UserError for an entry that no search or training could use.
    """
    space, params = Content(), flat(learner.params)
    for name, entry in learner.tune.space.get(model, {}).items():
        key, where = f"train.{name}", f"params.yaml: tune.space.{model}.{name}"
        if name in NOT_SEARCHED:
            raise UserError(f"{where}: this is decided, not searched; remove it.")
        if not entry or not isinstance(entry, list | dict):
            raise UserError(f"{where}: give a list of choices, or {{low, high, log?, step?}}.")
        limits = entry if isinstance(entry, list) else [entry.get("low"), entry.get("high")]
        try:
            for value in limits:
                changed(learner.params, {key: value})
            numbers = [*limits, params[key]]
            if isinstance(entry, list):
                space[key] = CategoricalDistribution(list(dict.fromkeys(numbers)))
            elif all(isinstance(each, int) for each in (*numbers, entry.get("step", 1))):
                space[key] = IntDistribution(**entry)
            else:
                space[key] = FloatDistribution(**entry)
        except (TypeError, ValueError, UserError) as error:
            raise UserError(f"{where}: {error}") from error
        if learner.tune.sampler == "grid" and getattr(space[key], "step", 1) is None:
            raise UserError(f"{where}: a grid needs a step here, or a list of choices.")
    if not space:
        raise UserError(
            f"params.yaml: tune.space.{model} is empty; name a key below train with "
            "{low, high} or a list of choices."
        )
    return space


def read_rows(paths: Paths, split: str, target: str) -> pl.DataFrame:
    """The features and, last, the target of a split."""
    rows = pl.read_parquet(paths.processed / split / "*.parquet")
    return rows.select(pl.exclude(target), target)


def read_spaces(learner: Learner[Any]) -> dict[str, Content]:
    """The space of train.model and of each of tune.models; raises UserError as `read_space`."""
    scoring, tune = learner.scoring, learner.tune
    if tune.metric not in (None, *scoring.metrics):
        raise UserError(
            f"params.yaml: tune.metric: {learner.task} has no {tune.metric}; name one of "
            f"{', '.join(scoring.metrics)}, or null for {scoring.primary}."
        )
    models = sorted({learner.model, *(tune.models or ())})
    return {model: read_space(learner, model) for model in models}


def prepare(learner: Learner[Any], paths: Paths) -> Search:
    """The search that params.yaml defines; raises UserError where it is not possible."""
    metric, space = learner.tune.metric or learner.scoring.primary, read_spaces(learner)
    params = flat(learner.params)
    rows = read_rows(paths, "train", learner.target)
    known = rows[:, -1]
    classes = None if learner.task == "regression" else known
    keys = read_keys(paths, ["train"], load_contract(paths.contract), learner.group)
    try:
        places = make_folds(learner.tune.folds, keys, learner.group, classes, learner.seed)
    except ValueError as error:
        raise UserError(f"params.yaml: tune.folds: {error}.") from error
    folds = [make_fold(rows[a], rows[b], known, learner.task, learner.balanced) for a, b in places]
    searched = [*([MODEL] if len(space) > 1 else ()), *space[learner.model]]
    return Search(learner, metric, space, folds, {key: params[key] for key in searched})


def predictions(fold: Fold, learner: Learner[Any], estimator: Estimator) -> Predictions:
    """Predictions of the validation rows.

    Of two classes by `train.threshold`, else by the threshold with the best F1.
    """
    raw = raw_scores(learner.task, estimator, fold.valid.matrix)
    scores, threshold = unweighted(raw, fold.weights), learner.threshold
    if learner.task == "binary" and threshold is None:
        threshold = best_threshold(fold.valid.target, scores)
    return Predictions(fold.valid.target, scores, decide(learner.task, scores, threshold or 0.5))


def evaluate(fold: Fold, learner: Learner[Any], params: Any, metric: str) -> tuple[float, int]:
    """The metric of the validation rows, and the number of trees of the fit.

    These rows stop the trees and score them, which flatters every parameter set alike. Raises
    UserError where they leave the metric undefined.
    """
    fitted = learner.fit(params, fold.train, fold.valid, 0)
    value = learner.scoring.metrics[metric].compute(predictions(fold, learner, fitted.estimator))
    if np.isnan(value):
        raise UserError(
            f"params.yaml: tune.metric: the rows of a fold leave {metric} undefined; set fewer "
            "tune.folds or another metric."
        )
    return value, fitted.trees


def open_study(search: Search, paths: Paths) -> optuna.Study:
    """The study in tuning.db of the same rows, space and parameters but those searched."""
    params = flat(search.learner.params)
    free = {key for space in search.space.values() for key in space} | {MODEL, "train.threads"}
    fixed = {k: v for k, v in params.items() if k.startswith("train.") and k not in free}
    known = [search.learner.task, search.learner.seed, search.metric, search.space, fixed]
    # What is left of a grid is not for another sampler.
    known += [search.learner.tune.sampler == "grid"]
    digest = hashlib.sha256(repr(known).encode())
    for fold in search.folds:
        for part in (fold.train, fold.valid):
            digest.update(part.matrix.tobytes() + part.target.tobytes())
    higher = search.learner.scoring.metrics[search.metric].higher_is_better
    return optuna.create_study(
        storage=f"sqlite:///{paths.root / 'tuning.db'}",
        study_name=f"{'-'.join(search.space)}-{digest.hexdigest()[:12]}",
        direction="maximize" if higher else "minimize",
        # Most of what a good sampler tries is better than the median of what came before.
        pruner=optuna.pruners.PercentilePruner(25.0),
        load_if_exists=True,
    )


def done(study: optuna.Study) -> list[FrozenTrial]:
    """The trials that count: complete or pruned."""
    trials: list[FrozenTrial] = study.get_trials(states=(TrialState.COMPLETE, TrialState.PRUNED))
    return trials


def current(study: optuna.Study, search: Search) -> FrozenTrial:
    """The trial of the current parameters."""
    return next(trial for trial in done(study) if trial.params == search.current)


def plan(study: optuna.Study, search: Search) -> int:
    """Enqueue the current point and those of a grid; returns how many trials are left to run."""
    tune, points = search.learner.tune, [search.current]
    if tune.sampler == "grid":
        for model, space in search.space.items():
            grid = {key: values(each) for key, each in space.items()}
            points += sk.ParameterGrid(grid | ({MODEL: [model]} if len(search.space) > 1 else {}))
    # An interruption leaves trials that never end.
    for trial in study.get_trials(states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)
        study.enqueue_trial(trial.params)
    for point in points:
        study.enqueue_trial(point, skip_if_exists=True)
    tried = done(study)
    seed = search.learner.seed + len(tried)
    study.sampler = optuna.samplers.RandomSampler(seed)
    if tune.sampler == "tpe":
        study.sampler = optuna.samplers.TPESampler(seed=seed, constant_liar=True)
    left = tune.trials - len(tried)
    if tune.sampler == "grid":
        left = min(left, len(study.get_trials(states=(TrialState.WAITING,))))
    return max(left, search.current not in [trial.params for trial in tried])


def values(each: Any) -> Any:
    """The values of a distribution in a grid."""
    if isinstance(each, CategoricalDistribution):
        return each.choices
    count = round((each.high - each.low) / each.step) + 1
    return (each.low + each.step * np.arange(count)).round(10).tolist()


def ask(study: optuna.Study, search: Search) -> optuna.Trial:
    """A trial with a value for every parameter of its estimator."""
    trial, model = study.ask(), search.learner.model
    if len(search.space) > 1:
        model = trial.suggest_categorical(MODEL, list(search.space))
    for key, each in search.space[model].items():
        if isinstance(each, CategoricalDistribution):
            trial.suggest_categorical(key, each.choices)
        else:
            is_int = isinstance(each, IntDistribution)
            suggest = trial.suggest_int if is_int else trial.suggest_float
            suggest(key, each.low, each.high, log=each.log, step=each.step)
    return trial


def run_trial(search: Search, trial: optuna.Trial) -> tuple[TrialState, float | None]:
    """Try a point by cross-validation; the current one is never pruned, as the best is compared."""
    scores, trees = list[float](), list[int]()
    params = changed(search.learner.params, {"train.threads": 1, **trial.params})
    for fold in search.folds:
        score, count = evaluate(fold, search.learner, params, search.metric)
        scores, trees = [*scores, score], [*trees, count]
        trial.report(float(np.mean(scores)), len(scores))
        if trial.params != search.current and trial.should_prune():
            break
    trial.set_user_attr("trees", round(np.mean(trees)))
    if len(scores) < len(search.folds):
        return TrialState.PRUNED, None
    return TrialState.COMPLETE, float(np.mean(scores))


def write_best(study: optuna.Study, search: Search, paths: Paths) -> list[str]:
    """Write the best values to params.yaml if they are better; returns lines that report it.

    Best and current are fitted on train with the trees that cross-validation found, and compared on
    the validation split.
    """
    learner = search.learner
    best, now, unchanged = study.best_params, search.current, "params.yaml stays as it is."
    if best == now:
        return [f"The current parameters are the best; {unchanged}"]
    rows, others = (read_rows(paths, name, learner.target) for name in ("train", "validation"))
    known = pl.concat([rows[:, -1], others[:, -1]])
    fold = make_fold(rows, others, known, learner.task, learner.balanced)

    def fit(trial: FrozenTrial) -> Predictions:
        params = changed(learner.params, trial.params)
        fitted = learner.fit(params, fold.train, None, trial.user_attrs["trees"])
        return predictions(fold, learner, fitted.estimator)

    metric, ours = learner.scoring.metrics[search.metric], fit(study.best_trial)
    better, low, high = improvement(metric, ours, fit(current(study, search)), learner.bootstrap)
    text = f"on validation {search.metric} improves by {figure(better)} ({interval((low, high))})"
    if not better > 0:
        return [f"No gain on rows that the search has not seen: {text}; {unchanged}"]
    before = flat(learner.params)
    changes = {key: value for key, value in best.items() if value != before[key]}
    edit(paths.params, changes)
    return [
        f"A gain on rows that the search has not seen: {text}. In params.yaml:",
        *aligned([(key, f"{before[key]} -> {value}") for key, value in changes.items()]),
        "See `git diff params.yaml`; `make train` trains with it, and the gate decides.",
    ]


def write_report(study: optuna.Study, paths: Paths) -> None:
    """Write reports/tuning: every trial, the history of the search, importance of parameters."""
    import matplotlib
    from optuna.visualization import matplotlib as plots

    # Optuna sets a style for the whole process.
    with matplotlib.rc_context(), replaced(paths.tuning) as folder:
        folder.mkdir()
        study.trials_dataframe().convert_dtypes().to_csv(folder / "trials.csv", index=False)
        plots.plot_optimization_history(study).figure.savefig(folder / "history.png")
        complete = study.get_trials(states=(TrialState.COMPLETE,))
        searched = {tuple(trial.params) for trial in complete}
        if len(complete) >= FEWEST_FOR_IMPORTANCE and len(searched) == 1 < len(study.best_params):
            plots.plot_param_importances(study).figure.savefig(folder / "importance.png")


def main(paths: Paths, params: P, learner: Callable[[P], Learner[P]], arguments: Arguments) -> None:
    """Start or resume a search of TRIALS within TIMEOUT over MODELS, and write its results.

    As many trials as there are cores run at once, each in a thread.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    # The current parameters may lie outside of the space.
    warnings.filterwarnings("ignore", message="Fixed parameter")
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    args = vars(parse("tune", arguments, trials="", timeout="", models=""))
    if args["models"]:
        args["models"] = f"[{', '.join(args['models'].split())}]"
    given = {f"tune.{key}": read_yaml(text) for key, text in args.items() if text}
    search, settings = prepare(learner(changed(params, given)), paths), load_settings(paths)
    study = open_study(search, paths)
    from ..tracking import registry as tracking

    registry, parent = tracking.connect(paths, settings), study.user_attrs.get("run_id", "")
    if not registry.run_exists(parent):
        tags = {**lineage(paths, settings, search.learner.params), "sweep": study.study_name}
        parent = registry.log_run("tune", tags)
        study.set_user_attr("run_id", parent)
    end = time.monotonic() + (search.learner.tune.timeout or float("inf"))
    left, cores = plan(study, search), os.cpu_count() or 1
    with ThreadPoolExecutor(cores) as pool:
        for first in track(range(0, left, cores), "tune"):
            trials = [ask(study, search) for _ in range(min(cores, left - first))]
            ends = pool.map(partial(run_trial, search), trials)
            for trial, (state, value) in zip(trials, ends, strict=True):
                told = study.tell(trial, value, state)
                tags = {"sweep": study.study_name, "state": state.name.lower()}
                figures = {search.metric: told.value}
                registry.log_run(f"trial {trial.number}", tags, trial.params, figures, parent)
            if time.monotonic() > end:
                break
    best, now = figure(study.best_value), figure(current(study, search).value)
    ended = f"{len(done(study))} trials are done; {search.metric}"
    print(f"{ended} of the best {best}, of the current {now}.")
    print(*write_best(study, search, paths), sep="\n")
    write_report(study, paths)
    registry.attach(parent, paths.tuning, {f"best_{search.metric}": study.best_value})
