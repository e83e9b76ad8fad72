"""Promotion and rollback by hand: aliases move, the reason stays with the version."""

import pytest
from mlops_loop.commands import promote
from mlops_loop.models import summary
from mlops_loop.project import UserError
from mlops_loop.tracking.registry import Registry
from projects import Project, gate, offer, registry_of


@pytest.fixture
def registry(trained: Project) -> Registry:
    """Version 1 is the champion, version 2 the worse challenger."""
    offer(trained, "better")
    offer(trained, "worse")
    found = registry_of(trained)
    found.point("challenger", 2)
    return found


def test_a_promotion_moves_the_aliases_and_is_recorded(
    registry: Registry, trained: Project
) -> None:
    promote.main(trained, ["--version=2", "--reason=fairer to the north"])
    assert registry.aliases() == {"champion": 2, "previous": 1}
    assert not trained.gate.exists(), "the next training runs the gate again"
    tags = registry.find("champion").tags
    assert (tags["decision"], tags["reason"]) == ("promote", "fairer to the north")
    assert tags["decided_by"]
    promote.main(trained, ["--reason=errors in the app"])
    assert registry.aliases() == {"champion": 1}, "once more would bring the wrong one back"
    assert registry.find(1).tags["reason"] == "errors in the app"


def test_a_rollback_is_repeated_through_the_history(registry: Registry, trained: Project) -> None:
    promote.main(trained, ["--version=2", "--reason=fairer"])
    promote.main(trained, ["--version=1", "--reason=better"])
    assert registry.champions() == [1, 2, 1]
    promote.main(trained, ["--reason=first"])
    assert (registry.aliases(), registry.champions()) == ({"champion": 2, "previous": 1}, [1, 2])
    promote.main(trained, ["--reason=second"])
    assert registry.aliases() == {"champion": 1}
    with pytest.raises(UserError, match=r"versions that were champion: 1, 2\."):
        promote.main(trained, ["--reason=third"])
    moves = [(move["event"], move["version"], move["reason"]) for move in registry.history()]
    assert moves[1:] == [
        ("promote", 2, "fairer"),
        ("promote", 1, "better"),
        ("rollback", 2, "first"),
        ("rollback", 1, "second"),
    ]
    assert moves[0][:2] == ("promote", 1) and registry.history()[0]["by"] == "gate"


def test_training_after_a_rollback_reports_what_the_registry_holds(
    registry: Registry, trained: Project
) -> None:
    promote.main(trained, ["--version=2", "--reason=fairer"])
    promote.main(trained, ["--reason=latency"])
    again = offer(trained, "worse")
    assert (again["decision"], again["version"], again["alias"]) == ("hold", 2, None)
    assert again["reasons"][0] == "it was taken back: latency"
    assert registry.aliases() == {"champion": 1}


def test_what_a_person_took_back_no_gate_promotes_again(
    registry: Registry, trained: Project
) -> None:
    promote.main(trained, ["--version=2", "--reason=fairer to the north"])
    again = offer(trained, "better")
    assert (again["decision"], again["version"], again["alias"]) == ("hold", 1, None)
    assert summary.decision(gate(trained))[0] == "  gate        hold: version 1 has no alias"
    assert again["reasons"][0] == "it was taken back: fairer to the north"
    assert registry.aliases() == {"champion": 2, "previous": 1}
    assert registry.find(2).tags["reason"] == "fairer to the north"
    promote.main(trained, ["--version=1", "--reason=better after all"])
    assert offer(trained, "better")["reasons"] == ["it is the champion already"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--version=1", "--reason=x"], "version 1 is the champion already"),
        (["--version=7", "--reason=x"], "no version, alias or run 7"),
        (["--version=2"], "give a reason"),
        (["--version=2", "--reason= "], "give a reason"),
        (["--reason=x"], "there is no champion before this one"),
    ],
)
def test_what_cannot_be_moved_stays(
    arguments: list[str], words: str, registry: Registry, trained: Project
) -> None:
    before, tags = registry.aliases(), [version.tags for version in registry.versions()]
    with pytest.raises(UserError, match=words):
        promote.main(trained, arguments)
    assert registry.aliases() == before == {"champion": 1, "challenger": 2}
    assert [version.tags for version in registry.versions()] == tags
    assert trained.gate.exists()
