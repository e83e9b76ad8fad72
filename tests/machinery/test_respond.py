"""Responses: a collapse after a release is rolled back, and what is missing upstream is named."""

from datetime import date, timedelta
from typing import Any

import polars as pl
import pytest
from mlops_loop.commands.promote import promote
from mlops_loop.files import read_json
from mlops_loop.monitoring.params import Responses
from mlops_loop.monitoring.respond import Situation, find_usual, impute, roll_back
from mlops_loop.project import UserError
from mlops_loop.tracking import history
from mlops_loop.tracking.registry import Registry
from projects import Project, offer, registry_of

START = date(2024, 5, 1)
TODAY = START + timedelta(days=4)
RATIOS = (1.0, 1.0, 2.0, 2.0)  # of observed over expected loss: a release on the third day
OPTIONS = Responses(rollback_above=1.5, impute_above=0.3)


def checked(ratios: tuple[float, ...] = RATIOS, version: int = 2, **changes: Any) -> dict[str, Any]:
    """The content of a check of some days."""
    days = [str(START + timedelta(days=number)) for number in range(len(ratios))]
    by_day = [
        {"day": day, "rows": 100, "observed": 3.0 * ratio, "expected": 3.0}
        for day, ratio in zip(days, ratios, strict=True)
    ]
    return {
        "status": "act",
        "version": str(version),
        "loss": {"reference": 3.0, "by_day": by_day},
        "days": {"first": days[0], "last": days[-1]},
        "columns": [],
    } | changes


def record_checks(project: Project, *versions: int) -> None:
    """The checks of the days before today, a version each."""
    for number, version in enumerate(versions):
        day = TODAY - timedelta(days=len(versions) - number)
        history.append(project, "check", by="loop", reason="healthy", version=version, day=day)


def situation(registry: Registry, **changes: Any) -> Situation:
    """The situation of today; the version before lost what was expected."""
    asked: list[date] = []

    def check_previous(since: date) -> dict[str, Any]:
        asked.append(since)
        return checked((1.0,) * len(RATIOS), version=1)

    known = {
        "registry": registry,
        "options": OPTIONS,
        "content": checked(),
        "checks": history.read(registry.paths, "check"),
        "today": TODAY,
        "check_previous": check_previous,
    }
    return Situation(**known | changes)


@pytest.fixture
def registry(trained: Project) -> Registry:
    """Version 2 took the place of version 1 on the third day."""
    offer(trained, "worse")
    offer(trained, "better")
    record_checks(trained, 1, 1, 1, 2)
    return registry_of(trained)


def test_a_collapse_after_a_release_is_rolled_back_once(
    registry: Registry, trained: Project
) -> None:
    found = situation(registry)
    said = roll_back(found)
    assert registry.aliases() == {"champion": 1}
    [entry] = history.read(trained, "rollback")
    assert (entry.by, entry.version, entry.reason) == ("loop", 1, said)
    tags = registry.find(2).tags
    data = tags["data_version"][:8]
    assert tags["overruled"] == said and tags["archived"]
    assert said == (
        f"the loss of version 2 (commit none, data {data}) is 2.00 times that expected, or of its "
        f"reference, on 200 rows since 2024-05-03, and 2.00 times that of version 1 (commit none, data {data})"
    )
    assert roll_back(found) is None, "the check was about another champion"
    promote(registry, "2", "Ada", "it was the data")
    assert registry.aliases() == {"champion": 2, "previous": 1}
    promote(registry, "1", "Ada", "no")
    assert registry.aliases() == {"champion": 1, "previous": 2}
    promote(registry, "previous", "Ada", "a slip")
    assert registry.aliases() == {"champion": 2, "previous": 1}
    assert roll_back(situation(registry)) is None, "no rollback follows another"


@pytest.mark.parametrize("step", ["unpoint", "tag", "point"])
def test_a_rollback_that_was_killed_is_completed_by_the_next_turn(
    step: str, registry: Registry, trained: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Registry, step, killed)
        with pytest.raises(KeyboardInterrupt):
            roll_back(situation(registry))
    assert registry.aliases()["champion"] == 2
    assert roll_back(situation(registry))
    assert registry.aliases() == {"champion": 1}
    assert len(history.read(trained, "rollback")) == 1
    assert roll_back(situation(registry, content=checked(version=1))) is None


