"""Stage `validate`: each way to break the contract, with a real file."""

from datetime import datetime, timedelta
from typing import Any

import polars as pl
import pytest
from mlops_loop.files import read_json
from mlops_loop.project import UserError
from project.data import ingest, validate
from projects import Project, sales

ROWS = sales(200).with_columns(pl.col("price").fill_null(9.0).clip(0, 200))


def put(name: str, value: Any, rows: int = 1) -> pl.Expr:
    """The column with a value put into some rows, from the eighth on."""
    here = pl.int_range(pl.len()).is_between(7, 6 + rows)
    return pl.when(here).then(pl.lit(value)).otherwise(name).alias(name)


BREACHES = {
    "size | is present | 1 | column not found": ROWS.drop("size"),
    "items | is Int64 | 1 | row 8: two": ROWS.cast({"items": pl.String}).with_columns(
        put("items", "two")
    ),
    "items | is Int64 | 1 | row 8: 2.5": ROWS.cast({"items": pl.Float64}).with_columns(
        put("items", 2.5)
    ),
    "express | is Boolean | 200 | row 1: maybe": ROWS.with_columns(express=pl.lit("maybe")),
    "(table) | has rows | 0 | no rows": ROWS.clear(),
    "shop | has values | 200 | all null": ROWS.with_columns(shop=pl.lit(None, pl.String)),
    "size | not null | 1 | row 8: None": ROWS.with_columns(put("size", None)),
    "size | not null | 2 | row 8: None": ROWS.with_columns(put("size", float("nan"), rows=2)),
    "(table) | duplicates <= 1.0% | 20 | 9.1% of the rows": pl.concat([ROWS, ROWS[:20]]),
    "price | <= 200 | 1 | row 8: 201.0": ROWS.with_columns(put("price", 201.0)),
    "price | >= -5 | 3 | row 8: -9.0": ROWS.with_columns(put("price", -9.0, rows=3)),
    "shop | one of north, south, east | 1 | row 8: moon": ROWS.with_columns(put("shop", "moon")),
}


@pytest.mark.parametrize("breach", BREACHES)
def test_a_breach_is_reported(project: Project, breach: str) -> None:
    project.put_raw(BREACHES[breach])
    with pytest.raises(UserError) as stop:
        validate.main(project)
    column, rule, count, example = breach.split(" | ")
    expected = {"column": column, "rule": rule, "count": int(count), "example": example}
    report = read_json(project.validation_report)
    assert report["violations"] == [{"file": "0.parquet", **expected}]
    assert not report["valid"]
    [line] = [line for line in str(stop.value).splitlines() if "0.parquet" in line]
    assert line.split() == ["0.parquet", *breach.replace(" | ", " ").split()]


def test_a_share_of_missing_values_is_a_breach(project: Project) -> None:
    contract = project.contract.read_text().replace("max: 9,", "max: 9, max_missing: 0.1,")
    project.contract.write_text(contract)
    gaps = [ROWS.with_columns(put("items", None, rows=rows)) for rows in (0, 40)]
    most = 20 - gaps[0]["items"].null_count()
    project.put_raw(ROWS.with_columns(put("items", None, rows=most)), gaps[1])
    with pytest.raises(UserError, match=r"1\.parquet +items +missing <= 10\.0% "):
        validate.main(project)
    [found] = read_json(project.validation_report)["violations"]
    rows = gaps[1]["items"].null_count()
    assert (found["count"], found["example"]) == (rows, f"{rows / 200:.1%} of the rows")


def test_old_data_are_a_breach_when_they_come(project: Project) -> None:
    contract = project.contract.read_text()
    project.contract.write_text(contract.replace("role: time,", "role: time, max_age_days: 30,"))
    now = datetime.now()
    month = ROWS.with_columns(pl.col("sold_at") - pl.col("sold_at").max() + now)
    ages = [month.with_columns(pl.col("sold_at") - timedelta(days=days)) for days in (99, 31, 29)]
    (project.external / "sales").mkdir()
    for days, rows in enumerate(ages):
        rows.write_parquet(project.external / "sales" / f"{days}.parquet")
    project.edit(ingest__path="data/external/sales")
    ingest.main(project)
    (project.external / "sales" / "2.parquet").unlink()
    with pytest.raises(UserError, match="31 days old"):
        ingest.main(project)
    [found] = read_json(project.validation_report)["violations"]
    assert found == {
        "file": "(newest row)",
        "column": "sold_at",
        "rule": "<= 30 days old",
        "count": 1,
        "example": f"{now - timedelta(days=31):%Y-%m-%d}, 31 days old",
    }
    validate.main(project)
    assert read_json(project.validation_report)["valid"], "data that are reproduced may be old"


def test_an_age_needs_a_time(project: Project) -> None:
    contract = project.contract.read_text()
    project.contract.write_text(contract.replace("max: 9,", "max: 9, max_age_days: 30,"))
    with pytest.raises(UserError, match="column items: max_age_days needs the role time"):
        validate.main(project)


