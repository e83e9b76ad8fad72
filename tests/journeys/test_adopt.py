"""A user's own table, lived in: `make adopt`, `make train`, and nothing left of the example."""

import json
import sqlite3
from pathlib import Path

import polars as pl
import pytest
from helpers import Factory, files, git, run
from test_render import EXAMPLE_WORDS

ROWS = 400


@pytest.fixture(scope="module")
def flats(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table as a small agency might export it: semicolons, decimal commas, German dates."""
    path = tmp_path_factory.mktemp("table") / "flats 2024.csv"
    lines = ["listing_id;let on;district;square metres;rooms;owner e-mail;rent"]
    for number in range(ROWS):
        area, rooms = 25 + number * 37 % 120, 1 + number * 37 % 120 // 30
        district = ("north", "east", "harbour")[number % 3]
        rent = area * (14 if district == "harbour" else 11) + number * 13 % 17
        day = f"{1 + number % 28:02}.{1 + number // 28 % 12:02}.{2023 + number // 336}"
        metres = "?" if number % 50 == 7 else f"{area},5"
        lines.append(f"L{number};{day};{district};{metres};{rooms};o{number}@example.org;{rent},00")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def adopted(make_project: Factory, flats: Path) -> Path:
    """A project that has taken the table in the example's place."""
    project = make_project()
    run(project, "make", "adopt", f"DATA={flats}", "TARGET=rent")
    return project


def test_nothing_of_the_example_is_left(adopted: Path) -> None:
    assert git(adopted, "rev-list", "--count", "HEAD") == "1", "adopt commits nothing"
    known = [path for path in files(adopted) if path.suffix not in (".parquet", ".csv", ".pyc")]
    words = [p for p in known if EXAMPLE_WORDS.search((adopted / p).read_text(encoding="utf-8"))]
    assert words == []


def test_the_table_trains_a_champion_and_the_gate_takes_the_commit(adopted: Path) -> None:
    said = run(adopted, "make", "train").stdout
    assert "version 1 is the champion" in said
    metrics = json.loads((adopted / "reports/metrics.json").read_text())
    assert metrics["test"]["rmse"] < metrics["baseline"]["rmse"] / 2
    assert sum(metrics["rows"].values()) == ROWS
    git(adopted, "add", "--all")
    run(adopted, "git", "commit", "--message", "Our flats")
    assert git(adopted, "status", "--porcelain") == ""


def test_the_tests_of_data_and_model_hold_it_against_what_is_declared(adopted: Path) -> None:
    behaviour = adopted / "tests/behaviour.yaml"
    line = "- {column: square metres, change: {add: 30}, then: not lower}\n"
    behaviour.write_text(behaviour.read_text() + line)
    said = run(adopted, "make", "test", "ARGS=-q tests/test_data.py tests/test_model.py").stdout
    assert "failed" not in said and "skipped" not in said
    behaviour.write_text(behaviour.read_text().replace("not lower}", "not higher}"))
    said = run(
        adopted, "make", "test", "ARGS=-q tests/test_model.py -k declared", succeeds=False
    ).stdout
    assert "'column': 'square metres'" in said and "1 failed" in said
    behaviour.write_text(behaviour.read_text().replace("not higher}", "lower}"))
    said = run(
        adopted, "make", "test", "ARGS=-q tests/test_model.py -k declared", succeeds=False
    ).stdout
    assert "then is one of same, not lower, not higher" in said


def test_a_database_is_adopted_and_asked_again(adopted: Path, tmp_path: Path) -> None:
    git(adopted, "add", "--all")
    git(adopted, "commit", "--quiet", "--no-verify", "--allow-empty", "--message", "Before")
    (adopted / ".env").write_text(f"SOURCE_URL=sqlite:///{tmp_path / 'flats.db'}\n")

    def let(first: int, last: int) -> None:
        with sqlite3.connect(tmp_path / "flats.db") as flats:
            flats.execute("create table if not exists flats (id integer, area real, rent real)")
            rows = [
                (n, 25 + n * 37 % 120, n * 37 % 120 * 11 + n * 13 % 170) for n in range(first, last)
            ]
            flats.executemany("insert into flats values (?, ?, ?)", rows)

    def landed(*options: str) -> list[int]:
        run(adopted, "make", "data", *options)
        files = sorted((adopted / "data/raw").glob("*.parquet"))
        return [pl.read_parquet(file).height for file in files]

    let(1, 301)
    query = "QUERY=select * from flats where rent < '1000000'"
    run(adopted, "make", "adopt", query, "TARGET=rent", "INCREMENT=id")
    assert landed() == [300]
    let(301, 321)
    assert landed() == [300]
    assert landed("REFRESH=1") == [300, 20]
    report = json.loads((adopted / "reports/prepare.json").read_text())
    assert sum(report["rows"].values()) == 320
