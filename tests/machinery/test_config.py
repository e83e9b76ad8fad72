"""params.yaml and contract.yaml: closed, and every mistake is named by its path."""

from collections.abc import Callable
from datetime import date
from typing import Any

import pytest
from mlops_loop.commands import preflight
from mlops_loop.data.contract import load_contract
from mlops_loop.project import UserError, run
from project import PROJECT
from project.data import ingest
from project.params import load_params
from projects import Project
from ruamel.yaml import YAML


def refused(project: Project) -> str:
    """What a stage says about params.yaml and contract.yaml before it has written anything."""
    with pytest.raises(UserError) as refusal:
        ingest.main(project)
    assert not project.raw.exists()
    with pytest.raises(UserError, match="yaml"):
        preflight.main(project)
    return str(refusal.value)


def test_the_files_of_this_project_are_good() -> None:
    assert load_params(PROJECT.params).seed >= 0
    assert load_contract(PROJECT.contract).columns


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"train__trees": 3}, "params.yaml: train.trees: unknown key"),
        ({"train__max_trees": "many"}, "params.yaml: train.max_trees: Input should be a valid int"),
        ({"train__max_trees": 0}, "greater than or equal to 1 (found: 0)"),
        ({"train__model": "catboost"}, "'lightgbm', 'random_forest' or 'linear'"),
        ({"ingest": {"path": "x.csv"}}, "params.yaml: ingest.source: this key is missing."),
        ({"prepare": {"group": None}}, "params.yaml: prepare.test_from: this key is missing."),
        ({"prepare__test_from": "soon"}, "params.yaml: prepare.test_from: "),
        ({"evaluate": None}, "params.yaml: evaluate: "),
    ],
)
def test_a_wrong_parameter_is_named(project: Project, change: dict[str, Any], said: str) -> None:
    project.edit(sede=1, **change)
    sentences = refused(project)
    assert said in sentences
    assert "params.yaml: sede: unknown key" in sentences, "every mistake is named at once"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda c: c["columns"][2].update(dtype="Float"), "contract.yaml: columns.2.dtype: "),
        (lambda c: c["columns"][2].pop("role"), "columns.2.role: this key is missing."),
        (lambda c: c["columns"][2].update(maximum=3), "columns.2.maximum: unknown key"),
        (lambda c: c["columns"][2].update(nullable="no"), "columns.2.nullable: "),
        (lambda c: c["columns"][1].update(min=3), "column shop: a String has no min or max"),
        (lambda c: c["columns"][3].update(categories=["a"]), "column items: categories must be"),
        (lambda c: c["columns"].append(c["columns"][2]), "columns listed twice: size"),
        (lambda c: c["columns"][2].update(role="time"), "only one column may have role time"),
        (lambda c: c.pop("columns"), "contract.yaml: columns: this key is missing."),
    ],
)
def test_a_wrong_contract_is_named(
    project: Project, change: Callable[[dict[str, Any]], object], said: str
) -> None:
    content = YAML(typ="safe").load(project.contract.read_text())
    change(content)
    YAML(typ="safe").dump(content, project.contract)
    assert said in refused(project)


@pytest.mark.parametrize("name", ["params.yaml", "contract.yaml"])
def test_a_file_that_is_missing_empty_or_no_yaml_is_named(project: Project, name: str) -> None:
    (project.root / name).write_text("seed: [1")
    assert f"{name} is not valid YAML" in refused(project)
    (project.root / name).write_text("")
    assert f"{name}: (top level): " in refused(project)
    (project.root / name).unlink()
    assert f"{name} is missing from {project.root}" in refused(project)


def test_bare_dates_are_quoted_for_dvc_and_nothing_else_changes(project: Project) -> None:
    project.edit(prepare__test_from=date(2024, 2, 1))
    before = project.params.read_text()
    preflight.main(project)
    assert project.params.read_text() == before.replace("2024-02-01", '"2024-02-01"') != before
    assert load_params(project.params).prepare.test_from == date(2024, 2, 1)


def test_bare_dates_are_found_wherever_yaml_finds_them(project: Project) -> None:
    dates = 'a: {b: 2024-02-01, c: ["2024-02-01", 2024-03-01]} # 2024-02-01\n'
    project.params.write_text(dates)
    preflight.quote_dates(project.params)
    quoted = 'a: {b: "2024-02-01", c: ["2024-02-01", "2024-03-01"]} # 2024-02-01\n'
    assert project.params.read_text() == quoted


@pytest.mark.parametrize("code", [1, 2])
def test_a_command_ends_with_the_text_alone(
    project: Project, capsys: pytest.CaptureFixture[str], code: int
) -> None:
    project.edit(sede=1)
    with pytest.raises(SystemExit, match=str(code)):
        run(lambda: ingest.main(project), code)
    said = "error: params.yaml: sede: unknown key; remove it or correct its spelling.\n"
    assert capsys.readouterr() == ("", said)
