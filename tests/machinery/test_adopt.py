"""Tables as they come, adopted: each case writes its file, and works or fails in one sentence."""

import csv
import gzip
import re
import subprocess
from collections.abc import Callable, Iterable
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from blank import DATA, STAGES, TOOL, Blank, blank, learner, names
from mlops_loop.commands import predict
from mlops_loop.commands.adopt import adopt
from mlops_loop.config import Ingest
from mlops_loop.data.contract import Column, Contract
from mlops_loop.files import partitions, read_json
from mlops_loop.lineage import git
from mlops_loop.project import UserError
from project.data import ingest, validate
from project.features.definitions import TARGET
from project.params import load_params
from projects import registry_of

__all__ = ["blank", "learner"]

ROWS = 200


def flats(rows: int = ROWS, seed: int = 0) -> pl.DataFrame:
    """Flats with a rent that depends on their area and district."""
    rng = np.random.default_rng(seed)
    area, rooms = rng.uniform(20, 150, rows).round(1), rng.integers(1, 6, rows)
    district = rng.choice(["north", "east", "harbour"], rows)
    rent = 11 * area + 300 * (district == "harbour") + rng.normal(0, 20, rows)
    return pl.DataFrame(
        {"area": area, "rooms": rooms, "district": district, "rent": rent.round(2) + 1000}
    )


def filled(values: Iterable[Any], rows: int = 60) -> list[Any]:
    """The values again and again."""
    return list(islice(cycle(values), rows))


def write(path: Path, columns: dict[str, list[Any]] | list[tuple[str, list[Any]]]) -> Path:
    """A CSV file of these columns and a number to predict."""
    named = list(columns.items()) if isinstance(columns, dict) else columns
    rng = np.random.default_rng(0)
    table = [*named, ("y", rng.integers(100, 900, len(named[0][1])))]
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow([name for name, _ in table])
        rows.writerows(zip(*(values for _, values in table), strict=True))
    return path


def column(contract: Contract, name: str) -> Column:
    """One column of a contract."""
    return next(column for column in contract.columns if column.name == name)


def learn(project: Blank) -> dict[str, Any]:
    """Every stage; the model must beat the baseline and become the champion."""
    project.through(*STAGES)
    metrics: dict[str, Any] = read_json(project.metrics)
    assert read_json(project.gate)["decision"] == "promote"
    assert registry_of(project).aliases() == {"champion": 1}
    loss = "rmse" if metrics["task"] == "regression" else "log_loss"
    assert metrics["test"][loss] < metrics["baseline"][loss]
    return metrics


# The same table, as different programs write it.


def dialect(separator: str = ",", encoding: str = "utf-8", **marks: str) -> Callable[..., bytes]:
    """A writer of CSV with this separator, encoding and marks of numbers."""

    def written(frame: pl.DataFrame) -> bytes:
        number = {",": "{:,}", ".": "{:,}"}.get(marks.get("thousands", ""), "{}")
        swap = str.maketrans(",.", marks.get("thousands", ",") + marks.get("decimal", "."))
        lines = [separator.join(frame.columns)]
        for row in frame.iter_rows():
            said = (number.format(v).translate(swap) if not isinstance(v, str) else v for v in row)
            lines.append(separator.join(f'"{s}"' if separator in s else s for s in said))
        return ("\r\n".join(lines) + "\r\n").encode(encoding)

    return written


DIALECTS: dict[str, Callable[[pl.DataFrame], bytes]] = {
    "plain": dialect(),
    "semicolon": dialect(";"),
    "tab": dialect("\t"),
    "bar": dialect("|"),
    "byte order mark": dialect(encoding="utf-8-sig"),
    "Latin-1": dialect(encoding="latin-1"),
    "UTF-16": dialect("\t", encoding="utf-16"),
    "decimal comma": dialect(";", decimal=","),
    "decimal comma, quoted": dialect(",", decimal=","),
    "1,234.5": dialect(";", thousands=","),
    "1,234.5 quoted": dialect(",", thousands=","),
    "1.234,5": dialect(";", thousands=".", decimal=","),
    "Latin-1, gzipped": lambda frame: gzip.compress(dialect(";", "latin-1")(frame)),
}


@pytest.mark.parametrize("name", DIALECTS)
def test_a_table_reads_the_same_in_every_dialect(blank: Blank, tmp_path: Path, name: str) -> None:
    table = flats().with_columns(pl.col("district").replace("harbour", "Höfe; am \"Kai\", 'süd'"))
    table = table.with_columns(pl.col("district").str.replace_all('"', ""))
    path = tmp_path / ("flats.csv.gz" if "gzip" in name else "flats.csv")
    path.write_bytes(DIALECTS[name](table))
    blank.adopt(path, "rent")
    blank.through(ingest, validate)
    assert blank.raw_rows().equals(table)


def test_quoted_fields_hold_separators_quotes_and_lines(blank: Blank, tmp_path: Path) -> None:
    said = ['a, "b"; c', "two\nlines", "plain"]
    path = write(tmp_path / "t.csv", {"x": filled(said)})
    assert column(blank.adopt(path), "x").categories == tuple(sorted(said))
    blank.through(ingest, validate)
    assert blank.raw_rows()["x"].to_list() == filled(said)


# One column, and what its text stands for.

