"""The history: what the gate, people and deliveries decided, appended to one table."""

import pytest
import sqlalchemy as sql
from mlops_loop.commands import promote, records
from mlops_loop.files import read_json
from mlops_loop.project import UserError
from mlops_loop.tracking import history
from projects import Project, offer, registry_of


def events(project: Project) -> list[tuple[str, int | None, str]]:
    """Event, version and reason of every entry."""
    return [(entry.event, entry.version, entry.reason) for entry in history.read(project)]


def test_decisions_and_moves_are_appended(trained: Project) -> None:
    offer(trained, "worse")
    offer(trained, "better")
    promote.main(trained, ["--reason=errors in the app"])
    told = events(trained)
    assert [entry[:2] for entry in told] == [
        ("promote", 1),
        ("gate", 1),
        ("promote", 2),
        ("gate", 2),
        ("rollback", 1),
    ]
    assert told[1][2] == "promote: first model to pass the bars and beat the baseline"
    assert told[4][2] == "errors in the app"
    _, first, _, second, _ = history.read(trained)
    assert (first.by, second.content["champion_version"]) == ("gate", 1)
    assert second.content["metrics"] == read_json(trained.metrics)["test"]
    assert second.content["comparisons"]["improvement"] > 0
    assert second.content["model_hash"] == registry_of(trained).find(2).tags["model_hash"]


def test_a_rejected_candidate_is_recorded_too(trained: Project) -> None:
    trained.edit(register__bars={"rmse": 0.001})
    assert offer(trained, "better")["decision"] == "reject"
    [entry] = history.read(trained)
    assert (entry.event, entry.version, entry.content["decision"]) == ("gate", None, "reject")
    assert "is above the bar of 0.001" in entry.reason


def test_a_rollback_needs_no_history(trained: Project) -> None:
    offer(trained, "worse")
    offer(trained, "better")
    trained.history.unlink()
    promote.main(trained, ["--reason=errors in the app"])
    assert registry_of(trained).aliases() == {"champion": 1}


def test_a_database_that_does_not_answer_stops_no_training(
    trained: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{trained.root}/not there/history.db")
    assert offer(trained, "better")["decision"] == "promote"
    assert registry_of(trained).aliases() == {"champion": 1}
    warned = capsys.readouterr().err.splitlines()
    assert len(warned) == 2, "one sentence for each entry"
    assert warned[0].startswith("warning: the history lacks this promote (first model to pass")
    with pytest.raises(UserError, match=r"the history cannot be read: .*unable to open"):
        history.read(trained)


def test_numbers_without_a_value_and_days_are_stored(project: Project) -> None:
    history.append(
        project, "check", by="loop", reason="a day", day="2024-02-01", ratio=float("nan")
    )
    history.append(project, "check", by="loop", reason="now")
    replayed, real = history.read(project)
    assert replayed.content == {"day": "2024-02-01", "ratio": None}
    assert str(replayed.day) == "2024-02-01" and real.day == real.time.date()
    with sql.create_engine(f"sqlite:///{project.history}").begin() as connection:
        connection.execute(sql.text("delete from history where id = 2"))
    history.append(project, "check", by="loop", reason="after a deletion")
    assert [entry.id for entry in history.read(project)] == [1, 3], "an id is not used again"


def test_history_lists_the_latest_entries(
    project: Project, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    records.history(project, [])
    assert capsys.readouterr().out == "The history has no such entry yet.\n"
    for number in range(records.SHOWN + 1):
        history.append(project, "promote", by="Ada", reason=f"reason {number}.", version=number)
    history.append(project, "freeze", by="Ada", reason="[an audit]")
    records.history(project, ["--EVENT=promote"])
    head, first, *_, last = map(str.rstrip, capsys.readouterr().out.splitlines())
    assert head.split() == ["time", "(UTC)", "event", "version", "by", "reason"]
    assert first.endswith("1        Ada  reason 1.") and last.endswith("30       Ada  reason 30.")
    records.history(project, [])
    assert capsys.readouterr().out.rstrip().endswith("-        Ada  [an audit]")
