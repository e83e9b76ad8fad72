"""`make explain`: what moves a version's answers, in the test split or in a file, row by row."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from ..console import aligned, working
from ..data.contract import Contract, add_nullable, load_contract
from ..data.tables import read_table
from ..files import partitions, replaced, rounded, write_json
from ..models.bootstrap import Predictions, outcome
from ..models.explanations import (
    affordable,
    contributions,
    explanation,
    has_trees,
    is_additive,
    unit,
)
from ..models.model import Model
from ..models.slices import Judging, read_declared, report
from ..models.types import Floats
from ..project import Paths, UserError, load_settings
from .predict import check_free, check_output, predict, print_errors, write

if TYPE_CHECKING:
    from ..tracking.registry import Version

ROWS_AND_TREES, MOST_ROWS = 100_000, 2_000
LISTED = 10


def explain_rows(frame: pl.DataFrame, model: Model, contract: Contract) -> pl.DataFrame:
    """Add what `predict` adds, `base` and `contribution_<feature>`; null in rows with an error.

    Raises UserError as `predict` does, and for a model whose answers cannot be divided.
    """
    if not is_additive(model):
        raise UserError(
            "a forest's answers cannot be divided exactly among the features; set train.model: "
            "lightgbm or linear, or leave out INPUT and OUTPUT to see what it looks at in all rows."
        )
    check_free(frame.columns, _columns(model))
    scored = predict(frame, model, contract)
    good = scored["error"].is_null()
    table = add_nullable(frame.filter(good), contract)
    features = model.compute(contract.read(table, model.inputs))
    values = np.full((frame.height, len(_columns(model))), np.nan)
    values[good.to_numpy()] = contributions(model, model.encoder.encode(features))
    return scored.hstack(tabled(model, values).fill_nan(None))


def tabled(model: Model, values: Floats) -> pl.DataFrame:
    """Contributions as `base` and `contribution_<feature>`."""
    return pl.DataFrame(np.roll(values, 1, axis=1), schema=_columns(model), orient="row")


def _columns(model: Model) -> list[str]:
    return ["base", *(f"contribution_{name}" for name in model.encoder.names)]


def read_test(paths: Paths, model: Model, version: "Version") -> pl.DataFrame:
    """The rows of data/interim/test; raises UserError where they do not suit the model."""
    folder = paths.interim / "test"
    if not partitions(folder):
        raise UserError("data/interim/test holds no rows; run `make data` first.")
    rows = pl.read_parquet(folder / "*.parquet")
    if model.target not in rows.columns:
        raise UserError(
            f"{version} predicts {model.target}, which data/interim/test does not hold; run "
            f"`make data` at its commit, {version.tags['git_commit']}."
        )
    return rows


def explain_version(
    paths: Paths, model: Model, version: "Version", judging: Judging, seed: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Write reports/explain from the test rows; returns explanation and slices."""
    from ..models import plots

    rows, contract = read_test(paths, model, version), load_contract(paths.contract)
    test = model.compute(rows).with_columns(rows[model.target])
    ours = outcome(model, test[model.target], model.score_features(test))
    with replaced(paths.explained) as folder:
        folder.mkdir(parents=True)
        values = write_contributions(folder, test, model, ours, seed)
        found = explanation(test, model, judging.scoring, seed, values)
        if values is None:
            plots.save(plots.importances(found), folder / "summary.png")
        plots.save(plots.dependences(found, model), folder / "dependence.png")
        sliced, features = read_declared(paths, contract), test.select(*found["importance"])
        groups = report(sliced, features, ours, contract, judging)
        contents = {**found, "slices": groups}
        for name in ("importance", "dependence", "slices"):
            write_json(folder / f"{name}.json", rounded(contents[name]))
    return found, groups


def write_contributions(
    folder: Path, test: pl.DataFrame, model: Model, rows: Predictions, seed: int
) -> Floats | None:
    """Write the contributions of some rows and a picture of them, if the model has any."""
    from ..models import plots

    if not has_trees(model):
        return None
    numbers = affordable(test.height, model, ROWS_AND_TREES, MOST_ROWS, seed)
    matrix = model.encoder.encode(test[numbers])
    values = contributions(model, matrix)
    given = {"row": numbers, "prediction": model.label(rows.scores[numbers])}
    pl.DataFrame(given).hstack(tabled(model, values)).write_parquet(
        folder / "contributions.parquet"
    )
    plots.save(plots.beeswarm(values, matrix, model, unit(model)), folder / "summary.png")
    return values


def said(found: dict[str, Any], groups: dict[str, Any]) -> list[str]:
    """What the model looks at, where it is worst and whom it serves worst, as tables."""
    top = [(name, _f(value)) for name, value in found["importance"].items()][:LISTED]
    slices = [(w["slice"], f"{w['rows']:,}", _f(w["value"]), _i(w)) for w in groups["worst"]]
    gaps = [
        (g["column"], g["metric"], _f(g["gap"]), _i(g), f"{g['highest']} over {g['lowest']}")
        for g in groups["fairness"]
    ]
    tables: list[list[tuple[str, ...]]] = [
        [("feature", f"{found['method']}, {found['unit']}"), *top],
        [("worst slices", "rows", groups["metric"], "interval"), *slices],
        [("fairness", "metric", "gap", "interval", "groups"), *gaps],
    ]
    return [line for table in tables if len(table) > 1 for line in ("", *aligned(table))]


def _f(value: float) -> str:
    return f"{value:.4g}"


def _i(row: dict[str, Any]) -> str:
    return " to ".join(map(_f, row["interval"]))


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The arguments as make passes them on; blank ones are as good as none."""
    parser = argparse.ArgumentParser(prog="make explain")
    for name in ("version", "input", "output"):
        parser.add_argument(f"--{name}", type=lambda value: value or None)
    given = parser.parse_args(arguments)
    if bool(given.input) != bool(given.output):
        raise UserError("name both files: make explain INPUT=new.csv OUTPUT=explained.parquet")
    return given


def main(paths: Paths, judging: Judging, seed: int, arguments: Sequence[str]) -> None:
    """Explain VERSION on the rows of INPUT, or on the test rows into reports/explain."""
    asked = parse(arguments)
    if asked.input:
        check_output(Path(asked.output), Path(asked.input))
        table = read_table(Path(asked.input))
    from ..tracking import registry as tracking

    registry = tracking.connect(paths, load_settings(paths))
    version = registry.find(asked.version or "champion")
    model = registry.load(asked.version or "champion")
    if asked.input:
        explained = explain_rows(table, model, load_contract(paths.contract))
        write(explained.lazy(), Path(asked.output))
        print_errors(explained.lazy(), Path(asked.output), f"explained by {version}")
        return
    with working("explain"):
        found, groups = explain_version(paths, model, version, judging, seed)
    registry.attach(version.run_id, paths.explained)
    print(f"  {version}: explained on {found['rows']} test rows in reports/explain, and its run")
    print("\n".join(said(found, groups)))
