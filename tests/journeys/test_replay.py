"""The loop closes: three months through the real service, drift, bad truths and a bad release."""

import json
import re
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from helpers import Factory, files, git, run

POISONED, RELEASED = "2023-05-04", "2023-05-13"  # days; the drift begins with June


@pytest.fixture(scope="module")
def project(make_project: Factory, environment: Path) -> Path:
    """A project of this level that was never trained, after three months of replay."""
    created = make_project(level="operations")
    lock = ("--require-hashes", "-r", "requirements/serving.txt")
    run(created, environment / "bin/uv", "pip", "install", "--python", ".venv/bin/python", *lock)
    before = files(created)
    said = run(created, "make", "replay", "MONTHS=3", "ROWS=1500").stdout
    (created / ".said").write_text(said)
    left = {path for path in files(created) if "__pycache__" not in path.parts} - {*before}
    assert {path.parts[:2] for path in left} <= {("reports", "replay"), (".said",)}
    assert git(created, "branch", "--list").split() == ["*", "main"]
    return created


@pytest.fixture(scope="module")
def months(project: Path) -> list[dict[str, Any]]:
    """The rows of the table."""
    return json.loads((project / "reports/replay/replay.json").read_text())["months"]


@pytest.fixture(scope="module")
def history(project: Path) -> list[dict[str, Any]]:
    """The recorded entries, the day of the replay as `day`."""
    with sqlite3.connect(project / "reports/replay/history.db") as database:
        database.row_factory = sqlite3.Row
        rows = [dict(row) for row in database.execute("select * from history order by id")]
    day = ""
    for row in rows:
        row["content"] = json.loads(row["content"])
        day = row["content"].get("day", day)
        row["day"] = day
    return rows


def of(history: list[dict[str, Any]], *events: str) -> list[dict[str, Any]]:
    """The entries of these events."""
    return [row for row in history if row["event"] in events]


def test_with_the_loop_the_error_is_back_a_month_after_the_drift(
    project: Path, months: list[dict[str, Any]]
) -> None:
    assert [month["month"] for month in months] == ["2023-05", "2023-06", "2023-07"]
    before, drifted, after = months
    assert drifted["without"] > 1.5 * before["without"]
    assert after["without"] > 1.5 * before["without"]
    assert after["with"] < 1.2 * before["without"]
    assert drifted["with"] < drifted["without"]
    assert all(month["rows"] > 1_300 for month in months[1:]) and months[0]["rows"] > 1_150
    said = (project / ".said").read_text()
    assert "with the loop" in said and "2023-07" in said
    assert (project / "reports/replay/index.html").stat().st_size > 10_000
    page = (project / "reports/replay/replay.html").read_text()
    assert "data:image/png;base64," in page and "<td>2023-07</td>" in page


def test_a_bad_release_is_rolled_back_and_stays_so(history: list[dict[str, Any]]) -> None:
    moves = [(row["event"], row["version"]) for row in of(history, "promote", "rollback")]
    assert moves[:3] == [("promote", 1), ("promote", 2), ("rollback", 1)]
    assert 2 not in [version for _, version in moves[2:]]
    released, back = of(history, "promote")[1], of(history, "rollback")[0]
    assert back["by"] == "loop" and back["reason"]
    assert released["day"] < back["day"] <= "2023-05-25"


def test_wrong_truths_promote_nothing(history: list[dict[str, Any]]) -> None:
    alarmed = [row for row in of(history, "check") if row["content"]["status"] == "act"]
    assert POISONED < alarmed[0]["day"] < RELEASED, "they are seen"
    by_loop = [row["day"] for row in of(history, "promote")[2:]]
    assert by_loop and min(by_loop) > "2023-06-01", "and start nothing that is promoted"


def test_harmless_drift_retrains_nothing(history: list[dict[str, Any]]) -> None:
    assert min(row["day"] for row in of(history, "retrain")) > "2023-06-01"


def test_the_drift_is_retrained_once_on_commits_that_are_named(
    history: list[dict[str, Any]],
) -> None:
    promoted = [row for row in of(history, "retrain") if row["content"]["outcome"] == "promoted"]
    assert [row["day"][:7] for row in promoted] == ["2023-06"]
    [retrained] = promoted
    assert retrained["content"]["trigger"] == "performance"
    assert retrained["content"]["branch"].startswith("loop/2023-06-")


def test_the_level_passes_its_own_gate_and_tests(project: Path) -> None:
    run(project, "make", "check")
    said = run(project, "make", "test", "ARGS=-q").stdout
    assert re.search(r"^\d+ passed in", said, re.MULTILINE), said
