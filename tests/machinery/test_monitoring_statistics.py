"""The tests of days: false alarms as often as asked for, and real changes seen."""

from datetime import date, timedelta
from typing import Any

import numpy as np
import pytest
from mlops_loop.models.profile import Bins
from mlops_loop.models.types import Array, Floats
from mlops_loop.monitoring.drift import ColumnTest, combine_cauchy, make_contrasts
from mlops_loop.monitoring.params import Monitoring
from mlops_loop.monitoring.statistics import (
    NO_PRIOR,
    LossTest,
    calibrate,
    calibrate_loss,
    share_prior,
)
from scipy import stats

B, ROWS = 90, 1_000


def weekdays(days: int) -> Array:
    return np.array([(date(2024, 1, 1) + timedelta(day)).weekday() for day in range(days)])


def losses(rng: Any, days: int, rows: int, effect: float = 0.0) -> Floats:
    """Mean exponential losses of days, with a day effect that lasts."""
    lasting = rng.normal(size=days)
    for day in range(1, days):
        lasting[day] = 0.3 * lasting[day - 1] + np.sqrt(1 - 0.3**2) * lasting[day]
    return rng.gamma(rows, 1 / rows, days) * np.exp(effect * lasting)


def loss_test(rng: Any, effect: float = 0.0) -> LossTest:
    days = np.full(B, ROWS)
    return calibrate_loss(losses(rng, B, ROWS, effect), days, weekdays(B), 1.0, 2.0)


@pytest.mark.parametrize("effect", [0.0, 0.05])
@pytest.mark.parametrize("window", [1, 7])
def test_a_stable_loss_alarms_as_often_as_asked_for(effect: float, window: int) -> None:
    rng, days, level, alarms = np.random.default_rng(7), 500, 0.01, 0
    for _ in range(20):
        watched = losses(rng, days, ROWS, effect)
        p = loss_test(rng, effect).p(watched, np.full(days, ROWS), weekdays(days), window)
        alarms += (p[window:] < level).mean() / 20
    assert 0.001 < alarms < 0.02


def test_a_day_effect_is_learned_and_what_rows_alone_would_say_is_too_sure() -> None:
    rng = np.random.default_rng(3)
    known = [loss_test(rng, 0.05).reference.effect[0] for _ in range(20)]
    assert np.sqrt(np.mean(known)) == pytest.approx(0.05, rel=0.15)
    assert np.mean(known) > 2 / ROWS, "what the rows alone let expect"


def test_a_rise_of_the_loss_is_seen_on_its_first_day() -> None:
    rng, seen = np.random.default_rng(5), []
    for _ in range(30):
        watched = 1.2 * losses(rng, 50, ROWS)
        p = loss_test(rng).p(watched, np.full(50, ROWS), weekdays(50), 1)
        seen.append((p < 0.5 / 365).mean())
    assert np.mean(seen) >= 0.95


def test_what_could_have_been_seen_is_seen_nine_times_in_ten() -> None:
    rng, seen = np.random.default_rng(11), []
    for _ in range(40):
        test = loss_test(rng)
        rise = test.smallest_rise(np.array([ROWS]), 0.5 / 365)[0]
        watched = (1 + rise) * losses(rng, 100, ROWS)
        p = test.p(watched, np.full(100, ROWS), weekdays(100), 1)
        seen.append((p < 0.5 / 365).mean())
    assert 0.12 < rise < 0.2
    assert np.mean(seen) == pytest.approx(0.9, abs=0.04)


def test_a_weekday_that_differs_is_expected() -> None:
    rng, at = np.random.default_rng(2), weekdays(70)
    values = (np.where(at == 5, 2.0, 0.0) + rng.normal(0, 0.1, 70))[:, None]
    reference = calibrate(values, np.full((70, 1), 100.0), np.ones(1), at)
    assert reference.expected[5, 0] == pytest.approx(2, abs=0.1)
    assert reference.expected[1, 0] == pytest.approx(0, abs=0.1)
    assert np.sqrt(reference.effect[0]) < 0.1


def test_under_eight_days_nothing_is_known_of_day_effects() -> None:
    values = np.random.default_rng(0).normal(size=(7, 1))
    reference = calibrate(values, np.full((7, 1), 100.0), np.ones(1), weekdays(7))
    assert reference.dof[0] > 1_000
    assert reference.effect[0] == pytest.approx(0.005**2)


def test_the_prior_of_dispersions_finds_what_was_drawn() -> None:
    rng = np.random.default_rng(1)
    levels = 2.0 / (rng.chisquare(20, 5_000) / 20)
    found = levels * rng.chisquare(30, 5_000) / 30
    freedom, level = share_prior(found, np.full(5_000, 30.0))
    assert freedom == pytest.approx(20, rel=0.15)
    assert level == pytest.approx(2, rel=0.05)


def test_contrasts_are_orthonormal_under_the_reference() -> None:
    shares = np.random.default_rng(0).dirichlet(np.ones(12))
    basis = make_contrasts(shares, Bins(edges=list(range(11))))
    assert basis.shape == (12, 4)
    assert (basis * shares[:, None]).T @ basis == pytest.approx(np.eye(4), abs=1e-9)
    assert shares @ basis == pytest.approx(np.zeros(4), abs=1e-9)
    assert (np.diff(basis[:, 0]) > 0).all(), "the first rises with the value"


def test_combined_p_values_are_uniform_and_one_of_1_vetoes_nothing() -> None:
    p = np.random.default_rng(0).random((20_000, 5))
    combined = combine_cauchy(p, np.ones(5))
    assert (combined < 0.01).mean() == pytest.approx(0.01, abs=0.003)
    assert combine_cauchy(np.array([[1e-9, 1.0, 1.0]]), np.ones(3))[0] < 1e-8


