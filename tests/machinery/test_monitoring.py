"""`make monitor` on files: figures, verdicts, the page, and bad input."""

import json
import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from mlops_loop.models import profile
from mlops_loop.models.model import load
from mlops_loop.monitoring import monitor
from mlops_loop.monitoring.params import Monitoring, read_section
from mlops_loop.project import UserError
from projects import Project, offer, sales
from watched import NEEDS

OPTIONS = Monitoring(alarms_per_year=1, every="1d")


@pytest.fixture
def champion(trained: Project) -> Project:
    """A project with a champion."""
    assert offer(trained, "better")["alias"] == "champion"
    return trained


def later(rows: int = 700, seed: int = 1) -> pl.DataFrame:
    """Sales after those of the training, of the same kind."""
    return sales(rows, seed).with_columns(pl.col("sold_at") + timedelta(days=50))


def check(project: Project, rows: pl.DataFrame, options: Monitoring = OPTIONS) -> dict[str, Any]:
    """The content of latest.json."""
    path = project.external / "batch.parquet"
    rows.write_parquet(path)
    return run(project, path, options)


def run(project: Project, path: Path, options: Monitoring = OPTIONS) -> dict[str, Any]:
    """Check a file."""
    monitor.main(project, replace(NEEDS, options=options), [f"--batch={path}"])
    content: dict[str, Any] = json.loads((project.monitoring / "latest.json").read_text())
    return content


