"""`make predict`: score a table of any size with the champion, and list rows that cannot be."""

from collections.abc import Collection
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import count
from pathlib import Path

import polars as pl
import polars.selectors as cs

from ..console import Arguments, parse, track
from ..data import tables
from ..data.contract import Contract, add_nullable, check_values, request_columns
from ..files import COMPRESSION, discard, partitions, read_json, replaced, write_json
from ..models.model import Model, prediction_columns
from ..project import Paths, UserError
from ..tracking import open_registry

SHOWN = 10
WORKERS = 2  # while two chunks are scored and written, the next one is read


def predict(frame: pl.DataFrame, model: Model, contract: Contract) -> pl.DataFrame:
    """Add `prediction` (with the probability of each class) and `error`; one of them is null.

    A nullable column may be missing from the table, and a category that training has not seen is
    taken as missing. Raises UserError when the table lacks another column, or has one of ours.
    """
    table = add_nullable(frame, contract)
    added = [*prediction_columns(model.classes), "error", "input_row", "reasons"]
    check_free(table.columns, added)
    needed = dict.fromkeys([*(c.name for c in request_columns(contract)), *model.inputs])
    missing = [name for name in needed if name not in table.columns]
    if missing:
        raise UserError(
            f"the table lacks the columns {', '.join(missing)}; add them, as contract.yaml does "
            "not call them nullable."
        )
    columns = [c.model_copy(update={"categories": None}) for c in request_columns(contract)]
    typed, broken = check_values(table, columns)
    rows = pl.DataFrame({"row": pl.int_range(frame.height, eager=True)})
    good = rows.select(~pl.col("row").is_in(broken["row"].implode())).to_series()
    scored = model.predict_table(typed.filter(good)).with_columns(rows.filter(good)["row"])
    finite = pl.all_horizontal(cs.float().is_finite())
    infinite = scored.filter(~finite).select("row", error=pl.lit("the prediction is not finite"))
    reason = pl.format("{}: {} breaks '{}'", "column", pl.col("value").fill_null("null"), "rule")
    errors = broken.group_by("row").agg(reason.str.join("; ").alias("error"))
    for each in (scored.filter(finite), pl.concat([errors, infinite])):
        rows = rows.join(each, on="row", how="left", maintain_order="left")
    return frame.hstack(rows.drop("row"))


def check_free(names: Collection[str], added: Collection[str]) -> None:
    """Raise UserError where the table has a column that is to be added."""
    for name in added:
        if name in names:
            raise UserError(f"the table has a column {name} already; rename it.")


def check_output(path: Path, source: Path) -> None:
    """Raise UserError for a file that `write` cannot write, or that is the input itself."""
    if path.suffix not in (".csv", ".parquet"):
        raise UserError(f"OUTPUT={path}: end it in .csv or .parquet.")
    if source.resolve() in (path.resolve(), rejected(path).resolve()):
        raise UserError(f"OUTPUT={path} is INPUT; name another file, so nothing is lost.")


def rejected(path: Path) -> Path:
    """The file of the rows that could not be scored."""
    return path.with_name(f"{path.stem}.rejected{path.suffix}")


def write(rows: pl.LazyFrame, path: Path) -> None:
    """Write CSV or Parquet, all or nothing."""
    with replaced(path) as temporary:
        if path.suffix == ".csv":
            rows.sink_csv(temporary)
        else:
            rows.sink_parquet(temporary, compression=COMPRESSION)


def print_errors(scored: pl.LazyFrame, target: Path, how: str) -> None:
    """Print how many rows have no error, and the first errors."""
    errors = scored.select("error").with_row_index("row", offset=1)
    rows, wrong = errors.select(pl.len(), pl.col("error").count()).collect().row(0)
    print(f"{target}: {rows - wrong} of {rows} rows {how}.")
    for row, error in errors.drop_nulls("error").head(SHOWN).collect().iter_rows():
        print(f"  row {row}: {error}")
    if wrong > SHOWN:
        print(f"  … and {wrong - SHOWN} more; see the column `error`.")


def score_chunks(source: Path, folder: Path, model: Model, contract: Contract) -> None:
    """Write each chunk of a table, scored, as `<number>.parquet`, unless it is there."""

    def score(chunk: pl.DataFrame, number: int) -> None:
        with replaced(folder / f"{number:06}.parquet") as temporary:
            predict(chunk, model, contract).write_parquet(temporary, compression=COMPRESSION)

    done = {path.name for path in partitions(folder)}
    first = next(number for number in count() if f"{number:06}.parquet" not in done)
    pending: list[Future[None]] = []
    with ThreadPoolExecutor(WORKERS) as pool:
        chunks = track(tables.read_chunks(source, first), "predict")
        for number, chunk in enumerate(chunks, start=first):
            pending.append(pool.submit(score, chunk, number))
            if len(pending) > WORKERS:
                pending.pop(0).result()
        for future in pending:
            future.result()


def join_chunks(
    folder: Path, source: Path, target: Path, model: Model, contract: Contract, how: str
) -> None:
    """Write the output and the rejected rows, and print a summary.

    Raises UserError, and writes no output, if no row could be scored.
    """
    scored = pl.scan_parquet(partitions(folder), glob=False)
    rows, wrong = scored.select(pl.len(), pl.col("error").count()).collect().row(0)
    discard(rejected(target))
    if wrong:
        bad = scored.with_row_index("input_row", offset=1).filter(pl.col("error").is_not_null())
        bad = bad.drop(prediction_columns(model.classes)).rename({"error": "reasons"})
        write(bad, rejected(target))
        if wrong == rows:
            raise UserError(f"none of the {rows} rows could be scored; see {rejected(target)}.")
    write(scored, target)
    names = scored.collect_schema().names()
    missing = [column.name for column in request_columns(contract) if column.name not in names]
    if missing:
        print(f"{source} has no {', '.join(missing)}: taken as missing in each row.")
    print_errors(scored, target, how)
    if wrong:
        print(f"  Rows without a prediction are in {rejected(target)}, with the reasons.")


def main(paths: Paths, target: pl.Expr, arguments: Arguments) -> None:
    """Score INPUT into OUTPUT by VERSION, and print which rows could not be scored.

    `target` is the project's. Interrupted, even by a kill, the same call resumes. Raises UserError
    for a broken file.
    """
    args = parse("predict", arguments, input="", output="", version="champion")
    if not args.input or not args.output:
        raise UserError("name the files: make predict INPUT=new.csv OUTPUT=scored.parquet")
    source, output = Path(args.input), Path(args.output)
    check_output(output, source)
    tables.check_readable(source)
    registry = open_registry(paths)
    version = registry.find(args.version)
    contract, model, known = registry.contract(version), registry.load(version.name), source.stat()
    name = target.meta.output_name()
    if model.target != name:
        print(f"note: {version} predicts {model.target}; definitions.py has the target {name}.")
    job = {
        "input": [str(source.resolve()), known.st_size, known.st_mtime_ns],
        "chunks": [tables.BLOCK_BYTES, tables.CHUNK_CELLS],
        "model": version.tags["model_hash"],
        "contract": contract.model_dump(mode="json"),
    }
    # Scored chunks of another job are of no use.
    folder = output.with_name(f".{output.name}.parts")
    note = folder / "job.json"
    if not note.exists() or read_json(note) != job:
        discard(folder)
        write_json(note, job)
    try:
        score_chunks(source, folder, model, contract)
        how = f"scored by {version}: {model.target}"
        join_chunks(folder, source, output, model, contract, how)
    except UserError:
        discard(folder)
        raise
    discard(folder)
