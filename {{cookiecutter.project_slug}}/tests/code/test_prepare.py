"""Stage `prepare`: target, row filter and split."""

from datetime import date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from conftest import Project, sales

from {{ cookiecutter.package_name }}.data import prepare
from {{ cookiecutter.package_name }}.errors import UserError
from {{ cookiecutter.package_name }}.files import read_json


def splits(project: Project) -> dict[str, pl.DataFrame]:
    """Prepare, and read what came of it."""
    prepare.main(project)
    return {
        name: pl.concat(map(pl.read_parquet, sorted((project.interim / name).iterdir())))
        for name in ("train", "validation", "test")
    }


def without_time(project: Project, rows: pl.DataFrame) -> None:
    """Leave rows to be split by their hash."""
    text = project.contract.read_text()
    project.contract.write_text(text.replace("role: time", "role: ignored"))
    project.put_raw(rows)


def test_every_dropped_row_is_counted_by_its_first_reason(project: Project) -> None:
    prices = [10.0, None, 151.0, -1.0, 150.0, None, 0.0] + [5.0] * 20
    project.put_raw(sales(len(prices)).with_columns(price=pl.Series(prices)))
    found = splits(project)
    report = read_json(project.prepare_report)
    assert report["dropped"] == {"target is missing": 2, "not among: prices of 0 to 150": 2}
    assert report["rows"] == {name: frame.height for name, frame in found.items()}
    assert sum(report["rows"].values()) + 4 == len(prices)
    kept = pl.concat(found.values())
    assert kept.columns == ["sold_at", "shop", "size", "items", "express", "euros"]
    assert kept["euros"].to_list() == [10.0, 150.0, 0.0] + [5.0] * 20


def test_time_splits_follow_each_other_in_exact_shares(project: Project) -> None:
    rows = sales(2_000).with_columns(price=pl.lit(5.0))
    project.put_raw(*(rows.sample(fraction=1, shuffle=True, seed=1)[i::3] for i in range(3)))
    found = splits(project)
    assert {name: frame.height for name, frame in found.items()} == {
        "train": 1_400,
        "validation": 300,
        "test": 300,
    }
    assert found["train"]["sold_at"].max() < found["validation"]["sold_at"].min()
    assert found["validation"]["sold_at"].max() < found["test"]["sold_at"].min()
    assert pl.concat(found.values()).drop("euros").sort("sold_at").equals(rows.drop("price"))


def test_test_from_fixes_the_start_of_test(project: Project) -> None:
    project.edit(prepare__test_from=date(2024, 2, 1))
    project.put_raw(sales(1_000).with_columns(price=pl.lit(5.0)))
    found = splits(project)
    assert found["test"]["sold_at"].min() == datetime(2024, 2, 1)
    earlier = 31 * 24
    assert found["validation"].height == earlier - round(0.85 * earlier)
    assert found["train"].height + found["validation"].height == earlier


def test_a_group_stays_in_one_split(project: Project) -> None:
    rows = sales(600).with_columns(price=pl.lit(5.0), size=pl.int_range(600) % 60 * 1.0)
    project.edit(prepare__group="size")
    project.put_raw(rows[:300], rows[300:])
    groups = [set(frame["size"]) for frame in splits(project).values()]
    assert [len(group) for group in groups] == [42, 9, 9]
    assert len(set.union(*groups)) == 60


def test_the_hash_is_the_same_for_ever() -> None:
    frame = pl.DataFrame({"a": ["x", None], "b": [1, 2], "c": [0.5, None], "d": [True, None]})
    assert prepare.stable_hash(frame).to_list() == [17128987126652832840, 3285956680901190362]


def test_few_rows_are_split_by_hash_in_exact_shares(project: Project) -> None:
    without_time(project, sales(100).with_columns(price=pl.lit(5.0)))
    assert [frame.height for frame in splits(project).values()] == [70, 15, 15]


def test_new_rows_never_move_old_ones(project: Project) -> None:
    rows = sales(4_000).with_columns(price=pl.lit(5.0))
    without_time(project, rows[:2_000])
    before = splits(project)
    project.put_raw(rows[2_000:], rows[:2_000])
    after = splits(project)
    assert 0.66 < after["train"].height / 4_000 < 0.74
    for name, frame in before.items():
        assert frame.join(after[name], on=frame.columns, how="anti", nulls_equal=True).is_empty()


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"test_from": date(2025, 1, 1)}, "no rows for test"),
        ({"test_from": date(2023, 1, 1)}, "no rows are left to train on"),
        ({"group": "price"}, "prepare.group: price is none of"),
        ({"group": "shop", "test_from": date(2024, 2, 1)}, "test_from needs a time column"),
    ],
)
def test_a_split_that_cannot_be_is_refused(
    project: Project, values: dict[str, Any], said: str
) -> None:
    project.put_raw(sales())
    prepare.main(project)
    before = contents(project.interim)
    project.edit(**{f"prepare__{name}": value for name, value in values.items()})
    with pytest.raises(UserError, match=said):
        prepare.main(project)
    assert contents(project.interim) == before


def contents(folder: Path) -> dict[Path, bytes]:
    """Every file below a folder."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_rows_without_time_are_counted_too(project: Project) -> None:
    text = project.contract.read_text()
    project.contract.write_text(text.replace("time, nullable: false", "time, nullable: true"))
    timeless = pl.when(pl.int_range(50) < 7).then(None).otherwise("sold_at").alias("sold_at")
    project.put_raw(sales(50).with_columns(timeless, price=pl.lit(5.0)))
    assert sum(frame.height for frame in splits(project).values()) == 43
    assert read_json(project.prepare_report)["dropped"] == {"time is missing": 7}


@pytest.mark.parametrize("price", [5.0, 999.0])
def test_too_few_rows_are_refused(project: Project, price: float) -> None:
    project.put_raw(sales(3).with_columns(price=pl.lit(price)))
    with pytest.raises(UserError, match="no rows"):
        prepare.main(project)
    assert not project.interim.exists()