JANUARY = [date(2024, 1, 31), date(2024, 1, 5), date(2023, 12, 24)]
NOON = [datetime(2024, 1, 31, 12), datetime(2024, 1, 5, 12, 30), datetime(2023, 12, 24, 23, 59)]
READ: dict[str, tuple[list[str], str, list[Any]]] = {
    "US dates": (["01/31/2024", "01/05/2024", "12/24/2023"], "Date", JANUARY),
    "US dates, short": (["1/31/24", "1/5/24", "12/24/23"], "Date", JANUARY),
    "German dates": (["31.01.2024", "05.01.2024", "24.12.2023"], "Date", JANUARY),
    "German dates, short": (["31.1.2024", "5.1.2024", "24.12.2023"], "Date", JANUARY),
    "month names": (["Jan 31, 2024", "Jan 5, 2024", "Dec 24, 2023"], "Date", JANUARY),
    "mixed dates": (["2024-01-31", "05.01.2024", "Dec 24, 2023"], "Date", JANUARY),
    "compact dates": (["20240131", "20240105", "20231224"], "Date", JANUARY),
    "US dates with dashes": (["01-31-2024", "01-05-2024", "12-24-2023"], "Date", JANUARY),
    "months": (["Jan-2024", "Mar-2024"], "Date", [date(2024, 1, 1), date(2024, 3, 1)]),
    "times": (
        ["2024-01-31 12:00:00", "2024-01-05 12:30:00", "2023-12-24 23:59:00"],
        "Datetime",
        NOON,
    ),
    "US times": (
        ["1/31/2024 12:00 PM", "1/5/2024 12:30 PM", "12/24/2023 11:59 PM"],
        "Datetime",
        NOON,
    ),
    "German times": (
        ["31.01.2024 12:00", "05.01.2024 12:30", "24.12.2023 23:59"],
        "Datetime",
        NOON,
    ),
    "times in UTC": (
        ["2024-01-31T12:00:00Z", "2024-01-05T12:30:00Z", "2023-12-24T23:59:00Z"],
        "Datetime",
        NOON,
    ),
    "times, compact": (["20240131T120000", "20240105T123000", "20231224T235900"], "Datetime", NOON),
    "times in UTC, as a word": (
        ["2024-01-31 12:00:00 UTC", "2024-01-05 12:30:00 UTC", "2023-12-24 23:59:00 UTC"],
        "Datetime",
        NOON,
    ),
    "clock times": (
        ["07:15", "23:40"],
        "Datetime",
        [datetime(1970, 1, 1, 7, 15), datetime(1970, 1, 1, 23, 40)],
    ),
    "times with a zone": (
        ["2024-01-31T13:00:00+01:00", "2024-01-05T07:30:00-05:00", "2023-12-24T23:59:00+00:00"],
        "Datetime",
        NOON,
    ),
    "times with a zone, spaced": (
        ["2024-01-31 13:00:00+01:00", "2024-01-05 07:30:00-05:00", "2023-12-24 23:59:00+00:00"],
        "Datetime",
        NOON,
    ),
    "Yes and No": (["Yes", "No", "yes"], "Boolean", [True, False, True]),
    "true, false, blank": (["true", "FALSE", ""], "Boolean", [True, False, None]),
    "0 and 1": (["0", "1", "1"], "Int64", [0, 1, 1]),
    "words for missing": (
        ["1", "?", "NA", "-", "N/A", "", " ", "nan", "null", "2"],
        "Int64",
        [1, None, None, None, None, None, None, None, None, 2],
    ),
    "an unknown word": (
        [*(f"{i}.5" for i in range(29)), "unknown"],
        "Float64",
        [*(i + 0.5 for i in range(29)), None],
    ),
    "missing dates": (["2024-01-31", "-", "2023-12-24"], "Date", [JANUARY[0], None, JANUARY[2]]),
    "outer blanks": ([" 1.5", "2.5 ", " 3 "], "Float64", [1.5, 2.5, 3.0]),
    "signs and exponents": (["-1.5", "+2", "1e3"], "Float64", [-1.5, 2.0, 1000.0]),
    "integers as pandas writes them": (["1.0", "", "30.0"], "Float64", [1, None, 30]),
    "leading zeros": (["01234", "00501", "90210"], "String", ["01234", "00501", "90210"]),
    "plus and minus": (["+", "-", "-"], "String", ["+", "-", "-"]),
    "whole with thousands": (["1,234", "12,345", "987"], "Int64", [1234, 12345, 987]),
    "spaces for thousands": (["1 234,5", "12 345,0", "9,5"], "Float64", [1234.5, 12345.0, 9.5]),
    "spaces without break": (["1\u202f234", "12\u202f345"], "Int64", [1234, 12345]),
    "dollars": (["$1,234.50", "($9.00)", "-$3.25"], "Float64", [1234.5, -9, -3.25]),
    "euros": (["1.234,50 €", "9,00 €", "3,25- €"], "Float64", [1234.5, 9, -3.25]),
    "shares": (["12.5%", "3%", "100.0 %"], "Float64", [12.5, 3, 100]),
    "lakhs": (["12,34,567", "1,234", "12,345"], "Int64", [1234567, 1234, 12345]),
    "a decimal mark among another": (
        ["12,5", "13,75", "52.123"],
        "String",
        ["12,5", "13,75", "52.123"],
    ),
    "limits": (["21", "35", "90+", "<0.5"], "Float64", [21, 35, 90, 0.5]),
    "scores": (["2:1", "0:3", "10:1"], "String", ["2:1", "0:3", "10:1"]),
    "bands": (["<5", ">10", "5-10"], "String", ["<5", ">10", "5-10"]),
    "a word among categories": (["red", "none", "blue"], "String", ["red", "none", "blue"]),
}


@pytest.mark.parametrize("name", READ)
def test_text_is_read_as_what_it_stands_for(blank: Blank, tmp_path: Path, name: str) -> None:
    said, dtype, meant = READ[name]
    path = write(tmp_path / "t.csv", {"x": filled(said), "other": filled(range(7))})
    assert column(blank.adopt(path, time="none"), "x").dtype == dtype
    blank.through(ingest, validate)
    assert blank.raw_rows()["x"].to_list() == filled(meant)


# What a column is for, and why.

