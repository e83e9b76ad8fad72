"""Batch prediction: a table of any size scored by the champion, and what breaks the contract."""

import sys
import warnings
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import polars.selectors as cs

from ..console import working
from ..data import delimited, tables
from ..data.contract import (
    FAILURES,
    Contract,
    completed,
    judged,
    load_contract,
    request_columns,
)
from ..files import COMPRESSION, discard, replaced
from ..models.model import Model, answer_columns
from ..project import Paths, UserError, load_settings
from .checkpoints import Parts

SHOWN = 10
SET_ASIDE = ("input_row", "reasons")


def load_champion(paths: Paths) -> Model:
    """The model behind the alias `champion`, for a notebook or a script."""
    # MLflow asks notebooks for ipywidgets, for progress bars that nothing here shows.
    warnings.filterwarnings("ignore", message="IProgress not found")
    from ..tracking import registry as tracking

    return tracking.connect(paths, load_settings(paths)).load("champion")


def predict(frame: pl.DataFrame, model: Model, contract: Contract) -> pl.DataFrame:
    """Add `prediction` (with the probability of each class) and `error`; one of them is null.

    A column that may be missing by contract.yaml may be missing from the table too. Raises
    UserError when the table lacks another one, or has one of ours.
    """
    return frame.hstack(score(frame, model, contract))


def score(frame: pl.DataFrame, model: Model, contract: Contract) -> pl.DataFrame:
    """What `predict` adds.

    A category that training has not seen breaks none: the model treats it as missing.
    """
    table = completed(frame, contract)
    check_columns(table.columns, model, contract)
    columns = [c.model_copy(update={"categories": None}) for c in request_columns(contract)]
    typed, broken = judged(table, columns, contract.text)
    rows = pl.DataFrame({"row": pl.int_range(frame.height, eager=True)})
    good = rows.select(~pl.col("row").is_in(broken["row"].implode())).to_series()
    answers = model.answer(typed.filter(good)).with_columns(rows.filter(good)["row"])
    finite = pl.all_horizontal(cs.float().is_finite())
    broken = pl.concat([broken, _unusable(answers.filter(~finite))]).sort("row")
    for added in (answers.filter(finite), _errors(broken)):
        rows = rows.join(added, on="row", how="left", maintain_order="left")
    return rows.drop("row")


def _errors(broken: pl.DataFrame) -> pl.DataFrame:
    text = pl.format("{}: {} breaks '{}'", "column", pl.col("value").fill_null("null"), "rule")
    return broken.group_by("row").agg(text.str.join("; ").alias("error"))


def _unusable(answers: pl.DataFrame) -> pl.DataFrame:
    rule = pl.lit("is a number").alias("rule")
    value = pl.lit(None, pl.String).alias("value")
    return answers.select("row", pl.lit("prediction").alias("column"), rule, value).cast(FAILURES)


def check_columns(names: Collection[str], model: Model, contract: Contract) -> None:
    """Raise UserError where a column that must be there is not, or one of ours is taken."""
    check_free(names, [*answer_columns(model.classes), "error", *SET_ASIDE])
    needed = dict.fromkeys([*(c.name for c in request_columns(contract)), *model.inputs])
    missing = [name for name in needed if name not in names]
    if missing:
        raise UserError(
            f"the table lacks the columns {', '.join(missing)}; add them, as contract.yaml does "
            "not call them nullable."
        )


def check_free(names: Collection[str], added: Collection[str]) -> None:
    """Raise UserError where the table has a column that is to be added."""
    taken = [name for name in added if name in names]
    if taken:
        raise UserError(
            f"the table has a column {taken[0]} already; rename it, so nothing is lost."
        )


def check_output(path: Path, source: Path) -> None:
    """Raise UserError for a file that `write` cannot write, or that holds the rows themselves."""
    if path.suffix not in (".csv", ".parquet"):
        raise UserError(f"OUTPUT={path}: end it in .csv or .parquet.")
    if source.resolve() in (path.resolve(), rejected(path).resolve()):
        raise UserError(f"OUTPUT={path} is INPUT; name another file, so nothing is lost.")


def check_source(source: Path, model: Model, contract: Contract) -> list[str]:
    """The columns that a table lacks and need not have; raises UserError as `predict` does."""
    head = next(tables.read_chunks(source)).clear()
    table = completed(head, contract)
    check_columns(table.columns, model, contract)
    return [name for name in table.columns if name not in head.columns]


