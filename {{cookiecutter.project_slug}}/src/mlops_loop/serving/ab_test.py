"""`make ab-test`: the result of an A/B test, once each version has the size that was fixed before.

Until then it reports no figure: repeated looks find differences where there are none.
"""

from datetime import datetime

import numpy as np
import sqlalchemy as sql

from ..console import aligned, figure
from ..database import database, now
from ..models.types import Floats
from ..project import Paths, UserError
from ..tracking import open_registry
from . import log_tables as log
from .follow import ALIASES
from .params import Serving

p = log.predictions.c
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
    """The interval of the challenger's mean minus the champion's, and the p-value of no difference.

    Errors are compared by Welch's t-test, rates by Fisher's exact test, with Newcombe's interval
    (1998, method 10).
    """
    from scipy import stats

    confidence, difference = options.ab.confidence, float(theirs.mean() - ours.mean())
    if options.task == "regression":
        found = stats.ttest_ind(theirs, ours, equal_var=False)
        low, high = found.confidence_interval(confidence)
        return float(low), float(high), float(found.pvalue)
    table = [(int(arm.sum()), int(len(arm) - arm.sum())) for arm in (ours, theirs)]
    (low, high), (their_low, their_high) = (
        stats.binomtest(ones, ones + zeros).proportion_ci(confidence, "wilson")
        for ones, zeros in table
    )
    below = float(np.hypot(theirs.mean() - their_low, high - ours.mean()))
    above = float(np.hypot(their_high - theirs.mean(), ours.mean() - low))
    return difference - below, difference + above, float(stats.fisher_exact(table).pvalue)


def summary(options: Serving, versions: tuple[int, int], ours: Floats, theirs: Floats) -> str:
    """Compare the values of both versions; returns the result with what to do."""
    low, high, p_value = compare(options, ours, theirs)
    difference = theirs.mean() - ours.mean()
    metric = "absolute_error" if options.task == "regression" else "correct"
    means = figure(ours.mean()), figure(theirs.mean())
    rows = zip(ALIASES, map(str, versions), means, strict=True)
    found = f"{difference:+.4g} ({low:+.4g} to {high:+.4g})"
    lines = [
        *aligned([("", "version", metric), *rows]),
        f"Difference {found}, p = {p_value:.2g}: {options.ab.size:,} units each, "
        f"confidence {options.ab.confidence:g}.",
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


def main(paths: Paths, options: Serving) -> None:
    """Print the result; raises UserError where no test runs."""
    if options.strategy != "ab":
        raise UserError("params.yaml: serving.strategy is not ab: no A/B test runs.")
    named = open_registry(paths).aliases()
    if not set(ALIASES) <= named.keys():
        raise UserError("an A/B test needs a champion and a challenger; the registry lacks one.")
    versions = named["champion"], named["challenger"]
    ours, theirs = read_values(database(log.url(paths)), options, versions)
    if min(len(ours), len(theirs)) < options.ab.size:
        print(
            f"The test is not finished: the champion has {len(ours):,} and the challenger "
            f"{len(theirs):,} of {options.ab.size:,} labelled units."
        )
    else:
        print(summary(options, versions, ours, theirs))
