"""Stage `prepare`: target, row filter, split and personal data."""

import hmac
from datetime import date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from mlops_loop.data.splits import stable_hash
from mlops_loop.files import read_json
from mlops_loop.project import UserError
from project.data import prepare
from projects import Project, sales

FEATURE_ROLES = [5682981930951985757, 10697964652326406573, 14589022676995134607]


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


def classify(project: Project, patch: pytest.MonkeyPatch, counts: dict[int, int]) -> pl.DataFrame:
    """Raw rows with these numbers of rows in three classes, to be split by their hash."""
    project.edit(task="multiclass")
    patch.setattr(prepare, "TARGET", pl.col("price").cast(pl.Int64).alias("class"))
    labels = [float(label) for label, count in counts.items() for _ in range(count)]
    rows = sales(len(labels)).with_columns(price=pl.Series(labels))
    without_time(project, rows)
    return rows


def test_every_dropped_row_is_counted_by_its_first_reason(project: Project) -> None:
    prices = [10.0, None, 151.0, -1.0, 150.0, None, 0.0] + [5.0] * 20
    project.put_raw(sales(len(prices)).with_columns(price=pl.Series(prices)))
    found = splits(project)
    report = read_json(project.prepare_report)
    assert report["dropped"] == {
        "target is missing": 2,
        "excluded by KEEP_ROWS: prices of 0 to 150": 2,
    }
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
    frame = pl.DataFrame(
        {
            "text": ["x", None, "ü"],
            "whole": [1, 2, None],
            "number": [0.0, None, 0.5],
            "yes": [True, None, False],
            "day": [date(2024, 1, 1), None, date(1969, 1, 1)],
            "time": [datetime(2024, 1, 1), None, datetime(1969, 1, 1)],
        }
    )
    hashes = stable_hash(frame)
    assert hashes.to_list() == FEATURE_ROLES
    assert [stable_hash(frame[row]).item() for row in range(3)] == FEATURE_ROLES
    same = frame.with_columns(number=pl.Series([-0.0, float("nan"), 0.5]))
    assert stable_hash(same).equals(hashes)


def test_few_rows_are_split_by_hash_in_exact_shares(project: Project) -> None:
    without_time(project, sales(100).with_columns(price=pl.lit(5.0)))
    assert [frame.height for frame in splits(project).values()] == [70, 15, 15]


@pytest.mark.parametrize(
    ("rows", "shares"), [(20, [14, 3, 3]), (3, [1, 1, 1]), (6, [4, 1, 1]), (999, [699, 150, 150])]
)
def test_each_class_is_split_in_exact_shares(
    project: Project, monkeypatch: pytest.MonkeyPatch, rows: int, shares: list[int]
) -> None:
    classify(project, monkeypatch, {7: rows, 3: 100})
    for label, expected in ((7, shares), (3, [70, 15, 15])):
        found = [frame["class"].eq(label).sum() for frame in splits(project).values()]
        assert found == expected


def test_new_rows_of_a_large_class_never_move_old_ones(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = classify(project, monkeypatch, {1: 2_000, 2: 20, 3: 2_000})
    before = splits(project)
    project.put_raw(rows, sales(1_000, seed=1).with_columns(price=pl.lit(1.0)))
    after = splits(project)
    for name, frame in before.items():
        assert frame.join(after[name], on=frame.columns, how="anti", nulls_equal=True).is_empty()


def test_equal_rows_stay_together_and_a_class_of_them_is_learnt(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = classify(project, monkeypatch, {1: 5, 2: 100})
    project.put_raw(rows[[0] * 1_200], rows[5:], rows[5:])
    found = splits(project)
    assert sum(frame.n_unique() for frame in found.values()) == pl.concat(found.values()).n_unique()
    assert found["train"]["class"].eq(1).sum() == 1_200


def test_a_class_of_two_rows_is_named(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    classify(project, monkeypatch, {7: 2, 3: 50})
    with pytest.raises(UserError, match=r"class '7' of the target has too few rows .*\(2, .*drop"):
        prepare.main(project)
    assert not project.interim.exists()


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
        ({"test_from": date(2023, 1, 1)}, "no rows for train"),
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


@pytest.mark.parametrize("name", ["price", "target", "class", "None", "dropped", "prediction"])
def test_columns_and_target_may_have_any_name(
    project: Project, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    rows = sales(50).drop_nulls().rename({"size": "key", "items": "columns"})
    text = project.contract.read_text().replace("name: size", "name: key")
    project.contract.write_text(text.replace("name: items", "name: columns"))
    project.put_raw(rows)
    monkeypatch.setattr(prepare, "TARGET", (pl.col("price") / 200).alias(name))
    kept = rows.filter(pl.col("price").is_between(0, 150))
    found = pl.concat(splits(project).values())
    assert found[name].to_list() == (kept["price"] / 200).to_list()
    assert found["columns"].to_list() == kept["columns"].to_list()


@pytest.mark.parametrize(
    ("name", "definition", "said"),
    [
        ("TARGET", pl.col("price").alias("size"), "target size .*role outcome"),
        ("TARGET", pl.col("cost"), "cost"),
        ("KEEP_ROWS", (pl.col("note") == "x",), "not ignored"),
    ],
)
def test_definitions_that_do_not_fit_the_contract_are_refused(
    project: Project, monkeypatch: pytest.MonkeyPatch, name: str, definition: Any, said: str
) -> None:
    project.put_raw(sales())
    monkeypatch.setattr(prepare, name, definition)
    with pytest.raises(UserError, match=said):
        prepare.main(project)


def personal(project: Project, column: str) -> pl.DataFrame:
    """Raw rows of which one column is personal data."""
    text = project.contract.read_text()
    project.contract.write_text(text.replace(f"name: {column},", f"name: {column}, pii: true,"))
    rows = sales(100).with_columns(price=pl.lit(5.0))
    project.put_raw(rows)
    return rows


def test_personal_data_split_rows_and_are_dropped(project: Project) -> None:
    rows = personal(project, "size").with_columns(size=pl.int_range(100) % 20 * 1.0)
    project.put_raw(rows)
    project.edit(prepare__group="size")
    found = splits(project)
    assert all("size" not in frame.columns for frame in found.values())
    sizes = [set(frame.join(rows, on="sold_at")["size"]) for frame in found.values()]
    assert [len(split) for split in sizes] == [14, 3, 3]


@pytest.mark.parametrize("column", ["shop", "items", "sold_at"])
def test_personal_data_are_hashed_with_the_key(
    project: Project, monkeypatch: pytest.MonkeyPatch, column: str
) -> None:
    rows = personal(project, column)
    project.edit(prepare__pii="hash")
    with pytest.raises(UserError, match=r"PII_KEY .*token_hex"):
        prepare.main(project)
    monkeypatch.setenv("PII_KEY", "a secret")
    hashed = pl.concat(splits(project).values())[column]
    expected = [
        None if value is None else hmac.new(b"a secret", str(value).encode(), "sha256").hexdigest()
        for value in rows[column]
    ]
    assert hashed.to_list() == expected


def test_the_target_is_no_personal_data(project: Project) -> None:
    personal(project, "price")
    with pytest.raises(UserError, match="TARGET no personal data"):
        prepare.main(project)


@pytest.mark.parametrize("price", [5.0, 999.0])
def test_too_few_rows_are_refused(project: Project, price: float) -> None:
    project.put_raw(sales(3).with_columns(price=pl.lit(price)))
    with pytest.raises(UserError, match="no rows"):
        prepare.main(project)
    assert not project.interim.exists()