def test_every_breach_of_every_partition_is_reported(project: Project) -> None:
    project.put_raw(ROWS.drop("size").with_columns(put("shop", "moon")), ROWS, ROWS.drop("items"))
    (project.raw / "3.parquet").write_bytes((project.raw / "1.parquet").read_bytes()[:-99])
    with pytest.raises(UserError, match="nothing was trained"):
        validate.main(project)
    report = read_json(project.validation_report)
    found = {(v["file"], v["column"], v["rule"]) for v in report["violations"]}
    assert found == {
        ("0.parquet", "size", "is present"),
        ("0.parquet", "shop", "one of north, south, east"),
        ("2.parquet", "items", "is present"),
        ("3.parquet", "(file)", "is readable"),
    }
    assert report["rows"] == {"0.parquet": 200, "1.parquet": 200, "2.parquet": 200}


@pytest.mark.parametrize(
    "dirt",
    [
        ROWS,
        ROWS[:1],
        ROWS.with_columns(note=pl.lit(17), more=pl.lit("a column of nobody")),
        ROWS.with_columns(pl.col("items").cast(pl.Float64)),
        ROWS.with_columns(pl.col("items").cast(pl.Float64).fill_null(float("nan"))),
        ROWS.with_columns(pl.col("sold_at").dt.strftime(" %Y-%m-%d %H:%M:%S")),
        ROWS.with_columns(pl.col("express").cast(pl.String).str.to_titlecase()),
        pl.concat([ROWS, ROWS[:2]]),
    ],
)
def test_what_keeps_the_contract_passes(project: Project, dirt: pl.DataFrame) -> None:
    project.put_raw(dirt)
    validate.main(project)
    report = read_json(project.validation_report)
    assert report == {"valid": True, "rows": {"0.parquet": dirt.height}, "violations": []}


def test_a_csv_is_judged_by_what_its_text_says(project: Project) -> None:
    lines = ROWS.write_csv(datetime_format="%Y-%m-%dT%H:%M").splitlines()
    lines[8] = "yesterday,north,1.5,2,true,"
    (project.external / "sales.csv").write_text("\n".join(lines))
    ingest.main(project)
    with pytest.raises(UserError):
        validate.main(project)
    [violation] = read_json(project.validation_report)["violations"]
    assert violation["column"] == "sold_at"
    assert violation["example"] == "row 8: yesterday"


def test_a_personal_value_is_not_shown(project: Project) -> None:
    contract = project.contract.read_text()
    project.contract.write_text(
        contract.replace("description: where", "description: where, pii: true")
    )
    project.put_raw(ROWS.with_columns(put("shop", "Ann's kiosk")))
    with pytest.raises(UserError, match=r"shop .* row 8: \(personal data\)"):
        validate.main(project)
    assert "Ann" not in project.validation_report.read_text()


@pytest.mark.parametrize(
    ("check", "count", "example"),
    [
        (pl.col("price") <= 2 * pl.col("size"), 3, "row 8: price 190.0, size 9.0"),
        (
            (pl.col("shop") == "north") | (pl.col("size") > 9),
            3,
            "row 8: shop (personal data), size 9.0",
        ),
        (pl.col("items").null_count() < 3, 1, "the file as a whole"),
        ((pl.col("shop") == "north").mean() == 1, 1, "the file as a whole"),
    ],
)
def test_a_check_across_columns_is_reported(
    project: Project, monkeypatch: pytest.MonkeyPatch, check: pl.Expr, count: int, example: str
) -> None:
    personal = project.contract.read_text().replace("name: shop,", "name: shop, pii: true,")
    project.contract.write_text(personal.replace(", slice: true", ""))
    good = ROWS.with_columns(items=5, price=1.0, size=9.0, shop=pl.lit("north"))
    changes = {"price": 190.0, "items": None, "shop": "south"}
    bad = good.with_columns(put(name, value, rows=3) for name, value in changes.items())
    monkeypatch.setattr(validate, "CHECKS", (check.alias("as agreed"), pl.col("size") == 9))
    project.put_raw(good, bad)
    with pytest.raises(UserError, match=r"contract\.yaml or CHECKS"):
        validate.main(project)
    [found] = read_json(project.validation_report)["violations"]
    assert found == {
        "file": "1.parquet",
        "column": "(check)",
        "rule": "as agreed",
        "count": count,
        "example": example,
    }


def test_a_check_passes_where_a_value_is_missing(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(validate, "CHECKS", (pl.col("price") < pl.col("items"),))
    project.put_raw(ROWS.with_columns(price=pl.int_range(200) + 0.0, items=None))
    with pytest.raises(UserError):
        validate.main(project)
    [violation] = read_json(project.validation_report)["violations"]
    assert violation["rule"] == "has values", "the contract speaks of it, the check does not"
    some = pl.when(pl.int_range(200) == 0).then(9).alias("items")
    project.put_raw(ROWS.with_columns(some, price=pl.int_range(200) + 0.0))
    validate.main(project)
    assert read_json(project.validation_report)["valid"]


@pytest.mark.parametrize(
    ("check", "said"),
    [
        (pl.col("note") == "x", "unable to find column"),
        (pl.col("items") + 1, "yields 200 rows of Schema"),
        (pl.col("size").filter(pl.col("size") > 50) > 60, "yields"),
        (pl.col("size") > pl.col("shop"), "cannot compare"),
    ],
)
def test_a_check_that_cannot_be_computed_is_named(
    project: Project, monkeypatch: pytest.MonkeyPatch, check: pl.Expr, said: str
) -> None:
    monkeypatch.setattr(validate, "CHECKS", (check.alias("mine"),))
    project.put_raw(ROWS)
    with pytest.raises(UserError, match=rf'alias\("mine"\): (.|\n)*{said}(.|\n)*CHECKS'):
        validate.main(project)
