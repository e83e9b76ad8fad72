"""Batch prediction: a table scored by the champion, row by row named where it cannot be."""

import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from ..data.contract import Contract, failures, load_contract
from ..errors import UserError, run
from ..files import replaced
from ..paths import PROJECT, Paths
from ..settings import load_settings
from ..tables import read_table
from .model import Model, answer_columns

SHOWN = 10


def load_champion(paths: Paths = PROJECT) -> Model:
    """The model behind the alias `champion`, for a notebook or a script."""
    # MLflow asks notebooks for ipywidgets, for progress bars that nothing here shows.
    warnings.filterwarnings("ignore", message="IProgress not found")
    from .. import tracking

    return tracking.connect(paths, load_settings(paths)).load("champion")


def predict(frame: pl.DataFrame, model: Model, contract: Contract) -> pl.DataFrame:
    """Add `prediction` (with the probability of each class) and `error`; one of them is null.

    Raises UserError when the table lacks an input column of the model, or has one of ours.
    """
    added = [*answer_columns(model.classes), "error"]
    check_free(frame, added)
    missing = [name for name in model.inputs if name not in frame.columns]
    if missing:
        raise UserError(f"the table lacks the columns {', '.join(missing)}; the model needs them.")
    errors = row_errors(frame, model, contract)
    good = errors["error"].is_null()
    answers = model.answer(contract.typed(frame.filter(good), model.inputs)).with_columns(
        errors["row"].filter(good)
    )
    columns = errors.join(answers, on="row", how="left", maintain_order="left")
    return frame.hstack(columns.select(added))


def check_free(frame: pl.DataFrame, added: Sequence[str]) -> None:
    """Raise UserError where the table has a column that is to be added."""
    taken = [name for name in added if name in frame.columns]
    if taken:
        raise UserError(
            f"the table has a column {taken[0]} already; rename it, so nothing is lost."
        )


def row_errors(frame: pl.DataFrame, model: Model, contract: Contract) -> pl.DataFrame:
    """`row` and `error`: the contract's rules that the row breaks, null if none.

    A category that training has not seen is not an error: the model treats it as missing.
    """
    columns = [
        column.model_copy(update={"categories": None})
        for column in contract.columns
        if column.name in model.inputs
    ]
    text = pl.format("{}: {} breaks '{}'", "column", pl.col("value").fill_null("null"), "rule")
    broken = (
        failures(frame, columns, contract.text)
        .group_by("row")
        .agg(text.str.join("; ").alias("error"))
    )
    rows = pl.DataFrame({"row": range(frame.height)}, schema={"row": pl.Int64})
    return rows.join(broken, on="row", how="left", maintain_order="left")


def check_output(path: Path, source: Path) -> None:
    """Raise UserError for a file that `write` cannot write, or that holds the rows themselves."""
    if path.suffix not in (".csv", ".parquet"):
        raise UserError(f"OUTPUT={path}: end it in .csv or .parquet.")
    if path.resolve() == source.resolve():
        raise UserError(f"OUTPUT={path} is INPUT; name another file, so nothing is lost.")


def write(frame: pl.DataFrame, path: Path) -> None:
    """Write CSV or Parquet, all or nothing."""
    with replaced(path) as temporary:
        if path.suffix == ".csv":
            frame.write_csv(temporary)
        else:
            frame.write_parquet(temporary)


def tell(scored: pl.DataFrame, target: Path, how: str) -> None:
    """Say which rows have an error."""
    bad = scored.with_row_index("row", offset=1).filter(pl.col("error").is_not_null())
    print(f"{target}: {scored.height - bad.height} of {scored.height} rows {how}.")
    for row, error in bad.select("row", "error").head(SHOWN).iter_rows():
        print(f"  row {row}: {error}")
    if bad.height > SHOWN:
        print(f"  … and {bad.height - SHOWN} more; see the column `error`.")


def main(paths: Paths = PROJECT) -> None:
    """Score INPUT into OUTPUT and say which rows could not be scored."""
    if len(sys.argv) != 3:
        raise UserError("usage: make predict INPUT=new.csv OUTPUT=scored.parquet")
    source, target = map(Path, sys.argv[1:])
    check_output(target, source)
    table = read_table(source)
    scored = predict(table, load_champion(paths), load_contract(paths.contract))
    write(scored, target)
    tell(scored, target, "scored by the champion")


if __name__ == "__main__":
    run(main)