def test_stable_days_are_healthy_and_their_figures_are_those_of_the_rows(
    champion: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = later()
    content = check(champion, rows)
    assert content["status"] == "healthy"
    assert content["alarms"] == []
    kept = rows.drop_nulls("price").filter(pl.col("price").is_between(0, 150))
    assert content["dropped"] == rows.height - kept.height - rows["price"].null_count()
    assert content["labelled"] == kept.height
    day = kept.filter(pl.col("sold_at").dt.date() == pl.date(2024, 2, 25))
    errors = np.abs(load(champion.candidate).predict(day) - day["price"].to_numpy())
    cap = profile.load(champion.profile).expectation.cap
    found = next(d for d in content["loss"]["by_day"] if d["day"] == "2024-02-25")
    assert found["rows"] == day.height
    assert found["observed"] == pytest.approx(np.minimum(errors, cap).mean(), rel=1e-5)
    # Of so few rows the folds' models are worse than the champion, which learned from more.
    assert 0.7 < content["loss"]["observed_over_expected"] < 1.1
    said = capsys.readouterr().out
    assert "healthy: shop 1" in said
    assert re.search(r"a rise of the loss of \d+% or more would have been seen", said)


def test_another_relation_of_inputs_and_outcome_is_acted_on(champion: Project) -> None:
    content = check(champion, later().with_columns(pl.col("price") * 0.7))
    assert content["status"] == "act"
    assert content["loss"]["observed_over_expected"] > 1.3
    assert "inputs no longer mean what they meant" in content["sentences"][0]
    assert "loss" in {alarm["about"] for alarm in content["alarms"]}


def test_drift_of_a_holiday_is_shown_and_not_alarmed(
    champion: Project,
) -> None:
    day = pl.datetime(2024, 2, 20) + pl.duration(days=pl.int_range(pl.len()) // 300)
    party = pl.col("sold_at") == pl.datetime(2024, 3, 1)
    rows = later(9_000).with_columns(sold_at=day)
    rows = rows.filter(~party | (pl.col("shop") == "south"))
    drifted = check(champion, rows)["alarms"]
    assert {alarm["day"] for alarm in drifted} == {"2024-03-01"}
    holidays = read_section(
        Monitoring, {"alarms_per_year": 1, "every": "1d", "holidays": ["2024-03-01"]}
    )
    content = check(champion, rows, holidays)
    assert (content["status"], content["alarms"]) == ("healthy", [])
    [shop] = [each for each in content["columns"] if each["column"] == "shop"]
    where = shop["by_day"]["day"].index("2024-03-01")
    assert abs(shop["by_day"]["z"][where]) > 5, "the page shows it"
    content = check(champion, later(9_000).with_columns(sold_at=day, size=pl.lit(90.0)))
    assert "nothing that matters" not in " ".join(content["sentences"])


def test_a_shift_of_inputs_alone_is_watched_and_told_apart(champion: Project) -> None:
    day = pl.datetime(2024, 2, 20) + pl.duration(days=pl.int_range(pl.len()) // 300)
    rows = later(9_000).with_columns(sold_at=day).filter(pl.col("shop") == "south")
    content = check(champion, rows)
    about = {alarm["about"]: alarm for alarm in content["alarms"]}
    assert about["shop"]["level"] == "watch"
    assert re.match(r"(north|east|south): \d+\.\d% → ", about["shop"]["words"])
    assert content["loss"]["observed_over_expected"] < 1.1


def test_rows_without_outcomes_are_watched_for_drift_alone(champion: Project) -> None:
    content = check(champion, later().drop("price"))
    assert "loss" not in content
    assert "No outcome is known" in " ".join(content["sentences"])
    given = check(champion, later().rename({"price": "euros"}))
    assert given["loss"]["by_day"], "the outcome may have the target's name"


def test_what_breaks_the_contract_is_noted_and_left_out(champion: Project) -> None:
    rows = later().with_columns(
        size=pl.when(pl.int_range(pl.len()) < 5).then(1e6).otherwise("size")
    )
    content = check(champion, rows)
    assert {"column": "size", "rule": "<= 100", "rows": 5} in content["quality"]


def test_days_of_a_folder_merge_and_a_check_may_have_several(champion: Project) -> None:
    folder, rows = champion.external / "days", later()
    folder.mkdir()
    for number in range(2):
        rows[number::2].write_parquet(folder / f"{number}.parquet")
    together = run(champion, folder)
    assert together["loss"]["by_day"] == check(champion, rows)["loss"]["by_day"]
    weekly = run(champion, folder, Monitoring(alarms_per_year=1, every="7d"))
    assert len(weekly["loss"]["by_day"]) in (4, 5)
    assert sum(d["rows"] for d in weekly["loss"]["by_day"]) >= 600


def test_the_page_has_everything_and_needs_nothing_else(champion: Project) -> None:
    check(champion, later().with_columns(pl.col("price") * 0.7, shop=pl.lit("<b>south")))
    page = (champion.monitoring / "index.html").read_text()
    assert not re.search(r"(src|href)=|https?://|<script", page)
    assert "<svg" in page
    for text in ("Loss of each day", "Estimated loss", "Drift of each column", "Slices", "Alarms"):
        assert text in page
    assert "<b>south" not in page


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        (later().drop("size"), r"the table lacks the columns size of the contract"),
        (later().head(0), "nothing to watch"),
    ],
)
def test_bad_input_is_one_sentence(champion: Project, rows: pl.DataFrame, problem: str) -> None:
    with pytest.raises(UserError, match=problem):
        check(champion, rows)


def test_one_row_is_healthy_and_says_how_little_was_seen(champion: Project) -> None:
    content = check(champion, later().filter(pl.col("price").is_between(1, 100)).head(1))
    assert content["status"] == "healthy"
    assert content["loss"]["by_day"][0]["could_see"] > 1


def test_an_empty_file_and_a_version_without_a_profile_are_one_sentence(
    champion: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = champion.external / "empty.csv"
    empty.touch()
    with pytest.raises(UserError, match="the file is empty"):
        run(champion, empty)
    monkeypatch.setattr(monitor, "PROFILE", "models/none")
    with pytest.raises(UserError, match="version 1 carries no reference profile"):
        check(champion, later())


def test_the_dial_is_the_only_threshold() -> None:
    assert OPTIONS.level(0.5) == pytest.approx(0.5 / 365)
    assert Monitoring(alarms_per_year=12, every="7d").level(0.5) == pytest.approx(6 * 7 / 365)
    assert OPTIONS.drift_level(0.1, 45) == pytest.approx(OPTIONS.drift_level(0.1, 90) / 2)
    with pytest.raises(UserError, match=r"params.yaml: monitoring.every"):
        read_section(Monitoring, {"alarms_per_year": 1, "every": "5h"})
    with pytest.raises(UserError, match="this section is missing"):
        read_section(Monitoring, None)
