"""docs/extend.md of a project: every edit of the page is made, and what comes of it is looked at."""

import json
import re
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from helpers import BIN, SOURCE, blocks, git, render, run
from projects import sales

PAGE = (SOURCE / "docs/extend.md").read_text(encoding="utf-8")


def patched(text: str, diff: str) -> str:
    """The text after a change of neighbouring lines, which stand in it once, maybe with a comment."""
    lines = [(line[:1], line[1:]) for line in diff.splitlines()]
    old = "".join(rf"({re.escape(line)}(?: +#.*)?\n)" for sign, line in lines if sign != "+")
    found = list(re.finditer(f"^{old}", text, re.MULTILINE))
    assert len(found) == 1, f"{len(found)} places for\n{diff}"
    groups = iter(found[0].groups())
    new = [(sign, f"{line}\n" if sign == "+" else next(groups)) for sign, line in lines]
    kept = "".join(line for sign, line in new if sign != "-")
    return text[: found[0].start()] + kept + text[found[0].end() :]


class Extended:
    """A project on a table of sales, to which the page is applied section by section."""

    def __init__(self, folder: Path) -> None:
        self.root = render(folder)
        sales().write_csv(folder / "sales.csv")
        self.python("-m", "my_project", "adopt", f"--DATA={folder}/sales.csv", "--TARGET=price")
        git(self.root, "add", "--all")
        git(self.root, "commit", "--quiet", "--no-verify", "--message", "Sales")

    def python(self, *arguments: str) -> None:
        """Run Python, with DVC on the path."""
        run(self.root, BIN / "python", *arguments)

    def edit(self, title: str) -> None:
        """Make the edits of a section; a `diff` changes lines of a file, a `python` block is one."""
        section = PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]
        for language, text in blocks(
            section.replace("{{ cookiecutter.package_name }}", "my_project")
        ):
            name, body = text.split("\n", maxsplit=1)
            path = self.root / name.removeprefix("# ")
            if language == "python":
                path.write_text(body.lstrip("\n"))
            elif language == "diff":
                path.write_text(patched(path.read_text(), body))

    def repro(self, *arguments: str, succeeds: bool = True) -> str:
        """Run the pipeline, or a part of it; returns what was printed."""
        return run(self.root, BIN / "dvc", "repro", *arguments, succeeds=succeeds).stdout

    def report(self, name: str) -> Any:
        """The content of a file of reports/."""
        return json.loads((self.root / "reports" / name).read_text())

    def training(self) -> Any:
        """The report of the last training."""
        return json.loads((self.root / "models/training.json").read_text())

    def raw(self) -> pl.DataFrame:
        """The rows of the source."""
        return pl.read_parquet(self.root / "data/raw/sales.parquet")


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(BIN), prepend=":")
        project = Extended(tmp_path_factory.mktemp("extended"))
        sections = ("A feature", "A check of the data", "A fitted feature", "A metric", "A stage")
        for title in sections:
            project.edit(title)
        project.repro("summarize", "evaluate")
        yield project


def test_a_feature_reaches_the_model(extended: Extended) -> None:
    assert {"volume", "shop_mean"} <= extended.report("explanations.json")["importance"].keys()


def test_a_check_names_what_breaks_it(extended: Extended) -> None:
    [raw] = (extended.root / "data/raw").glob("*.parquet")
    good = raw.read_bytes()
    rows = pl.read_parquet(raw)
    seventh = pl.when(pl.int_range(pl.len()) == 6)
    dear = {
        "price": seventh.then(150.0).otherwise("price"),
        "items": seventh.then(1).otherwise("items"),
    }
    rows.with_columns(**dear).write_parquet(raw)
    said = run(extended.root, BIN / "python", "-m", "my_project.data.validate", succeeds=False)
    raw.write_bytes(good)
    assert "an item costs less than 100" in said.stdout
    [violation] = extended.report("validation.json")["violations"]
    assert (violation["rule"], violation["count"]) == ("an item costs less than 100", 1)
    assert violation["example"].startswith("row 7")


def test_a_fitted_feature_is_learned_on_train_out_of_fold(extended: Extended) -> None:
    train, test = (
        pl.read_parquet(extended.root / f"data/processed/{split}/*.parquet").drop_nulls("shop")
        for split in ("train", "test")
    )
    of_shops = {key: rows["shop_mean"].unique() for (key,), rows in test.group_by("shop")}
    assert {shop: len(values) for shop, values in of_shops.items()} == dict.fromkeys(of_shops, 1)
    south = train.filter(pl.col("shop") == "south")
    assert south["shop_mean"].n_unique() == 5
    assert of_shops["south"][0] == pytest.approx(south["price"].mean(), rel=0.1)


def test_a_metric_is_reported_with_its_interval(extended: Extended) -> None:
    metrics = extended.report("metrics.json")
    low, high = metrics["intervals"]["median_error"]
    assert low <= metrics["test"]["median_error"] <= high
    assert metrics["test"]["median_error"] < metrics["baseline"]["median_error"]


def test_a_stage_writes_its_report(extended: Extended) -> None:
    rows = pl.read_parquet(extended.root / "data/processed/train/*.parquet")
    assert extended.report("features.json")["volume"] == rows["volume"].quantile(0.9)


def test_a_source_is_read_and_read_again(extended: Extended) -> None:
    path = extended.root / "data/external/sales.jsonl"
    rows = sales(rows=900).with_columns(pl.col("sold_at").dt.to_string("%FT%T%.6f"))
    rows.write_ndjson(path)
    extended.edit("A source")
    extended.repro("ingest")
    assert extended.raw().height == 900
    rows[:800].write_ndjson(path)
    extended.repro("ingest")
    assert extended.raw().height == 800


def test_another_target_is_learned_by_another_estimator(extended: Extended) -> None:
    extended.edit("Another target")
    extended.edit("Another estimator")
    extended.repro("evaluate")
    metrics = extended.report("metrics.json")
    assert metrics["task"] == "binary"
    assert metrics["test"]["log_loss"] < metrics["baseline"]["log_loss"]
    assert "shop_share" in extended.report("explanations.json")["importance"]
    assert (
        extended.training()["model"] == "sklearn.discriminant_analysis.LinearDiscriminantAnalysis"
    )


def test_a_kind_of_estimator_is_fitted(extended: Extended) -> None:
    params = extended.root / "params.yaml"
    params.write_text(
        params.read_text().replace(
            "sklearn.discriminant_analysis.LinearDiscriminantAnalysis\n", "extra_trees\n"
        )
    )
    extended.python("-m", "my_project.models.train")
    assert extended.training()["model"] == "extra_trees"


def test_the_edits_are_as_the_commit_gate_wants_them(extended: Extended) -> None:
    run(extended.root, BIN / "ruff", "check", "src/my_project")
    run(extended.root, BIN / "isort", "--check", "src/my_project")
    run(extended.root, BIN / "black", "--check", "--quiet", "src/my_project")
