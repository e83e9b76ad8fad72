"""Tables of any names, words, formats, separators and encodings: what goes in comes out."""

import csv
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import polars as pl
import pytest
from blank import STAGES, TOOL, Blank, blank, learner
from mlops_loop.commands import predict
from mlops_loop.commands.adopt import adopt
from mlops_loop.data.contract import request_columns
from mlops_loop.data.tables import read_table
from mlops_loop.project import load_settings
from mlops_loop.serving.schema import RequestSchema
from project.data import ingest, validate
from projects import registry_of

__all__ = ["blank", "learner"]

ROWS = 200
Values = tuple[list[str], list[Any]]  # the cells of a column, and what they stand for

NAMES = (
    *("class", "None", "lambda", "nan", "true", "1.5", "2nd", "007", "__index_level_0__", "self"),
    *("(day)", "(row)", "(dropped)", "key", "class_", "target", "split", "row", "count", "len"),
    *("a b", "a_b", "A b", "a-b", "it's", 'say "hi"', "'''", '"""', "\\", "\\n", "{x}", "{{y}}"),
    *(
        "%s",
        "$",
        "`",
        "#",
        "<b>",
        "&amp;",
        "a;b",
        "a,b",
        "a\tb",
        "two\nlines",
        "a|b",
        "[0]",
        "=1+1",
    ),
    *("größe", "n°", "日本", "عدد", "🙂", "é" * 3, "e\u0301", "ß", "I\u0307", "x" * 300, "день"),
    *("when", "when_year", "when_month", "value", "index", "literal", "pl", "FEATURES", "on", "y"),
)
WORDS = (
    "=1+1",
    "@SUM(A1)",
    "+a",
    "N/A?",
    "yes!",
    "it's",
    "a, b",
    "x;y",
    "u|v",
    "🙂",
    "été",
    "#",
    "~",
)


def pick(rng: np.random.Generator, values: list[Any], write: Callable[[Any], str]) -> Values:
    """Rows of these values, each as it is written."""
    chosen = [values[i] for i in rng.integers(0, len(values), ROWS)]
    return [write(value) for value in chosen], chosen


def gaps(rng: np.random.Generator, column: Values, word: str) -> Values:
    """The column with a tenth of its values missing."""
    cells, values = column
    gone = rng.random(ROWS) < 0.1
    return (
        [word if lost else cell for cell, lost in zip(cells, gone, strict=True)],
        [None if lost else value for value, lost in zip(values, gone, strict=True)],
    )


@dataclass(frozen=True)
class Style:
    """The way in which a program writes numbers, dates and missing values."""

    thousands: str
    decimal: str
    day: str
    nothing: str

    def number(self, value: float, form: str = ",.2f") -> str:
        """A number with these marks."""
        marks = str.maketrans(",.", f"{self.thousands or chr(0)}{self.decimal}")
        return format(value, form).translate(marks).replace(chr(0), "")


STYLES = (
    Style("", ".", "%Y-%m-%d", ""),
    Style(",", ".", "%m/%d/%Y", "NA"),
    Style(".", ",", "%d.%m.%Y", "-"),
    Style(" ", ",", "%d/%m/%Y", "n/a"),
    Style("\u00a0", ",", "%Y/%m/%d", "NULL"),
    Style("'", ".", "%d-%b-%Y", "nan"),
)
SEPARATORS = (",", ";", "\t", "|")
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "cp1252")


def columns(rng: np.random.Generator, style: Style) -> dict[str, Values]:
    """A column of each kind."""
    money = rng.uniform(-5e5, 2e6, ROWS).round(2).tolist()
    share = rng.uniform(0, 99, ROWS).round(1).tolist()
    days = [date(2023, 1, 1) + timedelta(days=int(n)) for n in rng.integers(0, 700, ROWS)]
    times = [datetime(2024, 1, 1) + timedelta(minutes=int(n)) for n in rng.integers(0, 9e5, ROWS)]
    return {
        "fractions": ([style.number(v) for v in money], money),
        "whole": pick(rng, list(range(-3, 4_000, 37)), lambda v: style.number(v, ",d")),
        "whole with gaps": gaps(rng, pick(rng, list(range(40)), str), style.nothing),
        "percent": ([style.number(v, ".1f") + "%" for v in share], share),
        "dollars": ([f"${style.number(abs(v))}" for v in money], [abs(v) for v in money]),
        "euros": gaps(rng, ([f"{style.number(v)} €" for v in money], money), style.nothing),
        "dates": gaps(rng, ([f"{v:{style.day}}" for v in days], days), style.nothing),
        "times": ([v.isoformat(" ") for v in times], times),
        "yes or no": gaps(
            rng, pick(rng, [True, False], lambda v: "yes" if v else "no"), style.nothing
        ),
        "codes": pick(rng, [f"{v:05}" for v in range(30, 5_000, 400)], str),
        "words": gaps(rng, pick(rng, list(WORDS), str), style.nothing),
        "large": pick(rng, [2**62 - 7 * v for v in range(90)], str),
        "constant": pick(rng, ["one & only"], str),
        "nothing": ([style.nothing] * ROWS, [None] * ROWS),
    }


