"""`make replay` without a service: the world that is streamed, and what it may not be."""

from datetime import date, timedelta
from typing import Any

import polars as pl
import pytest
from mlops_loop.monitoring import replay
from mlops_loop.monitoring.shifts import SHIFTS
from mlops_loop.project import UserError
from projects import Project, sales
from watched import NEEDS

REPLAYED = replay.Replayed(42, lambda paths, today: None, NEEDS)
START = date(2024, 1, 1)
FEWER = START + timedelta(days=20), date(2024, 1, 31)
POISONED = [START + timedelta(days=day) for day in (3, 4, 5)]


def change(project: Project, drift: str) -> pl.DataFrame:
    """Sixty days of sales with a drift, of which one row would be refused."""
    rows = sales(60 * 24).with_columns(pl.col("sold_at").dt.date().alias("day"))
    first = pl.int_range(pl.len()) == 0
    rows = rows.with_columns(size=pl.when(first).then(-1.0).otherwise("size"))
    return replay.change_world(project, REPLAYED, rows, drift).sort("sold_at")


def late(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows with outcomes that count, of the days after the drift began."""
    return rows.filter("kept", pl.col("day") >= date(2024, 2, 1))


def test_without_drift_three_days_of_truths_are_wrong_and_some_rows_come_less_often(
    trained: Project,
) -> None:
    trained.put_model("better")
    every = change(trained, "none")
    fades = pl.col("day").is_between(*FEWER)
    rows, same = every.filter(~fades), sales(60 * 24)[1:]
    same = same.filter(~pl.col("sold_at").dt.date().is_between(*FEWER))
    assert rows["truth"].equals(same["price"].alias("truth"))
    assert rows["size"].equals(same["size"])
    assert rows["kept"].sum() == same["price"].is_between(0, 150).sum()
    assert every.filter(fades, "kept")["size"].mean() > rows.filter("kept")["size"].mean() + 5
    wrong = rows.filter(pl.col("told") != pl.col("truth"))
    assert wrong["day"].unique().sort().to_list() == POISONED
    assert 0.15 < wrong.height / rows.filter(pl.col("day").is_in(POISONED)).height < 0.45


def test_a_drift_begins_after_a_month_and_leaves_what_it_does_not_name(trained: Project) -> None:
    trained.put_model("better")
    before, after = change(trained, "none"), change(trained, "unit")
    early = pl.col("day") < date(2024, 2, 1)
    assert after.filter(early).equals(before.filter(early))
    # What a request could no longer hold is not sent.
    within = late(before).filter(pl.col("size") * 1.609 <= 100)
    assert late(after).drop("size").equals(within.drop("size"))
    assert late(after)["size"].to_list() == pytest.approx((within["size"] * 1.609).to_list())

    concept = change(trained, "concept")
    assert concept.drop("truth", "told").equals(before.drop("truth", "told"))
    higher = (late(concept)["truth"] - late(before)["truth"]).drop_nulls()
    assert higher.min() == pytest.approx(higher.max()) and higher.min() > 10

    fewer = change(trained, "harmless")
    assert fewer.join(before, on=fewer.columns, how="anti", nulls_equal=True).is_empty()
    assert late(fewer)["size"].mean() > late(before)["size"].mean() + 5


def test_every_drift_finds_a_column_that_the_model_uses(trained: Project) -> None:
    trained.put_model("better")
    chosen = {kind: replay.choose_column(trained, kind) for kind in ("number", "level", "nullable")}
    assert chosen == {"number": "size", "level": "shop", "nullable": "items"}
    for name in SHIFTS:
        assert change(trained, name).height > 1_000
    with pytest.raises(UserError, match="DRIFT: the model uses no column of requests"):
        replay.choose_column(trained, "colour")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--DRIFT=colour"], "DRIFT=colour: no such drift; name one of mean, scale, unit"),
        ([], "a replay starts from the last commit, and there is none"),
    ],
)
def test_what_cannot_be_replayed_is_one_sentence(
    project: Project, arguments: list[str], problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    known: dict[str, Any] = dict(replay.os.environ)
    monkeypatch.setattr(replay.os, "environ", known)
    with pytest.raises(UserError, match=problem):
        replay.main(project, REPLAYED, arguments)
