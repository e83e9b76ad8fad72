"""The gate: promote, hold or reject a candidate. Change the rule here."""

from textwrap import shorten
from typing import Any

import numpy as np
import polars as pl

from mlops_loop.data.contract import Contract
from mlops_loop.models.bootstrap import Bootstrap, Scores, improvement, outcome
from mlops_loop.models.model import Model, load
from mlops_loop.models.types import Floats
from mlops_loop.project import Paths, UserError
from mlops_loop.tracking.gate import Decision

from ..params import Params
from .metrics import SCORING


def failures(report: dict[str, Any], groups: dict[str, Any], params: Params) -> list[str]:
    """One sentence for each bar that is missed, and one if the baseline is as good.

    `groups` is the content of reports/slices.json.
    """
    failed = failed_bars(params.task, report["test"], params.registration.bars)
    failed += failed_slices(groups, params) + failed_gaps(groups, params)
    if not is_better(params.task, report["test"], report["baseline"]):
        failed.append(f"{SCORING[params.task].primary} is not better than the baseline's")
    return failed


def failed_slices(groups: dict[str, Any], params: Params) -> list[str]:
    """One sentence for each bar that a declared slice misses."""
    bars, sentences = params.registration.slices, []
    for each in groups["declared"]:
        known = {name: bar for name, bar in bars.items() if figure(each, name) is not None}
        failed = failed_bars(params.task, each["metrics"] or {}, known)
        sentences += [f"{each['column']} = {each['group']}: {sentence}" for sentence in failed]
    return sentences


def figure(each: dict[str, Any], name: str) -> float | None:
    """A metric of a slice; None where its rows are too few or leave it undefined."""
    value: float | None = (each["metrics"] or {}).get(name)
    return value


def failed_gaps(groups: dict[str, Any], params: Params) -> list[str]:
    """One sentence for each gap between groups that is above its bar."""
    bars = params.registration.fairness
    return [
        f"{gap['column']}: the gap in {gap['metric']} between {gap['highest']} and "
        f"{gap['lowest']}, {gap['gap']:.4g}, is above the bar of {bars[gap['metric']]:g}"
        for gap in groups["fairness"]
        if gap["gap"] > bars.get(gap["metric"], float("inf"))
    ]


def not_judged(groups: dict[str, Any], params: Params) -> list[str]:
    """A sentence that names what has a bar but too few rows to judge, if there is any."""
    bars = params.registration.slices
    few = [each for each in groups["declared"] if any(figure(each, name) is None for name in bars)]
    named = [f"{each['column']} = {each['group']} ({each['rows']})" for each in few]
    if params.registration.fairness and not groups["fairness"]:
        named.append("fairness (no two groups)")
    return [f"not judged, too few rows: {', '.join(named)}"] if named else []


def check_params(params: Params, contract: Contract) -> None:
    """Raise UserError for a bar on what the task lacks, or that no column is held to."""
    bars = params.registration
    for key in ("bars", "slices", "fairness"):
        check_bars(params.task, getattr(bars, key), key)
    if bars.slices and not any(column.sliced for column in contract.columns):
        raise UserError("params.yaml: register.slices: no column of contract.yaml has slice: true.")
    if bars.fairness and not any(column.sensitive for column in contract.columns):
        raise UserError(
            "params.yaml: register.fairness: no column of contract.yaml has sensitive: true."
        )


def judge(
    report: dict[str, Any],
    groups: dict[str, Any],
    champion: Model | None,
    params: Params,
    paths: Paths,
) -> Decision:
    """Hold the candidate against the bars, the baseline and the champion on the same rows."""
    failed = failures(report, groups, params)
    if failed:
        return Decision("reject", failed)
    if champion is None:
        return Decision("promote", ["first model to pass the bars and beat the baseline"])
    candidate = load(paths.candidate)
    if candidate.task_signature != champion.task_signature:
        ours, theirs = (shorten(model.task_signature, 100) for model in (candidate, champion))
        return Decision("promote", [f"first model of {ours}; the champion predicts {theirs}"])
    try:
        test = pl.read_parquet(paths.interim / "test" / "*.parquet")
        return compare(test, candidate, np.load(paths.scores), champion, params)
    except (UserError, pl.exceptions.PolarsError) as error:
        return Decision("hold", [f"the champion cannot be scored on this test split: {error}"])


def compare(
    test: pl.DataFrame, candidate: Model, scores: Floats, champion: Model, params: Params
) -> Decision:
    """Promote only what is significantly better than the champion (paired bootstrap).

    `scores` are the candidate's, of the same rows.
    """
    ours = outcome(candidate, test[candidate.target], scores)
    theirs = outcome(champion, test[champion.target], champion.score(test))
    options, metric = params.registration, SCORING[params.task].primary
    bootstrap = Bootstrap(options.resamples, options.confidence, params.seed)
    gain, low, high = improvement(SCORING[params.task].metrics[metric], ours, theirs, bootstrap)
    comparisons = {
        "metric": metric,
        "improvement": gain,
        "interval": [low, high],
        "champion": SCORING[params.task].score(theirs),
    }
    text = f"{metric} improves by {gain:.4g} on the champion's ({low:.4g} to {high:.4g})"
    if low > 0:
        return Decision("promote", [text], comparisons)
    return Decision("hold", [f"not significantly better: {text}"], comparisons)


def judge_champion(report: dict[str, Any], groups: dict[str, Any], params: Params) -> Decision:
    """It stays the champion until a better one comes, but whatever it misses is said."""
    failed = failures(report, groups, params)
    if failed:
        return Decision("hold", ["the champion no longer passes", *failed])
    return Decision("promote", ["it is the champion already"])


def check_bars(task: str, bars: dict[str, float], key: str = "bars") -> None:
    """Raise UserError for a bar, in this key of `register`, on a metric that the task lacks."""
    scoring = SCORING[task]
    metrics = {**scoring.metrics, **(scoring.gaps if key == "fairness" else {})}
    for name in bars:
        if name not in metrics:
            known = ", ".join(metrics)
            raise UserError(f"params.yaml: register.{key}.{name}: {task} has only {known}.")


def failed_bars(task: str, scores: Scores, bars: dict[str, float]) -> list[str]:
    """One sentence for each bar that the scores do not reach."""
    sentences = []
    for name, bar in bars.items():
        value, higher = scores[name], SCORING[task].metrics[name].higher_is_better
        if value is None:
            sentences.append(f"{name} has a bar, but these test rows leave it undefined")
        elif (value < bar) if higher else (value > bar):
            side = "below" if higher else "above"
            sentences.append(f"{name} {value:.4g} is {side} the bar of {bar:g}")
    return sentences


def is_better(task: str, scores: dict[str, float], others: dict[str, float]) -> bool:
    """Whether the primary metric is strictly better."""
    return scores[SCORING[task].primary] < others[SCORING[task].primary]
