"""Promotion and rollback by hand: aliases move, the reason stays with the version."""

import sys

import pytest
from mlops_loop.commands import preflight, promote
from mlops_loop.files import read_json
from mlops_loop.models import summary
from mlops_loop.project import UserError, load_settings
from mlops_loop.tracking.registry import Registry
from projects import Project, offer, registry_of


@pytest.fixture
def registry(trained: Project) -> Registry:
    """Version 1 is the champion, version 2 the worse challenger."""
    offer(trained, "better")
    offer(trained, "worse")
    return registry_of(trained)


def test_a_promotion_moves_the_aliases_and_is_recorded(
    registry: Registry, trained: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["", "--version=2", "--reason=fairer to the north"])
    promote.main(trained)
    assert registry.aliases() == {"champion": 2, "previous": 1}
    settings, gate = load_settings(trained), read_json(trained.gate)
    assert not preflight.is_current(settings, gate), "the next training asks the gate again"
    assert preflight.is_current(settings, {**gate, "champion_version": 2})
    tags = registry.find("champion").tags
    assert (tags["decision"], tags["reason"]) == ("promote", "fairer to the north")
    assert tags["decided_by"]
    monkeypatch.setattr(sys, "argv", ["", "--reason=errors in the app"])
    promote.main(trained)
    assert registry.aliases() == {"champion": 1}, "once more would bring the wrong one back"
    assert registry.find(1).tags["reason"] == "errors in the app"


def test_what_a_person_took_back_no_gate_promotes_again(
    registry: Registry, trained: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["", "--version=2", "--reason=fairer to the north"])
    promote.main(trained)
    again = offer(trained, "better")
    assert (again["decision"], again["version"], again["alias"]) == ("hold", 1, None)
    assert summary.decision(trained)[0] == "  gate        hold: version 1 has no alias"
    assert again["reasons"][0] == "a person took this version back: fairer to the north"
    assert registry.aliases() == {"champion": 2, "previous": 1}
    assert registry.find(2).tags["reason"] == "fairer to the north"
    monkeypatch.setattr(sys, "argv", ["", "--version=1", "--reason=better after all"])
    promote.main(trained)
    assert offer(trained, "better")["reasons"] == ["it is the champion already"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--version=1", "--reason=x"], "version 1 is the champion already"),
        (["--version=7", "--reason=x"], "no version, alias or run 7"),
        (["--version=2"], "say why"),
        (["--version=2", "--reason= "], "say why"),
        (["--reason=x"], "there is no champion before this one"),
    ],
)
def test_what_cannot_be_moved_stays(
    arguments: list[str], words: str, registry: Registry, trained: Project
) -> None:
    before = registry.aliases()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["", *arguments])
        with pytest.raises(UserError, match=words):
            promote.main(trained)
    assert registry.aliases() == before == {"champion": 1, "challenger": 2}
