"""params.yaml and contract.yaml: closed, and every mistake is named by its path."""

from collections.abc import Callable
from typing import Any

import pytest
from mlops_loop.config import edit
from mlops_loop.data.contract import load_contract
from mlops_loop.project import UserError, run
from project import PROJECT
from project.data import ingest, validate
from project.params import load_params
from projects import PARAMS, Project
from ruamel.yaml import YAML

LINES = {line.split(":")[0].strip(): line for line in reversed(PARAMS.splitlines())}


def refused(project: Project) -> str:
    """The error of the first stage of the pipeline that refuses params.yaml or contract.yaml."""
    with pytest.raises(UserError) as refusal:
        ingest.main(project)
        validate.main(project)
    return str(refusal.value)


def test_the_files_of_this_project_are_good() -> None:
    assert load_params(PROJECT.params).seed >= 0
    assert load_contract(PROJECT.contract).columns


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"train__trees": 3}, "params.yaml: train.trees: unknown key"),
        ({"train__max_trees": "many"}, "params.yaml: train.max_trees: Input should be a valid int"),
        ({"train__max_trees": 0}, "greater than 0 (found: 0)"),
        (
            {"train__model": 3},
            "params.yaml: train.model: Input should be a valid string (found: 3)",
        ),
        ({"ingest": {"path": "x.csv"}}, "params.yaml: ingest.source: this key is missing."),
        ({"prepare": {"group": None}}, "params.yaml: prepare.test_from: this key is missing."),
        ({"prepare__test_from": "soon"}, "params.yaml: prepare.test_from: "),
        ({"evaluate": None}, "params.yaml: evaluate: "),
    ],
)
def test_a_wrong_parameter_is_named(project: Project, change: dict[str, Any], said: str) -> None:
    project.edit(sede=1, **change)
    sentences = refused(project)
    assert said in sentences and not project.raw.exists()
    assert "params.yaml: sede: unknown key" in sentences, "every mistake is named at once"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda c: c["columns"][2].update(dtype="Float"), "contract.yaml: columns.2.dtype: "),
        (lambda c: c["columns"][2].pop("role"), "columns.2.role: this key is missing."),
        (lambda c: c["columns"][2].update(maximum=3), "columns.2.maximum: unknown key"),
        (lambda c: c["columns"][2].update(nullable="no"), "columns.2.nullable: "),
        (lambda c: c["columns"][1].update(min=3), "column shop: min and max must be"),
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
    assert f"{name} cannot be read: while parsing" in refused(project)
    (project.root / name).write_text("")
    assert f"{name}: Input should be " in refused(project)
    (project.root / name).unlink()
    assert f"{name} cannot be read: [Errno 2] No such file" in refused(project)


def changes(project: Project, values: dict[str, Any]) -> tuple[list[str], list[str], list[str]]:
    """The lines of params.yaml that an edit removes and adds, and the keys that it does not find."""
    project.params.write_text(PARAMS.replace("group: null", "group: 'a b'  # ours"))
    before = project.params.read_text().splitlines()
    missing = edit(project.params, values)
    after = project.params.read_text().splitlines()
    gone = [line for line in before if line not in after]
    return gone, [line for line in after if line not in before], missing


def test_an_edit_changes_only_the_lines_of_its_keys(project: Project) -> None:
    assert changes(project, {}) == ([], [], [])
    assert project.params.read_text() == PARAMS.replace("group: null", "group: 'a b'  # ours")
    values = {"seed": 7, "train.learning_rate": 0.0625, "train.lightgbm.num_leaves": 31}
    gone, new, missing = changes(project, {**values, "train.threshold": None})
    assert gone == ["seed: 42", LINES["learning_rate"], "    num_leaves: 127"]
    rate = "  learning_rate: 0.0625     # of boosting"
    assert (new, missing) == (["seed: 7", rate, "    num_leaves: 31"], [])


def test_an_edit_of_a_section_keeps_the_comments_of_the_keys_that_stay(project: Project) -> None:
    gone, new, _ = changes(project, {"ingest": {"source": "file", "path": "data/external/sales"}})
    assert [line.split(":")[0].strip() for line in gone] == [
        *("source", "months", "rows_per_month", "base", "path", "address", "query", "increment")
    ]
    assert [line.partition("#")[2] for line in new] == [
        LINES[key].partition("#")[2] for key in ("source", "path")
    ]
    assert load_params(project.params).ingest.model_extra == {"path": "data/external/sales"}
    assert changes(project, {"register.bars": {}}) == ([], [], [])


def test_an_edit_adds_no_key(project: Project) -> None:
    gone, new, missing = changes(project, {"train.deep.layers": 3, "seed": 1, "train.sede": 1})
    assert (gone, new, missing) == (["seed: 42"], ["seed: 1"], ["train.deep.layers", "train.sede"])


@pytest.mark.parametrize("code", [1, 2])
def test_a_command_ends_with_the_text_alone(
    project: Project, capsys: pytest.CaptureFixture[str], code: int
) -> None:
    project.edit(sede=1)
    with pytest.raises(SystemExit, match=str(code)):
        run(lambda: ingest.main(project), code)
    said = "error: params.yaml: sede: unknown key; remove it or correct its spelling.\n"
    assert capsys.readouterr() == ("", said)
