"""`make verdict`: how the A/B test ended, once each version has the size that was fixed before.

Until then nothing is said of it: who looks again and again finds differences where there are none.
"""

import sys
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import sqlalchemy as sql

from ..console import aligned
from ..models.types import Floats
from ..project import Paths, Settings, UserError, load_settings
from . import feedback as kpi
from . import prediction_log as log
from .params import ABTest, Serving

p = log.predictions.c
BROKEN = 0.001  # the p-value of the numbers of units below which their split is no chance
TESTS = {"absolute_error": "Welch's t-test", "correct": "Fisher's exact test"}


@dataclass(frozen=True)
class Result:
    """How much higher the challenger's KPI is, its interval, and the p-value of no difference."""

    difference: float
    low: float
    high: float
    p_value: float


def arms(paths: Paths, settings: Settings) -> tuple[int, int]:
    """The versions that are champion and challenger; raises UserError where one is missing."""
    from ..tracking.registry import connect

    named = connect(paths, settings).aliases()
    if not {"champion", "challenger"} <= named.keys():
        raise UserError("an A/B test needs a champion and a challenger; the registry lacks one.")
    return named["champion"], named["challenger"]


def observed(
    engine: sql.Engine, options: Serving, versions: tuple[int, int]
) -> tuple[Floats, Floats]:
    """The KPI of each version's units; raises UserError where the log has none that count."""
    try:
        with engine.connect() as connection:
            check_design(connection, options, versions)
            check_split(connection, options, versions)
            return values(connection, options, versions)
    except sql.exc.SQLAlchemyError as error:
        raise UserError(
            f"the prediction log does not answer ({type(error).__name__}): is DATABASE_URL right, "
            "and did `make serve` ever run?"
        ) from error


def check_design(connection: sql.Connection, options: Serving, versions: tuple[int, int]) -> None:
    """Raise UserError where these versions were tested by another design than params.yaml's."""
    others = sql.select(sql.func.count()).where(
        *_since(options.ab, versions), p.strategy.like("ab:%"), p.strategy != options.design
    )
    if number := connection.execute(others).scalar():
        raise UserError(
            f"params.yaml: serving.ab or sticky_by is not what it was for {number:,} predictions "
            f"of this test: put it back, or {_begin_anew()}"
        )


def check_split(connection: sql.Connection, options: Serving, versions: tuple[int, int]) -> None:
    """Raise UserError where chance does not explain how many units each version has.

    Whoever is lost is not lost at random, so that the KPI of who is left tells nothing: Fabijan et
    al. (2019) call it a sample ratio mismatch.
    """
    from scipy import stats

    query = sql.select(p.version, sql.func.count(p.unit.distinct())).group_by(p.version)
    running = query.where(*_since(options.ab, versions), p.strategy == options.design)
    counts = dict.fromkeys(versions, 0) | dict(connection.execute(running).all())
    ours, theirs = (counts[version] for version in versions)
    if not ours + theirs:
        return
    chance = stats.binomtest(theirs, ours + theirs, options.ab.share).pvalue
    if chance < BROKEN:
        raise UserError(
            f"the split is broken, so there is no verdict: the champion answered {ours:,} units, "
            f"the challenger {theirs:,}, and its share is {options.ab.share:g} (p = {chance:.1g}). "
            f"Find out where units are lost, then {_begin_anew()}"
        )


def _begin_anew() -> str:
    now = datetime.now(UTC).isoformat(timespec="seconds").partition("+")[0]
    return f"begin anew with serving.ab.started: {now}."


def values(
    connection: sql.Connection, options: Serving, versions: tuple[int, int]
) -> tuple[Floats, Floats]:
    """The KPI of the first units of each version of which the truth came back.

    A unit counts once, by the first truth: answers to one customer are not independent.
    """
    query = log.answered.where(*_since(options.ab, versions), p.strategy == options.design)
    found: dict[int, dict[int, float]] = {version: {} for version in versions}
    for row in connection.execute(query.order_by(log.feedback.c.time, log.feedback.c.id)):
        value = kpi.value(options.ab.kpi, row.output["prediction"], row.actual)
        if value is not None:
            found[row.version].setdefault(row.unit, value)
    first, second = (np.array([*found[v].values()][: options.ab.size]) for v in versions)
    return first, second


def _since(test: ABTest, versions: tuple[int, int]) -> list[sql.ColumnElement[bool]]:
    started = test.started or datetime.min
    return [p.version.in_(versions), p.shown, p.time >= started]


def judge(test: ABTest, ours: Floats, theirs: Floats) -> Result:
    """Hold the challenger's values, `theirs`, against the champion's."""
    from scipy import stats

    if test.kpi == "correct":
        return rates(test, ours, theirs)
    found = stats.ttest_ind(theirs, ours, equal_var=False)
    low, high = found.confidence_interval(test.confidence)
    return Result(float(theirs.mean() - ours.mean()), float(low), float(high), float(found.pvalue))


def rates(test: ABTest, ours: Floats, theirs: Floats) -> Result:
    """Hold the shares of ones against each other, with Newcombe's interval (1998, method 10)."""
    from scipy import stats

    table = [(int(arm.sum()), int(len(arm) - arm.sum())) for arm in (ours, theirs)]
    mine, other = ours.mean(), theirs.mean()
    (low, high), (their_low, their_high) = (
        stats.binomtest(ones, ones + zeros).proportion_ci(test.confidence, "wilson")
        for ones, zeros in table
    )
    below, above = np.hypot(other - their_low, high - mine), np.hypot(
        their_high - other, mine - low
    )
    difference, p_value = other - mine, stats.fisher_exact(table).pvalue
    return Result(*map(float, (difference, difference - below, difference + above, p_value)))


def told(test: ABTest, versions: tuple[int, int], means: list[float], result: Result) -> str:
    """The verdict in words, with what to do."""
    table: list[tuple[str, ...]] = [("", "version", test.kpi)]
    for alias, version, mean in zip(("champion", "challenger"), versions, means, strict=True):
        table.append((alias, str(version), f"{mean:.4g}"))
    found = f"{result.difference:+.4g} ({result.low:+.4g} to {result.high:+.4g})"
    lines = [
        *aligned(table),
        f"Difference {found}, p = {result.p_value:.2g}: {TESTS[test.kpi]} of {test.size:,} units "
        f"each, confidence {test.confidence:g}.",
    ]
    is_better = (result.difference > 0) == (test.kpi == "correct")
    if not result.p_value < 1 - test.confidence:  # it is nan where no value differs
        lines.append("No significant difference: keep the champion.")
    elif not is_better:
        lines.append("The challenger is worse: keep the champion.")
    else:
        lines.append(f"The challenger is better: make promote VERSION={versions[1]} \\")
        lines.append(f"  REASON='A/B test: {test.kpi} {found}'")
    return "\n".join(lines)


def main(paths: Paths, options: Serving) -> None:
    """Print the verdict; exit code 1 where the test is not over, and 2 where there is none."""
    settings = load_settings(paths)
    if options.strategy != "ab":
        raise UserError("params.yaml: serving.strategy is not ab: no A/B test runs.")
    versions = arms(paths, settings)
    ours, theirs = observed(log.database(log.url(paths)), options, versions)
    if min(len(ours), len(theirs)) < options.ab.size:
        print(
            f"The test is not over: the champion has {len(ours):,} and the challenger "
            f"{len(theirs):,} of {options.ab.size:,} units whose truth is known."
        )
        sys.exit(1)
    means = [float(ours.mean()), float(theirs.mean())]
    print(told(options.ab, versions, means, judge(options.ab, ours, theirs)))