PROSE = [f"a quiet flat near the park number {i} with a view" for i in range(60)]
LUHN = [f"4111 1111 1111 {number}" for number in ("1111", "1129", "1137", "1145", "1152")]
DUE = [str(9999 - i * i % 101) for i in range(60)]
FIRST, LAST = ("Anna", "José", "Li", "Olga", "Tom"), ("Müller", "O'Neil", "Smith", "Lange")
PEOPLE = [f"{FIRST[i % 5]} {LAST[i % 4]}" for i in range(60)]
ROLES: dict[str, tuple[str, list[Any], str, str]] = {
    "empty": ("x", [""], "ignored", "no value at all"),
    "constant": ("x", ["a"], "ignored", "one value only: a"),
    "row number": ("x", list(range(60)), "id", "identifier: another value in every row"),
    "pandas' index": ("", list(range(60)), "id", "identifier"),
    "whole numbers": ("StaffNumber", [80000 + 97 * i for i in range(60)], "id", "identifier"),
    "identifier": ("customer_id", [7 * i for i in range(60)], "id", "identifier"),
    "text identifier": ("x", [f"A{i:03}" for i in range(60)], "id", "identifier"),
    "uuid": ("x", [f"{i:08x}-0000-4000-8000-00000000000a" for i in range(60)], "id", "identifier"),
    "prose": ("x", PROSE, "ignored", "free text"),
    "amounts": ("people", [9 * i**5 + i for i in range(60)], "input", "whole number"),
    "balances": ("x", [97 * i - 2000 for i in range(60)], "input", "whole number"),
    "code": ("zip", ["1000", "2000", "3000"], "input", "code with 3 values"),
    "category": ("x", ["a", "b"], "input", "2 categories"),
    "truth": ("x", ["y", "n"], "input", "yes or no"),
}
PERSONAL: dict[str, tuple[str, list[Any]]] = {
    "names": ("customer name", PEOPLE),
    "names, last first": ("name", [f"{LAST[i % 4]}, {FIRST[i % 5]}" for i in range(60)]),
    "names of the Titanic": ("Name", ["Braund, Mr. Owen Harris", "Allen, Miss. Elisabeth Walton"]),
    "first name": ("first_name", FIRST),
    "surname": ("Nachname", LAST),
    "e-mails": ("x", [f"p{i}@example.org" for i in range(60)]),
    "e-mails, half": ("contact email", ["a@example.org", ""]),
    "phones by title": ("phone", ["030 1234567", "(0)89/99 88 77", "0171-5551234"]),
    "phones by value": ("x", ["+49 30 1234567", "+1 (555) 010-9999"]),
    "phones, national": ("x", ["555-010-9999", "(555) 010-1234"]),
    "phone numbers as integers": ("mobile", [4930123456, 4930123457]),
    "cards": ("x", LUHN),
    "card integers": ("payment", ["4111111111111111", "5500000000000004"]),
    "IBANs": ("x", ["DE89 3704 0044 0532 0130 00", "GB82WEST12345698765432"]),
    "accounts": ("account number", [10002003 + i for i in range(60)]),
    "social security": ("SSN", ["123-45-6789", "987-65-4321"]),
    "streets": ("address", ["12 High Street", "Hauptstr. 5"]),
}
NOT_PERSONAL: dict[str, tuple[str, list[Any]]] = {
    "car models": ("name", ["chevrolet chevelle malibu", "ford torino", "amc rebel sst"]),
    "cars": ("Name", ["Audi A4 1.8T 4dr", "BMW 745i 4dr", "Mazda RX4 Wag"]),
    "model": ("model", ["Honda Civic", "Ford Focus", "Audi Quattro"]),
    "products": ("product_name", ["Blue Widget", "Red Widget", "Green Lamp"]),
    "cities": ("city", ["New York", "Los Angeles", "San José"]),
    "city names": ("city_name", ["New York", "Los Angeles", "San José"]),
    "countries": ("country name", ["United States", "Costa Rica", "New Zealand"]),
    "stamps": ("timestamp", [1700000000000 + 977 * i for i in range(60)]),
    "big numbers": ("x", [4000000000000000 + 7919 * i * i for i in range(60)]),
    "amounts on account": ("account_balance", [1500 + i for i in range(60)]),
    "card types": ("card", ["Visa", "Master Card"]),
    "owners": ("owner", ["First Owner", "Second Owner", "Third Owner"]),
    "segments": ("customer segment", ["Small Business", "Home Office"]),
    "balances": ("account_balance", [15000, 25000]),
    "hotel": ("hotel", ["1200", "800"]),
    "addresses counted": ("address changes", [0, 1, 2]),
    "versions": ("version", ["1.2.3", "1.2.4"]),
    "dates": ("x", ["2024-01-31", "2023-12-24"]),
    "dates, bare": ("x", ["2024-01", "2023-12"]),
    "ranges": ("age band", ["20-29", "30-39", "40-49"]),
}


@pytest.mark.parametrize("name", ROLES)
def test_every_role_has_its_reason(blank: Blank, tmp_path: Path, name: str) -> None:
    title, values, role, why = ROLES[name]
    contract = blank.adopt(
        write(tmp_path / "t.csv", {title: filled(values), "other": filled(range(7))})
    )
    found = contract.columns[0]
    assert (found.role, found.pii) == (role, False)
    assert found.description.startswith(why)
    blank.through(*DATA)
    assert (found.name in blank.features()) == (role == "input")


def test_few_categories_are_slices_and_traits_of_people_sensitive(
    blank: Blank, tmp_path: Path
) -> None:
    few = {f"kind {i}": filled(["a", "b", "c", None]) for i in range(6)}
    people = {"applicantSex": filled(["f", "m"]), "age_years": filled(range(18, 48))}
    others = {"sexton": filled([f"name{i}" for i in range(11)]), "usage": filled(range(30))}
    contract = blank.adopt(write(tmp_path / "t.csv", {**people, **few, **others}))
    sliced = [c.name for c in contract.columns if c.slice]
    assert sliced == ["applicantSex", "kind 0", "kind 1", "kind 2", "kind 3"]
    assert [c.name for c in contract.columns if c.sensitive] == ["applicantSex", "age_years"]
    assert "slice: false" not in blank.contract.read_text(), "only what is true is written"
    blank.through(*STAGES)
    report = read_json(blank.slices)
    assert {gap["column"] for gap in report["fairness"]} <= {"applicantSex", "age_years"}
    assert {each["column"] for each in report["declared"]} == {*sliced, "age_years"}


@pytest.mark.parametrize("name", PERSONAL)
def test_personal_data_stay_out(blank: Blank, tmp_path: Path, name: str) -> None:
    title, values = PERSONAL[name]
    path = write(tmp_path / "t.csv", {title: filled(values), "other": filled(range(7))})
    found = column(blank.adopt(path), title)
    assert found.pii and found.role in ("id", "ignored")
    assert found.description.startswith("personal data")
    blank.through(*DATA)
    interim = pl.read_parquet(blank.interim / "train/*.parquet")
    assert title not in interim.columns and title not in blank.features()
    page = blank.data_card.read_text()
    assert f"| personal data | `{title}` |" in page
    assert not any(str(value) in page for value in values if value)


@pytest.mark.parametrize("name", NOT_PERSONAL)
def test_other_words_and_numbers_are_nobody(blank: Blank, tmp_path: Path, name: str) -> None:
    title, values = NOT_PERSONAL[name]
    path = write(tmp_path / "t.csv", {title: filled(values), "other": filled(range(7))})
    assert not column(blank.adopt(path, time="none"), title).pii


@pytest.mark.parametrize(
    ("rows", "group", "leaves", "leaf", "folds"),
    [(40, "", 15, 8, 5), (99, "district", 15, 10, None), (10_001, "", 63, 10, None)],
)
def test_trees_fit_the_number_of_rows(
    blank: Blank, tmp_path: Path, rows: int, group: str, leaves: int, leaf: int, folds: int | None
) -> None:
    flats(rows).write_csv(tmp_path / "flats.csv")
    blank.adopt(tmp_path / "flats.csv", "rent", group=group)
    size = load_params(blank.params).train.lightgbm
    assert (size.num_leaves, size.min_child_samples, size.folds) == (leaves, leaf, folds)


