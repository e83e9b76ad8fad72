"""A project's own tests: green for every legal params.yaml, red for a broken model."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from helpers import BIN, render, run
from sklearn import datasets

TESTS = ("tests/test_data.py", "tests/test_features.py", "tests/test_model.py")
KINDS = ("lightgbm", "random_forest", "linear")
RATES = (0.06145, 0.1, 0.3)
LEAST = {
    "train.max_trees": 1,
    "train.learning_rate": 1e-6,
    "train.lightgbm.num_leaves": 2,
    "train.lightgbm.min_child_samples": 1,
    "train.lightgbm.early_stopping_rounds": 1,
    "train.lightgbm.folds": 2,
    "train.random_forest.trees": 1,
    "train.random_forest.min_samples_leaf": 1,
    "train.linear.alpha": 0.0,
    "train.threads": 0,
    "featurize.check_rows": 1,
}
MOST = {
    "train.max_trees": 100_000,
    "train.learning_rate": 1_000.0,
    "train.lightgbm.num_leaves": 5_000,
    "train.lightgbm.min_child_samples": 1_000,
    "train.lightgbm.early_stopping_rounds": 5_000,
    "train.lightgbm.folds": 1_000,
    "train.random_forest.trees": 10_000,
    "train.random_forest.min_samples_leaf": 100_000,
    "train.linear.alpha": 1e9,
    "train.threads": 2,
    "featurize.check_rows": 100_000,
}
LIGHTGBM = [
    {"train.max_trees": 1},
    {"train.lightgbm.num_leaves": 2},
    {"train.lightgbm.min_child_samples": 1_000},
    {"train.lightgbm.num_leaves": 5_000, "train.lightgbm.min_child_samples": 1},
]
BROKEN = {
    "shuffled_features": ["it_beats_the_baseline", "it_can_learn_ten_rows_by_heart"],
    "constant_features": ["it_beats_the_baseline", "its_loss_falls"],
    "constant_predictions": ["it_beats_the_baseline", "it_can_learn_ten_rows_by_heart"],
    "leaked_outcome": [
        "it_learns_nothing_from_a_shuffled_target",
        "what_is_known_only_afterwards_does_not_matter",
    ],
    "reversed_scores": ["it_behaves_as_declared"],
    "no_seed": ["the_same_rows_give_the_same_model"],
    "forgotten_estimator": ["a_saved_model_predicts_the_same"],
    "scaled_by_batch": ["one_row_is_predicted_as_in_a_batch"],
    "unknown_is_nothing": ["unknown_categories_and_missing_values_are_survived"],
    "split_by_chance": ["splits_follow_each_other_in_time"],
    "few_rows_kept": ["most_rows_with_a_target_are_used"],
    "target_of_an_input": ["no_feature_is_the_target_in_disguise"],
}


def name(values: dict[str, Any]) -> str:
    """The name of a case."""
    return "-".join(f"{key.split('.')[-1]}={value}" for key, value in values.items())


def hold(
    project: Path, *cases: dict[str, Any], outcomes: str = "FAILED|ERROR"
) -> dict[str, set[str]]:
    """Run the project's own tests once for each case; returns the names of those that failed."""
    named = json.dumps({name(case)[:80]: case for case in cases})
    command = [
        BIN / "python",
        "-m",
        "pytest",
        "-q",
        "-rfE",
        "--tb=short",
        "-p",
        "own_cases",
        *TESTS,
    ]
    path = f"{project / 'src'}:{Path(__file__).parents[1]}"
    done = run(project, *command, succeeds=None, PYTHONPATH=path, OWN_CASES=named)
    assert re.search(r"\d+ passed", done.stdout), done.stdout
    failed: dict[str, set[str]] = {}
    for test, case in re.findall(
        rf"^(?:{outcomes}) .*::test_(\w+)\[(.*?)\]", done.stdout, re.MULTILINE
    ):
        failed.setdefault(case, set()).add(test)
    return failed


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return render(tmp_path_factory.mktemp("own"))


def test_they_are_green_for_every_legal_parameter(project: Path) -> None:
    seeds = [
        {"train.model": KINDS[seed % len(KINDS)], "seed": seed, "train.learning_rate": rate}
        for seed, rate in enumerate(RATES)
    ]
    extremes = [{"train.model": kind, **values} for kind in KINDS for values in (LEAST, MOST)]
    assert hold(project, *seeds, *extremes, *LIGHTGBM) == {}


def test_they_are_red_for_a_broken_project(project: Path) -> None:
    failed = hold(project, *({"broken": broken} for broken in BROKEN), outcomes="FAILED")
    missed = {
        broken: set(tests) - failed.get(f"broken={broken}", set())
        for broken, tests in BROKEN.items()
    }
    assert {broken: tests for broken, tests in missed.items() if tests} == {}, failed


@pytest.mark.parametrize("table", ["breast_cancer"])
def test_they_are_green_for_an_adopted_table_of_classes(
    table: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, python = render(tmp_path), BIN / "python"
    monkeypatch.setenv("PATH", str(BIN), prepend=":")
    getattr(datasets, f"load_{table}")(as_frame=True).frame.to_csv(tmp_path / "table.csv")
    adopt = ["adopt", "--data", tmp_path / "table.csv", "--target", "target"]
    run(project, python, "-m", "my_project", *adopt, "--task", "classification")
    run(project, python, "-m", "my_project.data.ingest")
    cases = [{"train.model": kind, "train.class_weight": "balanced"} for kind in KINDS[1:]]
    cases += [{"train.model": KINDS[0], **values} for values in (LEAST, MOST)]
    cases.append({"train.model": KINDS[0], "generated": True})
    if table == "breast_cancer":
        cases += [{"train.model": KINDS[0], "train.threshold": cut} for cut in (0.001,)]
    assert hold(project, *cases) == {}