@dataclass(frozen=True)
class Table:
    """A file, the columns that it stands for, and its target."""

    path: Path
    values: dict[str, list[Any]]
    target: str


def make_table(folder: Path, seed: int) -> Table:
    """A table of these kinds under names of any sort, as some program writes it."""
    rng = np.random.default_rng(seed)
    style = STYLES[seed % len(STYLES)]
    encoding, separator = ENCODINGS[seed % len(ENCODINGS)], SEPARATORS[seed // 3 % len(SEPARATORS)]

    def is_written(text: str) -> bool:
        return text.encode(encoding, errors="ignore").decode(encoding) == text

    made = columns(rng, style)
    signal = rng.uniform(0, 100, ROWS).round(2)
    made["signal"] = [style.number(v) for v in signal], signal.tolist()
    target = (3 * signal + rng.normal(0, 20, ROWS)).round(2).tolist()  # no copy of its input
    labels = [style.number(v) for v in target], target
    if seed % 3:  # two classes, or three
        words = ["n", "o", "None of them"][: 1 + seed % 3] if seed % 2 else ["=A1", "b c", "é"]
        chosen = [words[int(v * len(words) / 101)] for v in signal]
        labels = chosen, chosen
    names = rng.permutation([name for name in NAMES if is_written(name)]).tolist()
    named = dict(zip(names, [*made.values(), labels], strict=False))
    cells = [[cell if is_written(cell) else "?" for cell in column] for column, _ in named.values()]
    values = [
        [None if not is_written(c) else v for c, v in zip(*column, strict=True)]
        for column in named.values()
    ]
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=separator)
    writer.writerow(named)
    writer.writerows(zip(*cells, strict=True))
    path = folder / f"table {seed}.csv"
    path.write_bytes(text.getvalue().encode(encoding))
    return Table(path, dict(zip(named, values, strict=True)), names[len(made)])


@pytest.mark.parametrize("seed", range(24))
def test_values_that_go_in_come_out(blank: Blank, tmp_path: Path, seed: int) -> None:
    table = make_table(tmp_path, seed)
    blank.adopt(table.path, table.target, time="none")
    blank.through(ingest, validate)
    read = blank.raw_rows()
    assert {name: read[name].to_list() for name in read.columns} == table.values


@pytest.mark.parametrize("seed", [40, 41])
def test_what_adopt_writes_passes_the_commit_gate(blank: Blank, tmp_path: Path, seed: int) -> None:
    run = ("black", "ruff")
    blank.patch.setattr(adopt, "run_module", lambda p, *c: TOOL(p, *c) if c[0] in run else None)
    table = make_table(tmp_path, seed)
    machinery = blank.root / "src" / "mlops_loop" / "__init__.py"  # by which isort knows it
    machinery.parent.mkdir()
    machinery.touch()
    blank.adopt(table.path, table.target)
    for command in (["black", "--check"], ["isort", "--check"], ["ruff", "check"]):
        TOOL(blank.root, *command, str(blank.definitions))


@pytest.mark.parametrize("seed", [50, 51, 52])
def test_file_request_and_mlflow_are_answered_alike(
    learner: Blank, tmp_path: Path, seed: int
) -> None:
    table = make_table(tmp_path, seed)
    learner.adopt(table.path, table.target, time="none")
    learner.through(*STAGES)
    registry = registry_of(learner)
    version = registry.find("champion")
    model, contract = registry.load("champion"), registry.contract(version)
    output = tmp_path / "scored.parquet"
    predict.main(learner, learner.target, [f"--input={table.path}", f"--output={output}"])
    scored = pl.read_parquet(output)
    assert scored["error"].null_count() == ROWS
    assert scored.drop("prediction", "error", pl.selectors.starts_with("probability_")).equals(
        read_table(table.path)
    )

    names = [column.name for column in request_columns(contract)]
    records = learner.raw_rows().select(names).to_dicts()
    schema = RequestSchema(contract, ROWS, {})
    body = json.dumps(records, default=lambda value: value.isoformat())
    asked = schema.frame(schema.validate(body.encode()))
    assert scored["prediction"].to_list() == model.predict(asked).tolist()

    loaded = mlflow.pyfunc.load_model(f"models:/{load_settings(learner).project}@champion")
    answers = loaded.predict(learner.raw_rows().select(*model.inputs).to_pandas())
    if model.classes:
        answers = answers["prediction"]
    assert scored["prediction"].to_list() == list(answers)
