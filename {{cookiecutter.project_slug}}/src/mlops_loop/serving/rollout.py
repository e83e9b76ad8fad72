"""`make rollout`: requests, answers and errors of champion and challenger under one strategy.

Of an A/B test it gives the result, once each version has the size that was fixed before; until then
no error: repeated looks find differences where there are none.
"""

from collections.abc import Mapping
from datetime import datetime
from math import nan
from statistics import fmean

import numpy as np
import sqlalchemy as sql

from ..console import aligned, figure
from ..database import database, now
from ..models.types import Floats
from ..project import Paths, UserError
from ..tracking import open_registry
from . import log_tables as log
from .params import Serving

p = log.predictions.c
LATEST = 10_000  # answers and truths of a version that are compared
MISMATCH = 0.001  # p-value below which chance does not explain how many units each version has


def read_values(
    engine: sql.Engine, options: Serving, versions: tuple[int, int]
) -> tuple[Floats, Floats]:
    """Read the metric of the first labelled units of each version.

    A unit counts once, by its first label: predictions for one customer are not independent. Those
    of another design do not count. Raises UserError where the split is broken, or the log does not
    respond.
    """
    test = options.ab
    of_test = (
        p.version.in_(versions),
        p.strategy == options.logged_strategy,
        p.time >= (test.started or datetime.min),
    )
    distinct = sql.func.count(p.unit.distinct())
    counts = sql.select(p.version, distinct).where(*of_test).group_by(p.version)
    labelled = log.answered.where(*of_test)
    found: dict[int, dict[int, float]] = {version: {} for version in versions}
    with log.connect(engine, create=False) as connection:
        units = dict(connection.execute(counts).all())
        check_split(test.share, *(units.get(version, 0) for version in versions))
        by_time = labelled.order_by(log.feedback.c.time, log.feedback.c.id)
        for row, value in log.measure(connection, by_time, options.task):
            found[row.version].setdefault(row.unit, value)
    ours, theirs = (np.array([*found[version].values()][: test.size]) for version in versions)
    return ours, theirs


def check_split(share: float, ours: int, theirs: int) -> None:
    """Raise UserError where chance does not explain the number of units of each version.

    Missing units are not missing at random, so the metric of the others means nothing: Fabijan et
    al. (2019) call it a sample ratio mismatch.
    """
    from scipy import stats

    if not ours + theirs:
        return
    chance = stats.binomtest(theirs, ours + theirs, share).pvalue
    if chance < MISMATCH:
        raise UserError(
            f"sample ratio mismatch, so there is no result: {ours:,} units of the champion and "
            f"{theirs:,} of the challenger, whose share is {share:g} (p = {chance:.1g}). Find out "
            "where units are lost, then restart the test with serving.ab.started: "
            f"{now():%FT%T}."
        )


def compare(options: Serving, ours: Floats, theirs: Floats) -> tuple[float, float, float]:
    """Welch's interval of the challenger's mean minus the champion's, and p-value of no difference.

    It serves errors and, at the sizes of such tests, rates.
    """
    from scipy import stats

    found = stats.ttest_ind(theirs, ours, equal_var=False)
    low, high = found.confidence_interval(options.ab.confidence)
    return float(low), float(high), float(found.pvalue)


def summary(options: Serving, versions: tuple[int, int], ours: Floats, theirs: Floats) -> str:
    """Compare the values of both versions; returns the result with what to do."""
    low, high, p_value = compare(options, ours, theirs)
    difference = theirs.mean() - ours.mean()
    metric = "absolute_error" if options.task == "regression" else "correct"
    found = f"{difference:+.4g} ({low:+.4g} to {high:+.4g})"
    lines = [
        f"{metric} {figure(ours.mean())} -> {figure(theirs.mean())}: {found}, p = {p_value:.2g}, "
        f"{options.ab.size:,} units each, confidence {options.ab.confidence:g}."
    ]
    is_better = (difference < 0) == (options.task == "regression")
    if not p_value < 1 - options.ab.confidence:  # it is nan where no value differs
        lines.append("No significant difference: keep the champion.")
    elif not is_better:
        lines.append("The challenger is worse: keep the champion.")
    else:
        lines.append(f"The challenger is better: make promote VERSION={versions[1]} \\")
        lines.append(f"  REASON='A/B test: {metric} {found}'")
    return "\n".join(lines)


def traffic(engine: sql.Engine, options: Serving, named: Mapping[str, int]) -> list[str]:
    """Describe requests, the mean of answers and, where truths came, the error of each version.

    Classes that are words have no mean. During an A/B test errors would only tempt.
    """
    error = "error" if options.task == "regression" else "correct"
    rows = [("", "version", "requests", "mean answer", error, "truths")]
    strategy = options.logged_strategy if len(named) > 1 else "single"
    means = []
    with log.connect(engine, create=False) as connection:
        for alias, version in named.items():
            ours = (
                p.version == version,
                p.strategy == strategy,
                p.request_id != log.DELIVERY,
            )
            number = sql.func.count(p.request_id.distinct())
            requests = connection.scalar(sql.select(number).where(*ours))
            latest = sql.select(p.output).where(*ours).order_by(p.time.desc())
            found = connection.execute(latest.limit(LATEST))
            answers = [row.output["prediction"] for row in found]
            numbers = list(filter(log.is_number, answers))
            means.append(fmean(numbers or [nan]))
            labelled = log.answered.where(*ours).order_by(log.feedback.c.time.desc())
            measured = log.measure(connection, labelled.limit(LATEST), options.task)
            errors = [value for _, value in measured]
            mean = fmean(errors or [nan])
            row = (
                alias,
                str(version),
                f"{requests:,}",
                figure(means[-1]),
                "-" if options.strategy == "ab" else figure(mean),
                f"{len(errors):,}",
            )
            rows.append(row)
    difference = figure(means[-1] - means[0])
    lines = aligned(rows)
    lines.append(f"Challenger's mean answer minus the champion's: {difference}")
    return lines


def main(paths: Paths, options: Serving) -> None:
    """Print the traffic and, of an A/B test, the result."""
    known = open_registry(paths).aliases()
    named = {alias: known[alias] for alias in options.aliases if alias in known}
    engine = database(log.url(paths))
    strategy = options.strategy if len(named) > 1 else "single: no challenger is served"
    print(f"strategy {strategy}", *traffic(engine, options, named), sep="\n")
    if options.strategy != "ab" or len(named) < 2:
        return
    versions = named["champion"], named["challenger"]
    ours, theirs = read_values(engine, options, versions)
    if min(len(ours), len(theirs)) < options.ab.size:
        print(
            f"The test is not finished: the champion has {len(ours):,} and the challenger "
            f"{len(theirs):,} of {options.ab.size:,} labelled units."
        )
    else:
        print(summary(options, versions, ours, theirs))
