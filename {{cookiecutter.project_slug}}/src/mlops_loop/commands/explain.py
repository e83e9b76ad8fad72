"""`make explain`: importance, dependence and worst slices of a version, or each row of a file."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from ..console import Arguments, Row, aligned, figure, interval, parse, working
from ..data.contract import Contract, add_nullable, load_contract
from ..data.tables import read_table
from ..files import Content, partitions, replaced, rounded, write_json
from ..models.bootstrap import outcome
from ..models.explanations import contributions, explanation
from ..models.model import Model
from ..models.slices import Judging, read_declared, report
from ..project import Paths, UserError
from ..tracking import open_registry
from .predict import check_free, check_output, predict, print_errors, write

if TYPE_CHECKING:
    from ..tracking.registry import Version

ROWS_AND_TREES, LISTED = 100_000, 10  # of a version more than of each training
GAPS = ("fairness", "metric", "gap", "interval", "lowest", "highest")


def explain_rows(frame: pl.DataFrame, model: Model, contract: Contract) -> pl.DataFrame:
    """Add what `predict` adds, `base` and `contribution_<feature>`; null in rows with an error.

    Raises UserError as `predict` does, and for a model without exact contributions.
    """
    if not model.estimator.is_additive:
        raise UserError(
            f"{type(model.estimator.fitted).__name__} has no exact contributions of its features. "
            "Leave out INPUT and OUTPUT for the importance over all rows, or train boosted trees "
            "or a linear model."
        )
    scored = predict(frame, model, contract)
    good = scored["error"].is_null()
    table = add_nullable(frame.filter(good), contract)
    features = model.compute(contract.read(table, model.inputs))
    names = [*(f"contribution_{name}" for name in model.encoder.names), "base"]
    check_free(frame.columns, names)
    values = np.full((frame.height, len(names)), np.nan)
    values[good.to_numpy()] = contributions(model, model.encoder.encode(features))
    added = pl.DataFrame(values, schema=names, orient="row").fill_nan(None)
    return scored.hstack(added.select("base", pl.exclude("base")))


def read_test(paths: Paths, model: Model, version: "Version") -> pl.DataFrame:
    """The rows of data/interim/test; raises UserError where they do not suit the model."""
    files = partitions(paths.interim / "test")
    if not files:
        raise UserError("data/interim/test holds no rows; run `make data` first.")
    rows = pl.read_parquet(files)
    if model.target not in rows.columns:
        raise UserError(
            f"{version} predicts {model.target}, which data/interim/test does not hold; run "
            f"`make data` at its commit, {version.tags['git_commit']}."
        )
    return rows


def explain_version(
    paths: Paths, model: Model, version: "Version", judging: Judging
) -> tuple[Content, Content]:
    """Write reports/explain from the test rows; returns explanation and slices."""
    from ..models import plots

    rows, contract = read_test(paths, model, version), load_contract(paths.contract)
    test = model.compute(rows).with_columns(rows[model.target])
    ours = outcome(model, test[model.target], model.score_features(test))
    seed = judging.bootstrap.seed
    found = explanation(test, model, judging.scoring, seed, ROWS_AND_TREES)
    declared, features = read_declared(paths, contract), test.select(*found["importance"])
    groups = report(declared, features, ours, contract, judging)
    with replaced(paths.explained) as folder:
        write_json(folder / paths.explanations.name, rounded(found))
        write_json(folder / paths.slices.name, rounded(groups))
        plots.save(plots.importances(found), folder / "importance.png")
        plots.save(plots.dependences(found, model), folder / "dependence.png")
    return found, groups


def print_explanation(found: Content, groups: Content) -> None:
    """Print the most important features, the worst slices and the gaps in fairness."""

    def row(each: Content) -> Row:
        figures = {key: figure(value) for key, value in each.items() if isinstance(value, float)}
        return tuple(map(str, {**each, **figures, "interval": interval(each["interval"])}.values()))

    importance = [(name, figure(value)) for name, value in found["importance"].items()]
    if len(importance) > LISTED:
        importance[LISTED:] = [("…", "explanations.json has the others")]
    for header, rows in (
        (("feature", f"{found['method']}, {found['unit']}"), importance),
        (("worst slices", "rows", groups["metric"], "interval"), map(row, groups["worst"])),
        (GAPS, map(row, groups["fairness"])),
    ):
        table = [header, *rows]
        if len(table) > 1:
            print("", *aligned(table), sep="\n")


def main(paths: Paths, judging: Judging, arguments: Arguments) -> None:
    """Explain VERSION on the rows of INPUT, or on the test rows into reports/explain."""
    args = parse("explain", arguments, version="champion", input="", output="")
    if bool(args.input) != bool(args.output):
        raise UserError("name both files: make explain INPUT=new.csv OUTPUT=explained.parquet")
    if args.input:
        check_output(Path(args.output), Path(args.input))
        table = read_table(Path(args.input))
    registry = open_registry(paths)
    version, model = registry.find(args.version), registry.load(args.version)
    if args.input:
        explained = explain_rows(table, model, registry.contract(version)).lazy()
        write(explained, Path(args.output))
        print_errors(explained, Path(args.output), f"explained by {version}")
        return
    with working("explain"):
        found, groups = explain_version(paths, model, version, judging)
    registry.attach(version.run_id, paths.explained)
    print(f"  {version}: explained on {found['rows']} test rows in reports/explain, and its run")
    print_explanation(found, groups)