def refuse(_: date) -> dict[str, Any]:
    """A version of an older template cannot be checked."""
    raise UserError("version 1 carries no reference profile")


@pytest.mark.parametrize(
    "changes",
    [
        {"content": checked(status="watch")},
        {"content": checked(version=3)},
        {"content": checked((2.0, 2.0, 1.0, 1.0))},  # before the release
        {"content": {name: value for name, value in checked().items() if name != "loss"}},
        {"content": checked((1.0, 1.0, 1.4, 1.4))},
        {"content": checked((1.0, 1.0, 2.0))},  # too few rows
        {"options": OPTIONS.model_copy(update={"rollback_above": None})},
        {"options": OPTIONS.model_copy(update={"rollback_above": 2.1})},
        {"check_previous": lambda since: checked((1.85,) * 4, version=1)},  # drift
        {"check_previous": lambda since: {"status": "healthy"}},
        {"check_previous": refuse},
        {"today": TODAY + timedelta(days=30)},  # an old release
    ],
)
def test_other_evidence_rolls_nothing_back(
    changes: dict[str, Any], project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    record_checks(project, 1, 1, 1, 2)

    class Champions:
        """A registry in which version 2 has taken the place of version 1."""

        paths = project
        aliases = staticmethod(lambda: {"champion": 2, "previous": 1})
        history = staticmethod(lambda: [{"event": "promote", "version": 2, "by": "gate"}])

    some: Any = Champions()
    with monkeypatch.context() as patch:
        patch.setattr("mlops_loop.monitoring.respond.LEAST_ROWS", 150)
        assert roll_back(situation(some, **changes)) is None


def test_rows_are_judged_from_the_first_check_where_no_other_champion_was_checked(
    registry: Registry, trained: Project
) -> None:
    trained.history.unlink()
    said = roll_back(situation(registry, content=checked((2.0,) * 4)))
    assert said and "on 400 rows since 2024-05-01" in said


def test_what_many_rows_lack_is_imputed_until_they_have_it_again(
    registry: Registry, trained: Project
) -> None:
    def lacking(**shares: float) -> dict[str, Any]:
        columns = [
            {"column": name, "missing": share, "reference_shares": [0.95, 0.05]}
            for name, share in shares.items()
        ]
        return checked(columns=columns)

    raw = pl.concat(map(pl.read_parquet, sorted((trained.interim / "train").glob("*.parquet"))))
    found = situation(registry, content=lacking(shop=0.4, items=0.9, size=0.5, weekday=0.34))
    said = impute(found)
    values = read_json(trained.served / "imputed.json")
    assert values.keys() == {"2"}, "of the champion alone"
    assert values["2"].keys() == {"shop", "items"}, "others are no nullable columns of a request"
    assert values["2"]["items"] == pytest.approx(raw["items"].median(), abs=1)
    assert values["2"]["shop"] in ("north", "south", "east")
    told = f"shop: {values['2']['shop']}, items: {values['2']['items']}"
    assert said == (
        f"rows of 2024-05-04 lack shop (40%), items (90%), size (50%); imputed is {told}"
    )
    assert impute(found) is None, "it is told once"
    assert read_json(trained.served / "imputed.json") == values
    assert impute(situation(registry, content=checked(columns=[]))) is None, "nothing was checked"
    assert read_json(trained.served / "imputed.json") == values
    again = impute(situation(registry, content=lacking(shop=0.05, items=0.3)))
    assert again == "rows of 2024-05-04 lack nothing; imputed is nothing"
    assert read_json(trained.served / "imputed.json") == {}
    assert [(e.version, e.day) for e in history.read(trained, "respond")] == [(2, TODAY)] * 2


def test_booleans_and_all_kinds_of_columns_have_a_usual_value(
    registry: Registry, trained: Project
) -> None:
    some: Any = registry
    contract = registry.contract(registry.find(2))
    columns = [column.model_copy(update={"nullable": True}) for column in contract.columns]
    nullable = contract.model_copy(update={"columns": tuple(columns)})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(some), "contract", lambda *_: nullable)
        values = find_usual(some, registry.find(2), {"shop", "size", "express", "sold_at"})
    assert values.keys() == {"shop", "size", "express"}
    assert values["express"] is False
    assert 40 < values["size"] < 60