def rejected(path: Path) -> Path:
    """Where the rows are set aside that could not be scored."""
    return path.with_name(f"{path.stem}.rejected{path.suffix}")


def write(rows: pl.LazyFrame, path: Path) -> None:
    """Write CSV or Parquet, all or nothing."""
    with replaced(path) as temporary:
        if path.suffix == ".csv":
            rows.sink_csv(temporary)
        else:
            rows.sink_parquet(temporary, compression=COMPRESSION)


def tell(scored: pl.LazyFrame, target: Path, how: str) -> None:
    """Say which rows have an error."""
    errors = scored.select("error").with_row_index("row", offset=1)
    rows, wrong = errors.select(pl.len(), pl.col("error").count()).collect().row(0)
    print(f"{target}: {rows - wrong} of {rows} rows {how}.")
    for row, error in errors.drop_nulls("error").head(SHOWN).collect().iter_rows():
        print(f"  row {row}: {error}")
    if wrong > SHOWN:
        print(f"  … and {wrong - SHOWN} more; see the column `error`.")


def job(source: Path, model_hash: str, contract: Contract) -> dict[str, Any]:
    """What must be the same for an interrupted run to go on, as JSON."""
    known, cut = source.stat(), (tables.CHUNK_CELLS, delimited.BLOCK_BYTES)
    return {
        "input": [str(source.resolve()), known.st_size, known.st_mtime_ns, *cut],
        "model": model_hash,
        "contract": contract.model_dump(mode="json"),
    }


def score_file(source: Path, parts: Parts, model: Model, contract: Contract) -> None:
    """Score the chunks that are not done yet; raises UserError where the table is broken."""
    names = {*(column.name for column in request_columns(contract)), *model.inputs}
    # While chunks are scored, the next one is read and the one before them written.
    chunks = tables.ahead(tables.read_rows(source, names, parts.target, parts.done))
    scored = tables.two_at_a_time(lambda c: (c[1], score(c[0], model, contract)), chunks)
    with working("predict", tables.count_chunks(source)) as advance:
        for _ in range(parts.done):
            advance()
        for rows, added in scored:
            parts.add(rows, added)
            advance()


def finish(parts: Parts, model: Model) -> None:
    """Join the parts into the output, set aside what could not be scored, and say what there is.

    Raises UserError, and writes no output, where there are rows and none could be scored.
    """
    target, rows = parts.target, parts.rows()
    bad = parts.errors().select(pl.col("error").count()).collect().item()
    if bad:
        write(_set_aside(parts.scored(), model), rejected(target))
    if bad and bad == rows:
        raise UserError(f"none of the {rows} rows could be scored; {rejected(target)} says why.")
    parts.join()
    tell(parts.errors(), target, "scored by the champion")
    if bad:
        print(f"  The others have no prediction; {rejected(target)} holds them with the reasons.")
    else:
        discard(rejected(target))


def _set_aside(scored: pl.LazyFrame, model: Model) -> pl.LazyFrame:
    """The rows without a prediction, as they were, between their number and the reasons."""
    bad = scored.with_row_index("input_row", offset=1).filter(pl.col("error").is_not_null())
    return bad.drop(answer_columns(model.classes)).rename({"error": "reasons"})


def predict_file(paths: Paths, source: Path, target: Path) -> int | None:
    """Score a file and say which rows could not be scored; returns the champion's number."""
    check_output(target, source)
    tables.check_readable(source)
    from ..tracking import registry as tracking

    registry = tracking.connect(paths, load_settings(paths))
    version, contract = registry.find("champion"), load_contract(paths.contract)
    model = registry.load(version.run_id)
    if missing := check_source(source, model, contract):
        print(f"{source} has no {', '.join(missing)}: taken as missing in each row.")
    parts = Parts(target, job(source, version.tags["model_hash"], contract))
    try:
        score_file(source, parts, model, contract)
        finish(parts, model)
    except KeyboardInterrupt:
        sys.exit(f"Interrupted: {parts.rows()} rows are scored; the same command goes on.")
    except UserError:
        parts.discard()
        raise
    parts.discard()
    return version.number


def main(paths: Paths, arguments: Sequence[str]) -> None:
    """Score INPUT into OUTPUT."""
    if len(arguments) != 2:
        raise UserError("usage: make predict INPUT=new.csv OUTPUT=scored.parquet")
    predict_file(paths, *map(Path, arguments))
