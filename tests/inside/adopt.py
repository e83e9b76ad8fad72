"""Tables as they come, adopted: each case writes its file, and works or fails in one sentence."""

import csv
import gzip
import shutil
import sys
from collections.abc import Callable, Iterable
from datetime import date, datetime
from itertools import cycle, islice
from pathlib import Path
from runpy import run_path
from typing import Any

import numpy as np
import polars as pl
import pytest
from conftest import Project
from my_project.data import adopt, ingest, prepare, validate
from my_project.data.contract import Column, Contract, load_contract
from my_project.errors import UserError
from my_project.features import featurize
from my_project.files import partitions, read_json
from my_project.models import evaluate, register, train
from my_project.params import load_params
from my_project.paths import PROJECT

STAGES = (ingest, validate, prepare, featurize, train, evaluate, register)
DATA, MODEL = STAGES[:4], STAGES[4:]
ROWS = 200


class Blank(Project):
    """This project before its first table is adopted."""

    patch: pytest.MonkeyPatch

    def adopt(self, data: Path, target: str | None = "y", **options: str) -> Contract:
        """Adopt a table as `make adopt` does, and put its definitions in the place of the user's."""
        asked = {"data": data, "target": target or "", **options}
        self.patch.setattr(sys, "argv", ["", *(f"--{key}={value}" for key, value in asked.items())])
        adopt.main(self)
        written = run_path(str(self.definitions))
        for module in (adopt, prepare, featurize, train):
            for name in {"TARGET", "KEEP_ROWS", "FEATURES"} & vars(module).keys():
                self.patch.setattr(module, name, written[name])
        return load_contract(self.contract)

    def refuse(self, data: Path, words: str, target: str | None = "y", **options: str) -> None:
        """Adopting fails with these words, and nothing on the disk is another than before."""
        before = snapshot(self.root)
        with pytest.raises(UserError, match=words):
            self.adopt(data, target, **options)
        assert snapshot(self.root) == before

    def through(self, *stages: Any) -> None:
        """Run stages of the pipeline."""
        for stage in stages:
            stage.main(self)

    def raw_rows(self) -> pl.DataFrame:
        """What the contract reads in data/raw."""
        contract = load_contract(self.contract)
        read = [contract.typed(pl.read_parquet(p), names(contract)) for p in partitions(self.raw)]
        return pl.concat(read)

    def features(self) -> list[str]:
        """The names of the features in data/processed."""
        return pl.read_parquet(self.processed / "train/*.parquet").columns[:-1]


@pytest.fixture
def blank(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Blank:
    """A project without data; DVC is not asked to hold anything."""
    project = Blank(tmp_path / "project")
    project.patch = monkeypatch
    for name in ("params", "contract", "definitions", "pyproject", "requirements", "charter"):
        path: Path = getattr(project, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(getattr(PROJECT, name), path)
    monkeypatch.setattr(adopt, "tool", lambda *_: None)
    return project


@pytest.fixture
def learner(blank: Blank, _trained_once: Project) -> Blank:
    """A project without data, and with an empty store; it learns quickly rather than well."""
    shutil.copy(_trained_once.root / "empty.db", blank.store)
    quick = {"max_trees": 60, "threads": 1}
    blank.edit(**{f"train__{key}": value for key, value in quick.items()})
    blank.edit(evaluate__resamples=20, register__resamples=50)
    return blank


def snapshot(root: Path) -> dict[Path, bytes]:
    """Every file of a folder, with its content."""
    return {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}


def names(contract: Contract) -> list[str]:
    """Every column of a contract."""
    return [column.name for column in contract.columns]


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
    gate = read_json(project.gate)
    assert (gate["decision"], gate["version"], gate["champion_version"]) == ("promote", 1, 1)
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
    "compact dates": (
        ["20240131", "20240105", "20231224"],
        "Int64",
        [20240131, 20240105, 20231224],
    ),
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
    "row number from 0": ("x", list(range(60)), "ignored", "row number"),
    "row number from 1": ("x", list(range(1, 61)), "ignored", "row number"),
    "pandas' index": ("", list(range(60)), "id", "identifier"),
    "identifier": ("customer_id", [7 * i for i in range(60)], "id", "identifier"),
    "text identifier": ("x", [f"A{i:03}" for i in range(60)], "id", "identifier"),
    "uuid": ("x", [f"{i:08x}-0000-4000-8000-00000000000a" for i in range(60)], "id", "identifier"),
    "prose": ("x", PROSE, "ignored", "free text"),
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
    ("rows", "group", "leaf", "folds"),
    [(40, "", 8, 5), (999, "", 20, 5), (999, "district", 20, None), (1000, "", 20, None)],
)
def test_trees_fit_the_number_of_rows(
    blank: Blank, tmp_path: Path, rows: int, group: str, leaf: int, folds: int | None
) -> None:
    flats(rows).write_csv(tmp_path / "flats.csv")
    blank.adopt(tmp_path / "flats.csv", "rent", group=group)
    size = load_params(blank.params).train.lightgbm
    assert (size.num_leaves, size.min_child_samples, size.folds) == (31, leaf, folds)


def test_folds_do_not_look_into_the_future(blank: Blank, tmp_path: Path) -> None:
    days = pl.date_range(date(2024, 1, 1), date(2024, 3, 31), eager=True).alias("day")
    flats(len(days)).with_columns(days).write_csv(tmp_path / "flats.csv")
    blank.adopt(tmp_path / "flats.csv", "rent")
    assert load_params(blank.params).train.lightgbm.folds is None
