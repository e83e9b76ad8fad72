"""One turn of the loop: check, respond, retrain, notify; locked, idempotent, and frozen."""

import threading
from datetime import date
from typing import Any

import pytest
from mlops_loop.monitoring import decide, turn
from mlops_loop.monitoring.batch import NothingToCheck
from mlops_loop.monitoring.params import Responses
from mlops_loop.project import UserError
from mlops_loop.tracking import history
from projects import Project, offer

OPTIONS = Responses(rollback_above=1.5, impute_above=0.3)
TODAY = date(2024, 5, 5)


class Loop:
    """A loop whose checks and retrainings are a test's: the verdicts of the checks, in turn."""

    def __init__(self, project: Project) -> None:
        self.project, self.verdicts, self.retrained = project, ["healthy"], list[Any]()

    def check(self, *_: Any, **options: Any) -> dict[str, Any]:
        """The check of the champion."""
        self.asked = options
        status = self.verdicts.pop(0) if len(self.verdicts) > 1 else self.verdicts[0]
        if status == "nothing":
            raise NothingToCheck("no row yet")
        return turn.UNCHECKED | {
            "version": "1",
            "status": status,
            "sentences": [f"it is {status}."],
        }

    def turn(self, today: date = TODAY) -> dict[str, Any]:
        """One turn."""
        return turn.take_turn(self.project, OPTIONS, self.check, self.retrain, today)

    def retrain(self, content: dict[str, Any], today: date) -> dict[str, Any]:
        """A retraining that finds no reason."""
        self.retrained.append((content["status"], today))
        return {"outcome": None, "reason": "no trigger fires"}

    def events(self) -> list[tuple[str, str]]:
        """The entries that the loop recorded."""
        return [(e.event, e.reason) for e in history.read(self.project) if e.by == "loop"]


@pytest.fixture
def loop(trained: Project, monkeypatch: pytest.MonkeyPatch) -> Loop:
    offer(trained, "better")
    monkeypatch.setattr(
        turn,
        "notify",
        lambda *args, **_: history.append(trained, "notify", by="loop", reason=args[1]),
    )
    return Loop(trained)


def test_a_turn_checks_and_evaluates_the_triggers(
    loop: Loop, capsys: pytest.CaptureFixture[str]
) -> None:
    assert loop.turn()["status"] == "healthy"
    assert loop.asked == {"today": TODAY}
    assert loop.retrained == [("healthy", TODAY)]
    [entry] = history.read(loop.project, "check")
    assert (entry.day, entry.version, entry.by) == (TODAY, 1, "loop")
    assert loop.events() == [("check", "healthy: it is healthy.")]
    said = capsys.readouterr().out
    assert "healthy: version 1\n  it is healthy.\nretraining: none: no trigger fires\n" in said


def test_a_repeated_turn_records_and_sends_nothing_twice(loop: Loop) -> None:
    loop.verdicts = ["healthy", "watch", "watch", "act", "act", "act", "healthy", "act"]
    told = []
    days = [1, 2, 2, 2, 2, 3, 4, 5]
    for day in days:
        loop.turn(date(2024, 5, day))
        told.append(len(loop.events()))
    assert told == [1, 3, 3, 5, 5, 6, 7, 9], "an alarm is sent when a verdict becomes worse"
    assert len(loop.retrained) == len(days), "a turn that was killed is gone on with"


def test_without_rows_the_triggers_are_evaluated_all_the_same(loop: Loop) -> None:
    loop.verdicts = ["nothing"]
    content = loop.turn()
    assert (content["version"], content["sentences"]) == ("1", ["no row yet"])
    assert loop.retrained == [("healthy", TODAY)]
    loop.project.history.unlink()
    turn.history.append(loop.project, "freeze", by="Ada", reason="audit")
    loop.check = lambda *_, **__: (_ for _ in ()).throw(UserError("no answer"))  # type: ignore
    with pytest.raises(UserError, match="no answer"):
        loop.turn()


def test_frozen_it_only_checks(loop: Loop, capsys: pytest.CaptureFixture[str]) -> None:
    decide.freeze(loop.project, ["--reason=an audit"])
    loop.verdicts = ["act"]
    loop.turn()
    said = capsys.readouterr().out
    assert "an audit; nothing else is done.\n" in said
    assert loop.retrained == []
    assert [event for event, _ in loop.events()] == ["check", "notify"]
    decide.freeze(loop.project, ["--off=1"])
    loop.turn()
    assert loop.retrained == [("act", TODAY)]


def test_two_turns_at_once_are_one(loop: Loop) -> None:
    begun, over = threading.Event(), threading.Event()
    check = loop.check

    def wait(*args: Any, **options: Any) -> dict[str, Any]:
        begun.set()
        over.wait(30)
        return check(*args, **options)

    loop.check = wait  # type: ignore[method-assign]
    first = threading.Thread(target=loop.turn)
    first.start()
    assert begun.wait(30)
    with pytest.raises(UserError, match="another turn or retraining is at work"):
        loop.turn()
    over.set()
    first.join()
    assert len(loop.retrained) == 1
    loop.turn()
    assert len(loop.retrained) == 2


def test_a_freeze_is_recorded_once_and_needs_a_reason(
    project: Project, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match="give a reason"):
        decide.freeze(project, [])
    decide.freeze(project, ["--off=1"])
    for _ in range(2):
        decide.freeze(project, ["--reason=an audit"])
    frozen = decide.find_freeze(project)
    assert frozen and frozen.reason == "an audit"
    decide.freeze(project, ["--off=1"])
    assert decide.find_freeze(project) is None
    assert [entry.event for entry in history.read(project)] == ["freeze", "unfreeze"]
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Nothing is frozen."
    assert lines[2] == decide.describe(frozen)
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{project.root}/not there/history.db")
    with pytest.raises(UserError, match="the history cannot be read"):
        decide.freeze(project, ["--reason=an audit"])


def test_the_day_of_a_turn_is_given_or_today() -> None:
    days: list[date] = []

    def take(today: date) -> dict[str, Any]:
        days.append(today)
        return {}

    turn.main(take, ["--TODAY=2024-05-05"])
    turn.main(take, [])
    assert days == [TODAY, turn.now().date()]
    with pytest.raises(UserError, match=r"TODAY=5\.5\.: no date"):
        turn.main(take, ["--TODAY=5.5."])
