"""The gate: promote, hold or reject a candidate. Change the rule here."""

from collections.abc import Callable
from textwrap import shorten

import numpy as np
import polars as pl

from mlops_loop.console import change
from mlops_loop.files import Content
from mlops_loop.models.bootstrap import improvement, outcome
from mlops_loop.models.model import Model, load
from mlops_loop.models.slices import failed_bars
from mlops_loop.models.types import Floats
from mlops_loop.project import Paths, UserError
from mlops_loop.tracking.gate import Decision

from ..params import Params
from .metrics import SCORING, judging


def judge(
    report: Content,
    groups: Content,
    load_champion: Callable[[], Model] | None,
    params: Params,
    paths: Paths,
    is_shared: bool = False,
) -> Decision:
    """Judge a new candidate by the bars, the baseline, and the champion on the same rows.

    `report` and `groups` are the contents of reports/metrics.json and reports/slices.json. In a
    shared registry a model of another question is held, unless the parameters say otherwise.
    """
    if failed := failures(report, groups, params):
        return Decision("reject", failed)
    candidate, scores = load(paths.candidate), np.load(paths.scores)
    test = pl.read_parquet(paths.interim / "test" / "*.parquet")
    try:
        champion = load_champion() if load_champion else None
        if champion and candidate.task_signature == champion.task_signature:
            return compare(test, candidate, scores, champion, params, "champion")
    except (UserError, pl.exceptions.PolarsError) as error:
        reason = f"the champion cannot be scored on this test split: {error}"
        return Decision("hold", [reason], challenger=True)
    against = compare(test, candidate, scores, load(paths.baseline), params, "baseline")
    by_chance = 0.5**test.height > 1 - params.registration.confidence  # each row is better
    if by_chance or against.decision != "promote":
        reason = f"{against.reasons[0]} on {test.height:,} test rows"
        return Decision("reject", [f"{reason}; bring more rows or better features"])
    if champion:
        return judge_question(candidate, champion, params, is_shared)
    return Decision("promote", ["first model to pass the bars and beat the baseline"])


def judge_question(candidate: Model, champion: Model, params: Params, is_shared: bool) -> Decision:
    """Promote the first model of another question; in a shared registry only where that is asked.

    The champion may answer others there, who asked no other question.
    """
    ours, theirs = (shorten(model.task_signature, 100) for model in (candidate, champion))
    reason = f"first model of {ours}; the champion predicts {theirs}"
    if is_shared and not params.registration.replace_question:
        remedy = "to replace it in this shared registry, set register.replace_question: true"
        return Decision("hold", [f"{reason}; {remedy} in params.yaml"])
    return Decision("promote", [reason])


def judge_champion(report: Content, groups: Content, params: Params) -> Decision:
    """Keep the current champion; report every bar it no longer meets."""
    if failed := failures(report, groups, params):
        return Decision("hold", ["the champion no longer passes", *failed])
    return Decision("promote", ["it is the champion already"])


def compare(
    test: pl.DataFrame, candidate: Model, scores: Floats, other: Model, params: Params, name: str
) -> Decision:
    """Promote a candidate only if it is significantly better than the other model of this name.

    One that is significantly worse, or gives the same answers, is no challenger. Paired bootstrap
    of the primary metric; `scores` are the candidate's on the rows of `test`.
    """
    by = judging(params, params.registration)
    ours = outcome(candidate, test[candidate.target], scores)
    theirs, scoring = outcome(other, test[candidate.target], other.score(test)), by.scoring
    metric = scoring.metrics[scoring.primary]
    gain, low, high = improvement(metric, ours, theirs, by.bootstrap)
    comparisons = {
        "metric": scoring.primary,
        "improvement": gain,
        "interval": [low, high],
        "champion": scoring.score(theirs),
    }
    if np.array_equal(ours.scores, theirs.scores):
        return Decision("hold", [f"the same answers as the {name}"], comparisons)
    text = f"{scoring.primary} is {change(gain, low, high)} than the {name}'s"
    if low > 0:
        return Decision("promote", [text], comparisons)
    if high < 0:
        return Decision("hold", [text], comparisons)
    return Decision("hold", [f"not significantly better: {text}"], comparisons, challenger=True)


def failures(report: Content, groups: Content, params: Params) -> list[str]:
    """One sentence for each bar that the test split, a slice or a gap misses, and the baseline."""
    options, scoring = params.registration, SCORING[params.task]
    sentences = failed_bars(scoring, report["test"], options.bars)
    for each in groups["declared"]:
        scores = each["metrics"] or {}
        bars = {n: bar for n, bar in options.slices.items() if scores.get(n) is not None}
        failed = failed_bars(scoring, scores, bars)
        sentences += [f"{each['column']} = {each['group']}: {sentence}" for sentence in failed]
    for gap in groups["fairness"]:
        bar = options.fairness.get(gap["metric"], np.inf)
        if gap["gap"] > bar:
            sentences.append(
                f"{gap['column']}: the gap in {gap['metric']} between {gap['highest']} and "
                f"{gap['lowest']}, {gap['gap']:.4g}, is above the bar of {bar:g}"
            )
    if not report["test"][scoring.primary] < report["baseline"][scoring.primary]:
        sentences.append(f"{scoring.primary} is not better than the baseline's")
    return sentences
