"""`make monitor` on the prediction log: days are read once, truths join late, and bad input."""

import re
import shutil
import time
from datetime import date, timedelta
from typing import Any

import polars as pl
import pytest
import sqlalchemy as sql
from mlops_loop.monitoring import feedback
from mlops_loop.monitoring import log as reader
from mlops_loop.monitoring import monitor
from mlops_loop.monitoring.params import Monitoring
from mlops_loop.project import UserError
from mlops_loop.serving import log_tables as log
from mlops_loop.tracking import history
from projects import Project, clone, isolate, offer, sales
from watched import FIRST, INPUTS, NEEDS, TODAY, Watcher, later


@pytest.fixture(scope="module")
def champion(trained_once: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with a champion."""
    with pytest.MonkeyPatch.context() as patch:
        isolate(patch)
        project = clone(trained_once, tmp_path_factory.mktemp("champion") / "project")
        assert offer(project, "better")["alias"] == "champion"
    return project


@pytest.fixture
def watcher(champion: Project) -> Watcher:
    """Its watcher, whose log is empty."""
    shutil.rmtree(champion.root / ".serving", ignore_errors=True)
    return Watcher(champion)


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The days that were read from the log."""
    days: list[str] = []
    original = reader.read_day

    def noted(connection: sql.Connection, champion: Any, day: str) -> Any:
        days.append(day)
        return original(connection, champion, day)

    monkeypatch.setattr(reader, "read_day", noted)
    return days


def test_a_log_is_checked_as_a_file_of_its_rows(watcher: Watcher) -> None:
    rows = later().drop_nulls("price")
    watcher.fill(rows)
    path = watcher.project.external / "batch.parquet"
    rows.write_parquet(path)
    of_log, of_file = watcher.check(until=TODAY), watcher.check(batch=str(path))
    for part in ("loss", "columns", "slices", "estimate", "alarms", "days", "rows", "labelled"):
        assert of_log[part] == of_file[part], part
    assert of_log["labelled"] == of_log["rows"] == rows.height


def test_rows_that_the_training_would_leave_out_are_left_out_when_their_outcome_is_known(
    watcher: Watcher,
) -> None:
    watcher.tell(watcher.log(later().head(200)), [180.0] * 30 + [50.0] * 70 + [None] * 100)
    content = watcher.check()
    assert (content["rows"], content["dropped"], content["labelled"]) == (200, 30, 70)


def test_only_days_that_changed_are_read_again(watcher: Watcher, read: list[str]) -> None:
    rows = later().filter(pl.col("sold_at") < FIRST + timedelta(days=10))
    ids = watcher.log(rows)
    first = watcher.check()
    assert len(read) == len(set(read)) == 10
    assert first["labelled"] == 0
    read.clear()
    begun = time.perf_counter()
    assert watcher.check()["rows"] == first["rows"]
    assert time.perf_counter() - begun < 2
    assert read == []

    third = rows["sold_at"].dt.date() == date(2024, 2, 22)
    told = {
        id: price for id, price, is_third in zip(ids, rows["price"], third, strict=True) if is_third
    }
    watcher.tell([*told], [*told.values()], FIRST + timedelta(days=9))
    watcher.log(later().filter(pl.col("sold_at").dt.date() == date(2024, 3, 5)))
    content = watcher.check()
    assert read == ["2024-02-22", "2024-03-05"]
    assert content["labelled"] == sum(price is not None for price in told.values())
    assert [day["day"] for day in content["loss"]["by_day"]] == ["2024-02-22"]


def test_truths_that_come_after_months_are_read_unless_their_rows_are_forgotten(
    watcher: Watcher, read: list[str]
) -> None:
    rows, days = later(100).drop_nulls("price"), [FIRST + timedelta(days=n) for n in (90, 91)]
    ids = watcher.log(rows)
    watcher.log(rows.with_columns(pl.col("sold_at") + timedelta(days=90)))
    assert watcher.check(today=days[1].date())["labelled"] == 0
    read.clear()
    first = rows["sold_at"].dt.date() == FIRST.date()
    told = [price for price, is_first in zip(rows["price"], first, strict=True) if is_first]
    watcher.tell(ids[: len(told)], told, days[0])
    content = watcher.check(today=days[1].date())
    assert (content["labelled"], read) == (len(told), [str(FIRST.date())])
    with watcher.engine.begin() as connection:
        connection.execute(log.predictions.delete().where(log.predictions.c.id == ids[0]))
    watcher.tell(ids[1:3], [0.0, 0.0], days[0])
    read.clear()
    assert watcher.check(today=days[1].date())["labelled"] == len(told)
    assert read == [], "a day that was shortened keeps its profile"


def test_an_hourly_check_sees_the_day_that_is_not_over(watcher: Watcher) -> None:
    worse = pl.col("sold_at") >= pl.datetime(2024, 3, 10)
    rows = later().with_columns(pl.when(worse).then(pl.col("price") * 0.3).otherwise("price"))
    watcher.fill(rows.filter(pl.col("sold_at") < pl.datetime(2024, 3, 10, 12)))
    hourly = Monitoring(alarms_per_year=1, every="1h")
    today = date(2024, 3, 10)
    assert watcher.check(today=today)["status"] == "healthy"
    content = watcher.check(today=today, options=hourly)
    assert (content["status"], content["days"]["last"]) == ("act", "2024-03-10")
    assert content["loss"]["by_day"][-1]["rows"] <= 12


def test_days_that_retention_forgets_keep_their_profile(watcher: Watcher, read: list[str]) -> None:
    watcher.fill(later())
    before = watcher.check()
    with watcher.engine.begin() as connection:
        for table in (log.feedback, log.predictions):
            connection.execute(table.delete().where(table.c.time < FIRST + timedelta(days=10)))
    read.clear()
    after = watcher.check()
    assert read == []
    assert after["loss"]["by_day"] == before["loss"]["by_day"]


def test_rows_in_chunks_and_an_interrupted_check_lose_nothing(
    watcher: Watcher, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    watcher.fill(later())
    whole = watcher.check()
    for file in (watcher.project.root / ".serving" / "profiles").glob("*/*"):
        file.unlink()
    monkeypatch.setattr(reader, "CHUNK", 7)
    original, reads = reader.read_inputs, iter(range(30))

    def stop(*given: Any) -> Any:
        if next(reads) == 20:
            raise KeyboardInterrupt
        return original(*given)

    monkeypatch.setattr(reader, "read_inputs", stop)
    with pytest.raises(KeyboardInterrupt):
        watcher.check()
    monkeypatch.setattr(reader, "read_inputs", original)
    read.clear()
    again = watcher.check()
    assert len(read) < 30, "the days before the interruption are kept"
    assert again["loss"] == whole["loss"]
    assert again["columns"] == whole["columns"]


def test_the_latest_truth_counts_and_strangers_are_named(watcher: Watcher) -> None:
    rows = later().drop_nulls("price")
    ids = watcher.log(rows)
    watcher.tell(ids, [0.0] * rows.height, FIRST + timedelta(hours=1))
    watcher.tell(ids, rows["price"].to_list(), FIRST + timedelta(hours=2))
    watcher.tell(["stranger", ids[0]], [1.0, "many"], FIRST + timedelta(hours=3))
    content = watcher.check(until=TODAY)
    assert content["loss"]["observed_over_expected"] < 1.1
    assert content["labelled"] == rows.height - 1
    notes = " ".join(content["notes"])
    assert f"{rows.height + 1} truths were replaced" in notes
    assert "1 truths are of no prediction in the log: stranger." in notes
    assert "1 truths are no outcome of this model" in notes


def test_what_is_not_shown_to_users_is_not_watched(watcher: Watcher) -> None:
    rows = later()
    watcher.log(rows)
    watcher.log(rows, shown=False, alias="challenger")
    watcher.log(rows, request_id="deliver")
    assert watcher.check(until=TODAY)["rows"] == rows.height


def test_days_that_are_not_over_and_those_of_the_reference_wait(watcher: Watcher) -> None:
    watcher.log(sales(100))
    with pytest.raises(UserError, match=r"of \d+ rows none is of a day from"):
        watcher.check()
    two_days = later(48).with_columns(pl.col("sold_at") + timedelta(days=30))
    watcher.log(two_days)
    with pytest.raises(UserError, match=f"of {100 + two_days.height} rows none"):
        watcher.check()
    content = watcher.check(until=date(2024, 3, 22))
    assert (content["rows"], content["days"]["last"]) == (two_days.height, "2024-03-22")
    assert re.match(r"2\d rows are of days after 2024-03-21", content["notes"][0])
    assert watcher.check(since=date(2024, 1, 1))["rows"] == 100


def test_inputs_of_another_contract_are_left_out_and_named(watcher: Watcher) -> None:
    rows = later()
    watcher.log(rows)
    watcher.log(rows[:30].with_columns(size=pl.lit(None, pl.Float64)))
    watcher.log(rows[:30].with_columns(size=pl.lit("large")))
    content = watcher.check(until=TODAY)
    assert (
        "60 rows or more were asked of a model with another contract (size)" in content["notes"][0]
    )
    first = rows.filter(pl.col("sold_at").dt.date() == FIRST.date())
    assert content["estimate"]["by_day"][0]["rows"] == first.height


def test_an_empty_log_and_one_that_does_not_respond_are_one_sentence(
    watcher: Watcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match=r"the prediction log, sqlite:.*, is empty"):
        watcher.check()
    watcher.log(later(1))
    assert watcher.check()["status"] == "healthy"
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{watcher.project.root}/no/where.db")
    with pytest.raises(UserError, match="does not respond"):
        watcher.check()


def test_rows_that_come_while_a_day_is_read_are_read_the_next_time(
    watcher: Watcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = later().filter(pl.col("sold_at") < FIRST + timedelta(days=1))
    watcher.log(rows)
    original = reader.read_day

    def meanwhile(*given: Any) -> Any:
        found = original(*given)
        watcher.log(rows[:5])
        return found

    monkeypatch.setattr(reader, "read_day", meanwhile)
    assert watcher.check()["rows"] == rows.height
    monkeypatch.setattr(reader, "read_day", original)
    assert watcher.check()["rows"] == rows.height + 5


def told(capsys: pytest.CaptureFixture[str], project: Project, text: str, key: str = "") -> str:
    """The lines that `make feedback` prints of a CSV."""
    file = project.external / "truths.csv"
    file.write_text(text)
    feedback.main(project, key or None, [f"--file={file}"])
    return capsys.readouterr().out


def test_truths_of_a_file_join_by_id_and_what_is_wrong_with_others_is_counted(
    watcher: Watcher, capsys: pytest.CaptureFixture[str]
) -> None:
    ids = watcher.log(later(10))
    rows = [f"{ids[0]},1.5", f"{ids[0]},2.5", f"{ids[1]},3", f"{ids[2]},", f"{ids[3]},many"]
    text = "\n".join(["prediction_id,actual", *rows, "stranger,4"])
    said = told(capsys, watcher.project, text)
    assert "truths.csv: 2 truths written." in said
    for words in ("no truth yet", "no outcome", "no prediction", "a later row names"):
        assert re.search(rf"  1 rows .*{words}", said), words
    content = watcher.check()
    assert content["labelled"] == 2
    assert "2 truths were known already" in told(capsys, watcher.project, text)
    assert "1 truths written" in told(capsys, watcher.project, f"prediction_id,euros\n{ids[0]},9\n")
    with pytest.raises(UserError, match="there is no column prediction_id of ids"):
        told(capsys, watcher.project, "id,actual\n1,2\n")


def test_truths_of_a_file_join_by_the_users_own_key(
    watcher: Watcher, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = later(5).with_columns(size=pl.Series([1.5, 2.5, 3.5, 3.5, 4.5][: later(5).height]))
    watcher.log(rows)
    said = told(capsys, watcher.project, "size,euros\n1.5,10\n3.5,20\n99.0,1\n", "size")
    assert "3 truths written" in said
    assert "1 rows are of no prediction" in said


def test_a_sample_to_label_is_of_all_days_and_comes_back(
    watcher: Watcher, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = later().filter(pl.col("sold_at") < FIRST + timedelta(days=4))
    ids = watcher.log(rows, output={"prediction": 1.0})
    watcher.tell(ids[:5], [1.0] * 5)
    output = watcher.project.external / "to_label.csv"
    feedback.label(watcher.project, ["--n=16", f"--output={output}"])
    sample = pl.read_csv(output, try_parse_dates=True)
    assert sample.columns == ["prediction_id", *INPUTS, "prediction", "actual"]
    assert not set(sample["prediction_id"]) & set(ids[:5])
    assert sample.group_by(pl.col("sold_at").dt.date()).len()["len"].to_list() == [4] * 4
    filled = sample.with_columns(actual=pl.when(pl.int_range(pl.len()) < 10).then(7.0))
    assert "10 truths written" in told(capsys, watcher.project, filled.write_csv())
    assert watcher.check()["labelled"] == 15


def test_bars_and_baseline_are_limits_of_the_loss(watcher: Watcher) -> None:
    watcher.fill(later().with_columns(pl.col("price") * 0.6))
    content = watcher.check(bars={"rmse": 7.5})
    said = " ".join(content["sentences"])
    assert "worse than the bar, which for rmse is 7.5" in said
    assert "the baseline" not in said


def test_what_is_unusual_is_noted(watcher: Watcher) -> None:
    last = pl.col("sold_at") >= pl.datetime(2024, 3, 18)
    odd = pl.when(last & (pl.int_range(pl.len()) % 2 == 0))
    rows = later().with_columns(
        items=odd.then(None).otherwise("items"), shop=odd.then(pl.lit("moon")).otherwise("shop")
    )
    watcher.log(rows)
    with watcher.engine.begin() as connection:
        today = date.today()
        days = today, today - timedelta(days=60)
        log.add_refusals(connection, {(day, "size", "missing"): 12 for day in days})
    content = watcher.check()
    notes = " ".join(content["notes"])
    assert re.search(
        r"items: \d\d.\d% of the last week's values are missing \(reference: \d", notes
    )
    assert re.search(
        r"shop: \d\d.\d% of the last week's values are unseen \(reference: 0.0%", notes
    )
    assert "by field and rule: 12; most of them: size (missing) 12." in notes


def test_checks_are_in_the_history_and_figures_in_one_run_of_the_version(watcher: Watcher) -> None:
    watcher.fill(later())
    for _ in range(2):
        content = monitor.main(watcher.project, NEEDS, ["--until=2024-03-20"])
    entry = history.read(watcher.project, "check")[-1]
    assert (entry.version, entry.content["status"]) == (1, content["status"])
    ratio = content["loss"]["observed_over_expected"]
    assert entry.content["observed_over_expected"] == ratio
    query = "tags.category = 'monitoring' and tags.version = '1'"
    [run] = watcher.registry.client.search_runs([watcher.registry.experiment], query)
    assert run.data.metrics["observed_over_expected"] == ratio


def test_an_alarm_stands_while_outcomes_are_late_and_the_estimate_warns(watcher: Watcher) -> None:
    worse, rows = pl.col("sold_at") >= pl.datetime(2024, 3, 1), later()
    told = rows.with_columns(pl.when(worse).then(pl.col("price") * 0.5).otherwise("price"))
    ids = watcher.log(rows)
    known = [at < FIRST + timedelta(days=14) for at in rows["sold_at"]]
    prices = [
        price if is_known else None for price, is_known in zip(told["price"], known, strict=True)
    ]
    watcher.tell(ids, prices)
    history.append(watcher.project, "promote", by="gate", reason="", version=1, day="2024-03-01")
    content = watcher.check()
    assert content["status"] == "act"
    assert content["loss"]["episode"] == {"since": "2024-03-01", "kind": "sudden"}
    last = content["estimate"]["by_day"][-1]
    assert (last["late"], last["observed"]) == (True, None)
    assert last["low"] < last["estimate"] < last["high"]
    assert "Outcomes are late: the loss of 2024-03-20 is estimated" in " ".join(
        content["sentences"]
    )
    page = (watcher.project.monitoring / "index.html").read_text()
    assert "2024-03-01: promote of version 1" in page

    harder = later(20_000, 2).with_columns(
        sold_at=pl.datetime(2024, 3, 1) + pl.duration(minutes=pl.int_range(pl.len())),
        size=pl.lit(99.0),
        items=pl.lit(9),
    )
    watcher.log(harder.filter(pl.col("sold_at") < pl.datetime(2024, 3, 14)))
    content = watcher.check()
    about = [alarm for alarm in content["alarms"] if "by an estimate" in alarm["words"]]
    assert {alarm["level"] for alarm in about} == {"watch"}