EDGES = list(stats.norm.ppf(np.linspace(0.05, 0.95, 19)))
NUMBER, SHOPS = Bins(edges=[-9.0, *EDGES, 9.0]), Bins(levels=["a", "b", "c"])


def numbers(rng: Any, days: int, rows: int, mean: float = 0.0, sd: float = 1.0) -> Floats:
    """Counts of normal values by day and bin."""
    inner = np.diff(stats.norm.cdf([-9, *EDGES, 9], mean, sd))
    return rng.multinomial(rows, np.array([0, *inner, 0, 0]), days).astype(float)


def shops(rng: Any, days: int, *shares: float) -> Floats:
    """Counts of the levels a, b, c, unseen and missing by day."""
    return rng.multinomial(ROWS, shares, days).astype(float)


def drift_p(reference: Floats, watched: Floats, bins: Bins) -> tuple[Floats, str]:
    """The p value of each day, and the words for the last."""
    test = ColumnTest.calibrate(reference, bins, weekdays(len(reference)), (1e6, 1.0))
    drift = test.run(watched, weekdays(len(watched)))
    return test.combine(drift.p), drift.describe(len(watched) - 1)


def test_a_stable_column_alarms_as_often_as_asked_for() -> None:
    rng = np.random.default_rng(13)
    p, _ = drift_p(numbers(rng, B, ROWS), numbers(rng, 3_000, ROWS), NUMBER)
    assert (p < 0.01).mean() < 0.015
    p, _ = drift_p(
        shops(rng, B, 0.5, 0.3, 0.2, 0, 0), shops(rng, 3_000, 0.5, 0.3, 0.2, 0, 0), SHOPS
    )
    assert (p < 0.01).mean() < 0.015


LEVEL = 0.25 / 365 / 10  # of one column of ten


def test_shifts_are_seen_on_their_first_day_and_named() -> None:
    rng = np.random.default_rng(17)
    known = numbers(rng, B, ROWS)
    up = [drift_p(known, numbers(rng, 1, ROWS, mean=0.2), NUMBER) for _ in range(40)]
    assert np.mean([p[0] < LEVEL for p, _ in up]) >= 0.9
    assert all(words.startswith("up by 0.") for _, words in up)
    p, words = drift_p(known, numbers(rng, 1, ROWS, sd=1.3), NUMBER)
    assert p[0] < LEVEL
    assert words == "wider"
    known = shops(rng, B, 0.5, 0.3, 0.2, 0, 0)
    p, words = drift_p(known, shops(rng, 1, 0.4, 0.3, 0.3, 0, 0), SHOPS)
    assert p[0] < LEVEL
    assert words.startswith(("c: 20.", "a: 50.", "a: 49.", "c: 19."))


def test_a_new_level_is_a_note_while_rare_and_an_alarm_when_it_is_not() -> None:
    rng = np.random.default_rng(19)
    known = shops(rng, B, 0.5, 0.3, 0.2, 0, 0)
    rare, words = drift_p(known, np.array([[497.0, 298, 200, 5, 0]]), SHOPS)
    assert rare[0] > LEVEL
    p, words = drift_p(known, np.array([[485.0, 285, 200, 30, 0]]), SHOPS)
    assert p[0] < LEVEL
    assert words == "unseen values: 0.0% → 3.0% of the rows"


def test_missing_values_alarm_and_a_single_row_never_does() -> None:
    rng = np.random.default_rng(23)
    known = numbers(rng, B, ROWS)
    gone = np.zeros((1, len(NUMBER)))
    gone[0, -1] = 1_000
    p, words = drift_p(known, gone, NUMBER)
    assert p[0] < LEVEL
    assert words == "missing: 0.0% → 100.0% of the rows"
    for place in range(len(NUMBER)):
        assert drift_p(known, np.eye(len(NUMBER))[[place]], NUMBER)[0][0] > LEVEL


def test_a_slow_season_becomes_the_recent_level() -> None:
    rng = np.random.default_rng(29)
    season = 0.25 * np.sin(2 * np.pi * np.arange(365) / 365)
    watched = np.vstack([numbers(rng, 1, ROWS, mean=mean) for mean in season])
    p, _ = drift_p(numbers(rng, B, ROWS), watched, NUMBER)
    assert (p < LEVEL).sum() <= 3
    test = ColumnTest.calibrate(numbers(rng, B, ROWS), NUMBER, weekdays(B), NO_PRIOR)
    assert np.abs(test.run(watched, weekdays(365)).z[:, 0]).max() > 5, "it is shown"


def test_a_stable_day_of_24_looks_alarms_as_seldom_as_one_of_a_single_look() -> None:
    """At every look the rows of the day so far are tested, at the level of an hourly check."""
    options, years, alarms = Monitoring(alarms_per_year=12, every="1h"), 0.0, 0
    daily = Monitoring(alarms_per_year=12, every="1d").level(0.5)
    assert options.level(0.5) == pytest.approx(daily / 24)
    rng, days, looks = np.random.default_rng(13), 365, np.arange(1, 25)
    for effect in (0.0, 0.05) * 15:
        test = loss_test(rng, effect)
        hours = (
            rng.gamma(ROWS / 24, 24 / ROWS, (days, 24)) * losses(rng, days, 10**9, effect)[:, None]
        )
        sofar = hours.cumsum(axis=1) / looks
        p = [
            test.p(sofar[:, look - 1], np.full(days, ROWS // 24 * look), weekdays(days), 1)
            for look in looks
        ]
        alarms += int((np.min(p, axis=0) < options.level(0.5)).sum())
        years += days / 365
    assert 0 < alarms / years <= 12 * 0.5, "days between two false alarms, as with one look"