def test_folds_do_not_look_into_the_future(blank: Blank, tmp_path: Path) -> None:
    days = pl.date_range(date(2024, 1, 1), date(2024, 3, 31), eager=True).alias("day")
    flats(len(days)).with_columns(days).write_csv(tmp_path / "flats.csv")
    blank.adopt(tmp_path / "flats.csv", "rent")
    assert load_params(blank.params).train.lightgbm.folds is None


# Names of columns.

ODD = (
    *("target", "class", "None", "prediction", "error", "dropped", "row", "time", "len"),
    *("literal", "count"),
    *(
        "living area (m²)",
        "straße 7",
        "日本",
        "^.*",
        "$x$",
        "a: b",
        "[x]",
        "{y}",
        'say "hi"',
        "it's",
        "a\\b",
    ),
    *("a,b", "#", "true", "1.5", "^", "index", "weight", "label", "column", "rule", "value"),
)


def test_columns_of_any_name_are_features(learner: Blank, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    table = pl.DataFrame({name: rng.normal(0, 1, ROWS).round(3) for name in ODD})
    table = table.with_columns((3 * table["^.*"] + table["error"]).round(3).alias("sum"))
    table.write_csv(tmp_path / "odd.csv")
    learner.adopt(tmp_path / "odd.csv", "sum", time="none")
    learn(learner)
    assert learner.features() == list(ODD)
    assert learner.raw_rows().equals(table)


def test_features_of_any_name_pass_the_gate(blank: Blank, tmp_path: Path) -> None:
    run = ("black", "ruff")
    blank.patch.setattr(adopt, "run_module", lambda p, *c: TOOL(p, *c) if c[0] in run else None)
    long = "When you buy a table for your own kitchen, which of these woods do you prefer, if any?"
    table = {
        long * 2: filled("ab"),
        "wide \u2013 roughly": filled([1.5, 2]),
        'it\'s "so"': filled("cd"),
    }
    days = [f"2024-01-{1 + i % 28:02}" for i in range(60)]
    table |= {"sold": days, "sold_month": filled([1, 2, 3]), "sold_year": filled([7, 8])}
    contract = blank.adopt(write(tmp_path / "t.csv", table))
    for command in (["black", "--check"], ["ruff", "check"]):
        TOOL(blank.root, *command, str(blank.definitions))
    blank.through(*DATA)
    others = ["sold_year_2", "sold_month_2", "sold_weekday", "sold_month", "sold_year"]
    assert sorted(blank.features()) == sorted([*names(contract)[:3], *others])


WORDS = ["n/a?", "10:30", "a:b", "? x", "??", "- a", "#1", "{a}", "[b]", "yes", "~", "'q'"]
WORDS += ['"', "a, b", "*x", "&y", "!t", "%z", "@w", "`v", "x: y", "a #b", "a b", "ü/€", "=", "|"]


def test_categories_of_any_words_are_read_again(blank: Blank, tmp_path: Path) -> None:
    contract = blank.adopt(write(tmp_path / "t.csv", {"word": filled(WORDS), "why?": filled("ab")}))
    assert set(column(contract, "word").categories or ()) == set(WORDS)
    assert names(contract) == ["word", "why?", "y"]
    blank.through(*DATA)
    assert set(blank.raw_rows()["word"].unique()) == set(WORDS)


def test_duplicate_and_empty_names_get_a_number(blank: Blank, tmp_path: Path) -> None:
    twice = [(name, filled(range(7))) for name in ("a", "a", "", " a ", "a_2")]
    contract = blank.adopt(write(tmp_path / "t.csv", twice))
    assert names(contract) == ["a", "a_2", "column_3", "a_3", "a_2_2", "y"]
    blank.through(*DATA)
    assert blank.features() == ["a", "a_2", "column_3", "a_3", "a_2_2"]


def test_a_table_of_copies_keeps_a_contract_that_can_be_read(blank: Blank, tmp_path: Path) -> None:
    write_rows(tmp_path / "t.csv", {"a": filled("ab", 90), "y": filled([1.5, 2.5, 4.0], 90)})
    assert blank.adopt(tmp_path / "t.csv").max_duplicate_share == 1


@pytest.mark.parametrize("name", ODD)
def test_the_target_may_have_any_name(blank: Blank, tmp_path: Path, name: str) -> None:
    flats().rename({"rent": name}).write_csv(tmp_path / "t.csv")
    blank.adopt(tmp_path / "t.csv", name, time="none")
    blank.through(*DATA)
    test = pl.read_parquet(blank.processed / "test/*.parquet")
    assert test.columns == ["area", "rooms", "district", name]
    assert test[name].dtype == pl.Float64


@pytest.mark.parametrize("name", ["None", "class", "$rent$"])
def test_a_target_of_any_name_is_learnt(learner: Blank, tmp_path: Path, name: str) -> None:
    flats().rename({"rent": name}).write_csv(tmp_path / "t.csv")
    contract = learner.adopt(tmp_path / "t.csv", name)
    learn(learner)
    scored = predict.predict(flats(30, 1), registry_of(learner).load("champion"), contract)
    assert scored["prediction"].null_count() == 0


# Targets.

SIGNS = ["+", "-"]
GRADES = {"codes": [3, 7], "signs": SIGNS, "truth": ["Yes", "No"], "words": ["good", "bad", "ugly"]}


def graded(labels: list[Any], rows: int = ROWS) -> pl.DataFrame:
    """Flats with a class that depends on their area."""
    table = flats(rows)
    share = (table["area"].rank() / (rows + 1) * len(labels)).cast(pl.Int64)
    return table.with_columns(pl.Series("y", [labels[i] for i in share])).drop("rent")


@pytest.mark.parametrize("name", GRADES)
def test_classes_of_every_kind_are_learnt(learner: Blank, tmp_path: Path, name: str) -> None:
    labels = GRADES[name]
    graded(labels).write_csv(tmp_path / "t.csv")
    contract = learner.adopt(tmp_path / "t.csv")
    metrics = learn(learner)
    assert metrics["task"] == ("binary" if len(labels) == 2 else "multiclass")
    known = {"Yes": True, "No": False}
    champion = registry_of(learner).load("champion")
    assert set(champion.classes) == {known.get(label, label) for label in labels}
    scored = predict.predict(graded(labels, 50), champion, contract)
    assert set(scored["prediction"]) <= set(champion.classes)


def test_rows_without_a_target_are_counted(blank: Blank, tmp_path: Path) -> None:
    gaps = pl.when(pl.int_range(pl.len()) % 5 == 0).then(pl.lit("?")).otherwise("rent")
    flats().with_columns(pl.col("rent").cast(str)).with_columns(gaps.alias("rent")).write_csv(
        tmp_path / "t.csv"
    )
    assert column(blank.adopt(tmp_path / "t.csv", "rent"), "rent").nullable
    blank.through(*DATA)
    report = read_json(blank.prepare_report)
    assert report["dropped"] == {"target is missing": ROWS // 5}
    assert sum(report["rows"].values()) == ROWS - ROWS // 5


def test_classes_of_one_row_are_left_out(learner: Blank, tmp_path: Path) -> None:
    labels = ["rare", 'é "rare"']
    table = graded(["a", "b"])
    odd = pl.Series("y", labels + table["y"].to_list()[2:])
    table.with_columns(odd).write_csv(tmp_path / "t.csv")
    learner.adopt(tmp_path / "t.csv")
    learn(learner)
    assert registry_of(learner).load("champion").classes == ("a", "b")
    assert read_json(learner.prepare_report)["dropped"] == {
        "excluded by KEEP_ROWS: classes with rows enough": 2
    }
    assert "| classes left out, too rare to learn | `" in learner.data_card.read_text()


NUMBERS = {f"x{i}": list(range(i, i + 60)) for i in range(2)}
REFUSED: dict[str, tuple[dict[str, list[Any]], dict[str, str], str]] = {
    "one value": ({"z": [5] * 60}, {}, "z: holds one value only; there is nothing to predict"),
    "dates": (
        {"z": [f"2024-01-{1 + i % 28:02}" for i in range(60)]},
        {},
        "z: holds dates; predict a number or a class",
    ),
    "names": ({"z": [f"label {i}" for i in range(60)]}, {}, "z: at most one value has 3 rows"),
    "500 labels": (
        {"z": [f"label {i % 500}" for i in range(2000)]},
        {},
        "z: has 500 different values; classes are at most 100; group them",
    ),
    "mostly missing": ({"z": ["1.5"] * 9 + ["NA"] * 51}, {}, "z: 9 rows have a value; at least 20"),
    "labels as numbers": (
        {"z": ["a", "b"] * 30},
        {"task": "regression"},
        "z: is String; a regression needs numbers",
    ),
    "classes of fractions": (
        {"z": [i % 3 + 0.5 for i in range(60)]},
        {"task": "classification"},
        "z: holds fractions, which are no classes",
    ),
    "no such task": ({"z": [1, 2] * 30}, {"task": "ranking"}, "TASK=ranking: is not suitable"),
    "no such target": (
        {"z": [1, 2] * 30},
        {"target": "zz"},
        "TARGET=zz: is not suitable; choose x0, x1, z",
    ),
    "no target": ({"z": [1, 2] * 30}, {"target": ""}, "TARGET=: is not suitable"),
    "no such time": (
        {"z": [1, 2] * 30},
        {"time": "when"},
        "TIME=when: is not suitable; choose none",
    ),
    "no such group": (
        {"z": [1, 2] * 30},
        {"group": "who"},
        "GROUP=who: is not suitable; choose x0",
    ),
    "time without dates": (
        {"z": [1, 2] * 30},
        {"time": "x1"},
        "TIME=x1: is not suitable; choose none",
    ),
    "two rows": ({"z": [1, 2]}, {}, "z: 2 rows have a value; at least 20 are needed"),
    "header only": ({"z": []}, {}, "z: 0 rows have a value; at least 20 are needed"),
    "nothing left": (
        {"x0": [1] * 60, "x1": [""] * 60, "z": list(range(60))},
        {},
        "no column is left to predict from",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_predicted_is_said(blank: Blank, tmp_path: Path, name: str) -> None:
    columns, options, words = REFUSED[name]
    rows = len(columns["z"])
    table = {key: list(range(rows)) for key in NUMBERS} | columns
    path = tmp_path / "t.csv"
    write_rows(path, table)
    blank.refuse(path, words, **{"target": "z", **options})


def write_rows(path: Path, columns: dict[str, list[Any]]) -> None:
    """A CSV file of these columns."""
    pl.DataFrame(columns, strict=False).write_csv(path)


FILES: dict[str, tuple[str, bytes, str]] = {
    "empty": ("t.csv", b"", "t.csv: the file is empty"),
    "only blank lines": ("t.csv", b"\n\n", "t.csv"),
    "spreadsheet": ("t.xlsx", b"PK\x03\x04", "save the sheet as CSV"),
    "spreadsheet in disguise": ("t.csv", b"PK\x03\x04\x00", "not text, whatever its name says"),
    "unknown kind": ("t.json", b"{}", "t.json: not a .csv, .csv.gz or .parquet file"),
    "torn gzip": ("t.csv.gz", gzip.compress(b"a,y\n" * 99)[:-9], "cannot be read"),
    "torn parquet": ("t.parquet", b"PAR1 torn", "cannot be read"),
    "a name that is a pattern": (
        "t.csv",
        b"^a.*$,y\n" + b"1,2\n" * 30,
        r"the column \^a\.\*\$ for a pattern; rename it",
    ),
    "a name for all": (
        "t.csv",
        b"*,y\n" + b"1,2\n" * 30,
        r"Polars takes the column \* for a pattern; rename it",
    ),
    "a short line": ("t.csv", b"a,y\n" + b"1,2\n3\n" * 9, "Row #3: Expected 2 columns, got 1"),
}


@pytest.mark.parametrize("name", FILES)
def test_files_that_are_no_table_are_named(blank: Blank, tmp_path: Path, name: str) -> None:
    title, content, words = FILES[name]
    (tmp_path / title).write_bytes(content)
    blank.refuse(tmp_path / title, words)


def test_a_file_that_is_not_there_is_named(blank: Blank, tmp_path: Path) -> None:
    blank.refuse(tmp_path / "none.csv", "none.csv: no such file")


# Sizes.


def test_twenty_rows_are_learnt_and_prove_nothing(learner: Blank, tmp_path: Path) -> None:
    flats(20).write_csv(tmp_path / "t.csv")
    learner.adopt(tmp_path / "t.csv", "rent")
    learner.through(*STAGES)
    assert read_json(learner.metrics)["rows"] == {"train": 14, "validation": 3, "test": 3}
    [reason] = read_json(learner.gate)["reasons"]
    assert reason.endswith("on 3 test rows; bring more rows or better features")
    assert read_json(learner.gate)["decision"] == "reject", "three rows are better by chance"


def test_a_hundred_and_fifty_rows_that_are_clear_are_learnt(learner: Blank, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    kind = np.arange(150) // 50
    table = pl.DataFrame({"kind": kind}).with_columns(
        pl.Series("long", (kind + rng.normal(0, 0.6, 150)).round(2)),
        pl.Series("wide", (2 - kind + rng.normal(0, 0.6, 150)).round(2)),
        pl.Series("y", [f"kind {number}" for number in kind]),
    )
    table.drop("kind").write_csv(tmp_path / "t.csv")
    learner.adopt(tmp_path / "t.csv")
    assert learn(learner)["rows"]["test"] == 24
    assert read_json(learner.gate)["reasons"] == [
        "first model to pass the bars and beat the baseline"
    ]


def test_noise_has_no_champion(learner: Blank, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)  # by chance a little better than the baseline
    noise = pl.DataFrame({name: rng.normal(0, 1, 300).round(3) for name in "abcy"})
    noise.write_csv(tmp_path / "t.csv")
    learner.adopt(tmp_path / "t.csv")
    learner.through(*STAGES)
    [reason] = read_json(learner.gate)["reasons"]
    found = (
        r"not significantly better: rmse is better by [\d.e-]+ \(-[\d.e-]+ to [\d.e-]+\) than the "
    )
    assert re.match(
        found + r"baseline's on 45 test rows; bring more rows or better features", reason
    )
    assert registry_of(learner).versions() == []


def test_a_hundred_columns(learner: Blank, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    wide = pl.DataFrame({f"f{i}": rng.normal(0, 1, 300).round(3) for i in range(120)})
    wide = wide.with_columns(y=(5 * wide["f7"] + wide["f8"]).round(3))
    wide.write_csv(tmp_path / "t.csv")
    learner.adopt(tmp_path / "t.csv")
    learn(learner)
    assert len(learner.features()) == 120


def test_ten_thousand_levels_and_many_rows(learner: Blank, tmp_path: Path) -> None:
    rows = 30_000
    table = flats(rows).with_columns(
        agent=pl.format("agent {}", pl.int_range(pl.len()) * 7 % 10_000),
        let=pl.lit("2024-01-01T00:00:00Z"),
    )
    table.write_csv(tmp_path / "t.csv")
    contract = learner.adopt(tmp_path / "t.csv", "rent")
    assert column(contract, "agent").description == "high cardinality: 10000 categories"
    metrics = learn(learner)
    assert sum(metrics["rows"].values()) == rows
    assert metrics["test"]["rmse"] < 60


# Leakage.


def test_a_copy_of_the_target_is_left_out(blank: Blank, tmp_path: Path) -> None:
    table = flats().with_columns(
        cents=(pl.col("rent") * 2 + 1).round(2), band=(pl.col("rent") / 50).round()
    )
    table.write_csv(tmp_path / "t.csv")
    contract = blank.adopt(tmp_path / "t.csv", "rent")
    assert column(contract, "cents").role == "ignored"
    assert column(contract, "cents").description.startswith(
        "leakage: its values alone tell the target"
    )
    assert "follows the target closely" in column(contract, "band").description
    blank.through(*DATA)
    assert blank.features() == ["area", "rooms", "district", "band"]


HINTS: dict[str, tuple[pl.Expr, str, str]] = {
    "a code": (pl.col("y").replace_strict({"good": 1, "bad": 2}), "ignored", "leakage"),
    "values of a class": (
        pl.when(pl.col("rooms") > 2).then("y").otherwise(pl.format("{} too", "y")),
        "ignored",
        "leakage: its values alone tell the target",
    ),
    "missing for a class": (pl.when(pl.col("y") != "good").then("area"), "ignored", "leakage"),
    "chance": (pl.col("rooms"), "input", "whole number"),
}


def test_a_row_of_totals_is_refused(blank: Blank, tmp_path: Path) -> None:
    people = {"town": [f"t {i}" for i in range(30)], "votes": list(range(5, 35))}
    people |= {"year": [2024] * 30, "seats": [i * 7 % 11 for i in range(30)]}
    write_rows(tmp_path / "t.csv", people)
    blank.adopt(tmp_path / "t.csv", "votes")
    total = {
        "town": "All",
        "votes": sum(people["votes"]),
        "year": "",
        "seats": sum(people["seats"]),
    }
    with_total = {key: [*values, total[key]] for key, values in people.items()}
    write_rows(tmp_path / "t.csv", with_total)
    blank.refuse(
        tmp_path / "t.csv", "row 31 holds the sums of all others; delete it", "votes", force="1"
    )


def test_long_categories_that_repeat_are_no_prose(blank: Blank, tmp_path: Path) -> None:
    groups = [f"children of {i} to {i + 4} years" for i in range(60)]
    path = write(tmp_path / "t.csv", {"who": filled(groups, 1300), "z": filled(range(7), 1300)})
    assert column(blank.adopt(path), "who").description == "high cardinality: 60 categories"


@pytest.mark.parametrize("name", HINTS)
def test_a_column_that_tells_the_class_is_flagged(blank: Blank, tmp_path: Path, name: str) -> None:
    hint, role, why = HINTS[name]
    graded(["good", "bad"]).with_columns(hint=hint).write_csv(tmp_path / "t.csv")
    found = column(blank.adopt(tmp_path / "t.csv"), "hint")
    assert found.role == role and found.description.startswith(why)


# Words that mean "missing", and other readings.


def test_a_word_means_missing_in_its_own_column_only(
    blank: Blank, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = {
        "fee": filled(["free", *map(str, range(2, 30))]),
        "visit": filled(["0", *(f"2024-02-{day}" for day in range(10, 29))]),
        "children": filled([0, 1, 2]),
        "plan": filled(["free", "paid", "None"]),
    }
    write_rows(tmp_path / "t.csv", table)
    contract = blank.adopt(tmp_path / "t.csv", "plan", time="none")
    said = capsys.readouterr().out
    for sentence in ("3 values 'free' read", "3 values '0' read", "20 values 'None' read"):
        assert f"{sentence} as missing" in said
    assert column(contract, "fee").missing[-1] == "free"
    blank.through(ingest, validate)
    rows = blank.raw_rows()
    assert rows.null_count().row(0) == (3, 3, 0, 20)
    assert set(rows["plan"].drop_nulls()) == {"free", "paid"}


OTHERWISE = {
    "a count": (list(range(13)), ""),
    "day first?": (["01/02/2024", "03/04/2024"], "read as %m/%d/%Y, though %d/%m/%Y fits as well"),
    "thousands?": (["1.234", "12.345"], ""),
    "thousands, or not": (["1,234", "12,345"], "read as 1,234.5, though 1234,5 fits as well"),
    "units below": (["m/s", *range(64)], "1 values 'm/s' read as missing"),
    "a limit": (["90+", "20", "30"], "limits such as 90+ read as the number"),
}


@pytest.mark.parametrize("name", OTHERWISE)
def test_what_may_be_read_otherwise_is_said(blank: Blank, tmp_path: Path, name: str) -> None:
    words, remark = OTHERWISE[name]
    contract = blank.adopt(write(tmp_path / "t.csv", {"x": filled(words), "z": filled("abc")}))
    assert column(contract, "x").description.partition("; ")[2] == remark


# Splits.


def dated(rows: int = ROWS) -> pl.DataFrame:
    """Flats, each let at another day."""
    days = [date(2024, 1, 1) + timedelta(days=7 * i % rows) for i in range(rows)]
    return flats(rows).with_columns(day=pl.Series(days))


@pytest.mark.parametrize(("asked", "role"), [("", "time"), ("day", "time"), ("none", "input")])
def test_rows_are_split_by_time(blank: Blank, tmp_path: Path, asked: str, role: str) -> None:
    dated().write_csv(tmp_path / "t.csv")
    contract = blank.adopt(tmp_path / "t.csv", "rent", time=asked)
    assert column(contract, "day").role == role
    blank.through(*DATA)
    days = [
        pl.read_parquet(blank.interim / split / "*.parquet")["day"] for split in ("train", "test")
    ]
    assert (days[0].max() < days[1].min()) == (role == "time")
    assert {f"day_{part}" for part in ("year", "month", "weekday")} <= set(blank.features())


def test_a_group_stays_in_one_split(blank: Blank, tmp_path: Path) -> None:
    table = flats().with_columns(house=pl.format("h{}", pl.int_range(pl.len()) % 40))
    table.write_csv(tmp_path / "t.csv")
    contract = blank.adopt(tmp_path / "t.csv", "rent", group="house")
    assert column(contract, "house").role == "id"
    blank.through(*DATA)
    splits = ("train", "validation", "test")
    houses = [pl.read_parquet(blank.interim / s / "*.parquet")["house"].unique() for s in splits]
    assert sum(map(len, houses)) == len(pl.concat(houses).unique()) == 40
    assert "house" not in blank.features()


# Parquet, with the types that other programs write.


def test_parquet_keeps_its_types(learner: Blank, tmp_path: Path) -> None:
    start = datetime(2024, 1, 1)
    hours = pl.datetime_range(start, start + timedelta(hours=ROWS - 1), "1h", eager=True)
    table = (
        flats()
        .with_columns(
            pl.col("district").cast(pl.Categorical),
            pl.col("rooms").cast(pl.Int8),
            price=pl.col("rent").cast(pl.Decimal(10, 2)) * Decimal("1.00"),
            at=hours.dt.replace_time_zone("Europe/Berlin", ambiguous="earliest"),
            small=pl.col("area").cast(pl.Float32),
            flag=pl.col("area") > 50,
            big=pl.lit(2**63, pl.UInt64) + pl.int_range(pl.len(), dtype=pl.UInt64) % 7,
            clock=pl.lit(start.time()),
            nothing=pl.lit(None),
        )
        .drop("rent")
    )
    table.write_parquet(tmp_path / "t.parquet")
    contract = learner.adopt(tmp_path / "t.parquet", "price")
    dtypes = {c.name: c.dtype for c in contract.columns}
    assert dtypes["district"] == "String" and dtypes["rooms"] == "Int64"
    assert dtypes["price"] == dtypes["small"] == "Float64"
    assert dtypes["at"] == "Datetime" and dtypes["flag"] == "Boolean"
    assert dtypes["big"] == "String"
    learn(learner)
    parts = [f"at_{part}" for part in ("year", "month", "weekday", "hour")]
    assert learner.features() == ["area", "rooms", "district", *parts, "small", "flag", "big"]


NESTED = {
    "span": pl.duration(hours=pl.col("rooms")),
    "tags": pl.concat_list("district"),
    "place": pl.struct("area", "rooms"),
    "blob": pl.col("district").cast(pl.Binary),
}


@pytest.mark.parametrize("name", NESTED)
def test_nested_columns_are_refused(blank: Blank, tmp_path: Path, name: str) -> None:
    flats().with_columns(NESTED[name].alias(name)).write_parquet(tmp_path / "t.parquet")
    blank.refuse(tmp_path / "t.parquet", f"{name}: holds .*; keep numbers, text, dates", "rent")


# Adopted again, and failures in the middle.


@pytest.fixture
def known(blank: Blank, tmp_path: Path) -> Blank:
    """A project that has adopted the flats of 2023 already."""
    flats().write_csv(tmp_path / "2023.csv")
    blank.adopt(tmp_path / "2023.csv", "rent")
    return blank


def test_a_newer_file_is_one_more_partition(known: Blank, tmp_path: Path) -> None:
    decided = known.contract.read_text(), known.params.read_text(), known.definitions.read_text()
    flats(50, 1).write_csv(tmp_path / "2024.csv")
    known.adopt(tmp_path / "2024.csv", None)
    assert decided == (
        known.contract.read_text(),
        known.params.read_text(),
        known.definitions.read_text(),
    )
    known.through(*DATA)
    assert [path.name for path in partitions(known.raw)] == ["2023.parquet", "2024.parquet"]
    assert sum(read_json(known.prepare_report)["rows"].values()) == ROWS + 50
    files = known.data_card.read_text().partition("## Files")[2]
    assert "| 2023.csv | 200 |" in files and "| 2024.csv | 50 |" in files


def test_a_new_category_is_reported(
    known: Blank, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flats(50, 1).with_columns(district=pl.lit("west")).write_csv(tmp_path / "2024.csv")
    known.adopt(tmp_path / "2024.csv", None)
    said = capsys.readouterr().out
    assert "one of east, harbour, north" in said and "west" in said
    with pytest.raises(UserError, match="the data violate"):
        known.through(*DATA)


OTHER: dict[str, tuple[dict[str, pl.Expr], str]] = {
    "new column": ({"balcony": pl.lit(True)}, "balcony: is new"),
    "other type": (
        {"area": pl.lit("large")},
        "area: 50 break `is Float64`, row 1: large",
    ),
}


@pytest.mark.parametrize("name", OTHER)
def test_another_table_changes_nothing(known: Blank, tmp_path: Path, name: str) -> None:
    columns, words = OTHER[name]
    flats(50, 1).with_columns(**columns).write_csv(tmp_path / "2024.csv")
    known.refuse(tmp_path / "2024.csv", words, None)
    known.adopt(tmp_path / "2024.csv", "rent", force="1")
    known.through(*DATA)
    assert [path.name for path in partitions(known.raw)] == ["2024.parquet"]


def test_a_lost_column_and_another_target_are_said(known: Blank, tmp_path: Path) -> None:
    flats(50, 1).drop("area").write_csv(tmp_path / "2024.csv")
    known.refuse(tmp_path / "2024.csv", "area: 1 break `is present`, column not found", None)
    flats(50, 1).write_csv(tmp_path / "2024.csv")
    known.refuse(tmp_path / "2024.csv", "TARGET=area: the project predicts rent", "area")


def test_the_same_file_twice_is_refused(known: Blank, tmp_path: Path) -> None:
    known.refuse(tmp_path / "2023.csv", "2023.csv: is there already; rename a new file", None)


def test_a_query_is_adopted_as_the_source(blank: Blank, tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path / 'flats.db'}"
    flats(400).with_row_index("id", offset=1).write_database("flats", database)
    query = "select * from flats"
    blank.refuse(
        None, "source sql needs ingest.query in params.yaml, SOURCE_URL in .env", query=query
    )
    (blank.root / ".env").write_text(f"SOURCE_URL={database}\n")
    blank.refuse(tmp_path / "t.csv", "name the file or a query", query=query)
    blank.refuse(None, "no such table: houses", query="select * from houses")
    contract = blank.adopt(None, "rent", query=query, increment="id")
    assert column(contract, "rent").role == "outcome"
    ingest_ = load_params(blank.params).ingest
    known = {"address": "SOURCE_URL", "query": query, "increment": "id"}
    assert (ingest_.source, ingest_.model_extra) == ("sql", known)
    assert str(tmp_path) not in blank.params.read_text()
    blank.through(*DATA)
    assert blank.raw_rows().height == 400
    assert "| query | 400 |" in blank.data_card.read_text()


INGEST = ("months", "rows", "base", "address", "query", "increment")  # keys of other sources


def test_comments_survive(blank: Blank, tmp_path: Path) -> None:
    params, contract = blank.params.read_text(), blank.contract.read_text()
    blank.params.write_text(params.replace("\ntrain:", "\n# Ours: ask Ada.\ntrain:   # slow", 1))
    blank.contract.write_text(f"# Our own contract.\n{contract}")
    flats().write_csv(tmp_path / "t.csv")
    blank.adopt(tmp_path / "t.csv", "rent")
    left = blank.params.read_text()
    assert "# Ours: ask Ada.\ntrain:" in left and "# slow" in left
    kept = [line for line in params.splitlines() if "# " in line and "sample" not in line]
    lost = [line for line in kept if line.partition("# ")[2] not in left]
    assert not [line for line in lost if not line.strip().startswith(INGEST)]
    assert blank.contract.read_text().startswith(
        f"# Our own contract.\n{contract.partition(chr(10))[0]}"
    )


def test_keys_that_params_yaml_lacks_are_named_and_not_added(
    blank: Blank, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = blank.params.read_text().splitlines(keepends=True)
    own = "".join(line for line in lines if not line.startswith("  fairness:"))
    blank.params.write_text(own)
    flats().write_csv(tmp_path / "t.csv")
    options = [f"--data={tmp_path / 't.csv'}", "--target=rent"]
    adopt.main(blank, TARGET, Ingest(source="sample"), options)
    assert "  not set     register.fairness: params.yaml has no such key" in capsys.readouterr().out
    assert "fairness" not in blank.params.read_text() and len(own) < sum(map(len, lines))


@pytest.mark.parametrize("failing", ["black", "dvc"])
def test_a_failure_in_the_middle_leaves_all_as_it_was(
    blank: Blank, tmp_path: Path, failing: str
) -> None:
    def fail(root: Path, *command: str) -> None:
        if command[0] == failing:
            raise UserError(f"{failing}: the disk is full. Nothing was changed.")

    blank.patch.setattr(adopt, "run_module", fail)
    flats().write_csv(tmp_path / "t.csv")
    blank.refuse(tmp_path / "t.csv", f"{failing}: the disk is full", "rent")
    blank.patch.setattr(adopt, "run_module", lambda *_: None)
    blank.adopt(tmp_path / "t.csv", "rent")
    flats(50, 1).write_csv(tmp_path / "u.csv")
    blank.patch.setattr(adopt, "run_module", fail)
    if failing == "dvc":
        blank.refuse(tmp_path / "u.csv", "dvc: the disk is full", None)


def test_uncommitted_work_is_not_touched(blank: Blank, tmp_path: Path) -> None:
    flats().write_csv(tmp_path / "t.csv")
    who = ("-c", "user.name=U", "-c", "user.email=u@example.org")
    for command in (["init", "-q"], ["add", "."], [*who, "commit", "-qm", "All"]):
        subprocess.run(["git", *command], cwd=blank.root, check=True)
    definitions = blank.definitions.read_text()
    blank.definitions.write_text(definitions + "# my work\n")
    blank.refuse(tmp_path / "t.csv", "definitions.py", "rent")
    blank.definitions.write_text(definitions)
    note = blank.root / "src" / "note.py"
    note.write_text("not yet committed")
    blank.refuse(tmp_path / "t.csv", "src/note.py", "rent")
    note.rename(blank.root / "scored.csv")
    blank.adopt(tmp_path / "t.csv", "rent")
    assert len(git(blank.root, "log", "--format=%h").splitlines()) == 1, "adopt commits nothing"


def test_a_tree_without_a_commit_is_clean(blank: Blank, tmp_path: Path) -> None:
    flats().write_csv(tmp_path / "t.csv")
    subprocess.run(["git", "init", "-q"], cwd=blank.root, check=True)
    blank.adopt(tmp_path / "t.csv", "rent")
    assert blank.data_card.exists()
