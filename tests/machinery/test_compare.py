"""Two versions side by side: what differs, and how they do on the same rows."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from mlops_loop.commands import compare
from mlops_loop.files import write_json
from mlops_loop.models.bootstrap import Predictions
from mlops_loop.models.model import load
from mlops_loop.models.slices import Judging
from mlops_loop.project import UserError
from project.models import register
from project.models.metrics import judging
from project.params import load_params
from projects import Project, offer, registry_of


@pytest.fixture
def two(trained: Project) -> Project:
    """A project whose champion is version 1 and whose worse version is 2."""
    register.main(trained)
    assert offer(trained, "worse")["decision"] == "hold"
    return trained


def judged_by(project: Project) -> Judging:
    """The metrics and bootstrap of the comparison."""
    params = load_params(project.params)
    return judging(params, params.registration)


def sections(project: Project, a: str, b: str = "") -> dict[str, str]:
    """The parts of a comparison by their titles."""
    text = compare.compare(registry_of(project), a, b, project, judged_by(project))
    parts = (part.partition("\n") for part in text.split("\n## ")[1:])
    return {title: content for title, _, content in parts}


def rows(section: str) -> list[tuple[str, ...]]:
    """The rows of its table, without the header."""
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [tuple(cell.strip() for cell in line.split("|")[1:-1]) for line in lines[2:]]


def test_what_differs_and_what_got_worse_is_listed(two: Project) -> None:
    found = sections(two, "champion")
    assert rows(found["Parameters"]) == [("trees", "40", "3")]
    assert found["Features"].strip() == "nothing differs"
    test = pl.read_parquet(two.interim / "test" / "*.parquet")
    errors = [
        (load(two.root / name / "models" / "candidate").predict(test) - test["euros"].to_numpy())
        for name in ("better", "worse")
    ]
    one, other = (abs(error).mean() for error in errors)
    [mae] = [row for row in rows(found["Metrics"]) if row[0] == "mae"]
    assert mae[1:3] == (f"{one:.4g}", f"{other:.4g}")
    assert mae[3].startswith(f"worse by {other - one:.4g} (")
    assert {row[-1].split()[0] for row in rows(found["Metrics"])} == {"worse"}
    assert sections(two, "2", "1") == sections(two, "1", "2"), "the older version comes first"


def test_only_slices_with_enough_rows_that_got_worse_are_listed(two: Project) -> None:
    test = pl.read_parquet(two.interim / "test" / "*.parquet")
    north = test.select((pl.col("shop") == "north").fill_null(False)).to_series().to_numpy()
    right = Predictions(
        test["euros"].to_numpy(), test["euros"].to_numpy(), test["euros"].to_numpy()
    )
    wrong = replace(right, scores=right.scores + np.where(north, 5.0, 0.0))
    declared = test.select("shop", "express")

    def worse(min_rows: int) -> str:
        two.edit(evaluate__slices__min_rows=min_rows)
        return compare.worse_slices(("",) * 4, (right, wrong), declared, judged_by(two))

    listed = worse(30)
    assert (f"shop = north ({north.sum()} rows)", "0", "5", "worse by 5 (5 to 5)") in rows(listed)
    names = [row[0].partition(" (")[0] for row in rows(listed)]
    assert sorted(names) == ["express = false", "express = true", "shop = north"]
    assert "rmse in 3 of 5 groups; 1 have too few rows to judge" in listed
    assert rows(worse(1_000)) == []


def test_a_run_is_compared_as_a_version_is(two: Project) -> None:
    by_run = registry_of(two).find("2").run_id
    by_number = sections(two, "1", "2")["Metrics"]
    assert rows(sections(two, "1", by_run)["Metrics"]) == rows(by_number) != []


def test_the_other_version_is_the_challenger_else_the_newest(two: Project) -> None:
    registry = registry_of(two)
    registry.point("challenger", 2)
    assert compare.find_opponent(registry, registry.find("champion")).number == 2
    assert compare.find_opponent(registry, registry.find("challenger")).number == 1
    registry.unpoint("challenger")
    assert compare.find_opponent(registry, registry.find("champion")).number == 2


def test_what_cannot_be_compared_is_said(trained: Project) -> None:
    register.main(trained)
    for a, b, said in (
        ("1", "", "there is nothing to compare version 1 with"),
        ("1", "champion", "A and B are both version 1"),
        ("1", "7", "no version, alias or run 7 .* there are the versions 1"),
    ):
        with pytest.raises(UserError, match=said):
            sections(trained, a, b)


def test_without_test_rows_the_origins_are_compared(two: Project) -> None:
    [path] = (two.interim / "test").iterdir()
    path.unlink()
    found = sections(two, "1")
    assert rows(found["Parameters"]) == [("trees", "40", "3")]
    assert "run `make data` first" in found["Metrics"]


def test_models_of_different_questions_share_their_origin_only(trained: Project) -> None:
    register.main(trained)
    trained.put_model("worse")
    trained.ask_otherwise("dollars")
    register.main(trained)
    found = sections(trained, "1", "2")
    assert rows(found["Parameters"]) == [("trees", "40", "3")]
    assert rows(found["Metrics"]) == []
    assert "one predicts euros (regression), the other dollars" in found["Metrics"]


def test_rows_that_a_model_may_have_seen_are_mentioned(two: Project) -> None:
    assert "Data" not in sections(two, "1", "2")
    outs = [{"path": "data/raw", "md5": "abc.dir"}]
    write_json(two.dvc_lock, {"stages": {"ingest": {"outs": outs}}})
    assert "version 1 and version 2: trained on other" in sections(two, "1", "2")["Data"]


def test_features_are_told_apart_by_their_expressions(trained: Project) -> None:
    model = load(trained.candidate)
    _, *others = model.features
    changed = replace(
        model, features=(*others[1:], pl.col("size").sqrt().alias("size"), pl.col("a"))
    )
    assert compare.differing(compare.features(model), compare.features(changed)) == [
        ("shop", 'col("shop")', "-"),
        ("size", 'col("size")', 'col("size").sqrt().alias("size")'),
        ("a", "-", 'col("a")'),
    ]


def test_the_comparison_is_printed_and_written(
    two: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    compare.main(two, judged_by(two), ["--a", "2", "--b", "champion"])
    printed = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    written = (two.root / "reports/comparison.md").read_text()
    assert printed[0] == "Version 1 and version 2"
    assert {"nothing differs", "trees 40 3"} <= set(printed)
    assert (
        "\n## Parameters\n\n|  | version 1 | version 2 |\n|---|---|---|\n| trees | 40 |" in written
    )
