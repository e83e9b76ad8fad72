"""Rows of a file as a profile of days: counted, scored, and with their observed losses."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from ..data import tables
from ..data.contract import CHECKED_ROLES, Contract, add_nullable, check_values, request_columns
from ..models.bootstrap import Scoring
from ..models.model import Model
from ..models.profile import Profile, count, find_days, predict, row_losses, sum_losses, watch
from ..project import UserError

KEYS = {"counts": ("column", "day", "bin"), "losses": ("slice", "value", "day")}


@dataclass(frozen=True)
class Watched:
    """Days to be checked: `counts` and `losses` as those of a Profile, and broken values.

    `broken` holds column, rule and rows; `dropped` is the number of rows that KEEP_ROWS excludes.
    """

    counts: pl.DataFrame
    losses: pl.DataFrame
    broken: pl.DataFrame
    rows: int
    dropped: int


@dataclass(frozen=True)
class Champion:
    """The model that is watched, with its own contract and profile, and the project's outcome."""

    model: Model
    contract: Contract
    profile: Profile
    scoring: Scoring
    target: pl.Expr
    keep: Sequence[pl.Expr]

    def watch_file(self, path: Path) -> Watched:
        """Profile a table, or all tables of a folder, chunk by chunk.

        Raises UserError where there is nothing to watch, or a column is missing.
        """
        files = sorted(path.iterdir()) if path.is_dir() else [path]
        chunks = (self.watch_rows(chunk) for file in files for chunk in tables.read_chunks(file))
        return merge(chunks, path)

    def watch_rows(self, given: pl.DataFrame) -> Watched:
        """Profile rows; those that a request would be refused for are counted, and left out."""
        frame = add_nullable(given, self.contract)
        needed = [*(c.name for c in request_columns(self.contract)), *self.contract.names("time")]
        missing = [name for name in dict.fromkeys(needed) if name not in frame.columns]
        if missing:
            raise UserError(f"the table lacks the columns {', '.join(missing)} of the contract.")
        columns = [
            column.model_copy(update={"categories": None})
            for column in self.contract.columns
            if column.role in CHECKED_ROLES and column.name in frame.columns
        ]
        typed, failures = check_values(frame, columns)
        truth = self.find_truth(given, typed)
        columns_of = [keep.meta.root_names() for keep in self.keep]
        judged = [
            k for k, n in zip(self.keep, columns_of, strict=True) if set(n) <= {*typed.columns}
        ]
        kept = pl.all_horizontal(pl.lit(True), *judged).fill_null(False)
        excluded = typed.with_columns(excluded=~kept)["excluded"]
        numbers = pl.int_range(frame.height, eager=True)
        good = ~numbers.is_in(failures["row"].implode()) & ~excluded
        counts, losses = self.profile_rows(typed.filter(good), truth.filter(good))
        broken = failures.group_by("column", "rule").agg(rows=pl.col("row").n_unique())
        return Watched(counts, losses, broken, frame.height, int(excluded.sum()))

    def find_truth(self, given: pl.DataFrame, typed: pl.DataFrame) -> pl.Series:
        """The outcome of each row: a column of its name, else TARGET; null where it is unknown."""
        name = self.model.target
        if name in given.columns and name not in typed.columns:
            return given[name]
        if set(self.target.meta.root_names()) <= set(typed.columns):
            return typed.select(self.target).to_series()
        return pl.repeat(None, typed.height, eager=True).alias(name)

    def profile_rows(
        self, rows: pl.DataFrame, truth: pl.Series
    ) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Counts of all rows, and the losses of those whose outcome is known."""
        features, days = self.model.compute(rows), find_days(rows, self.contract)
        encoded = self.model.encoder.encode(features)
        scores = self.model.score_matrix(encoded)
        known = truth.is_not_null().to_numpy()
        watched = [watch(rows, features, self.contract), predict(self.model, scores)]
        counts = [count(self.profile.columns, table, days) for table in watched]
        if known.any():
            outcome = truth.filter(known).to_frame()
            counts.append(count(self.profile.columns, outcome, days.filter(known)))
        expectation = self.profile.expectation
        losses = row_losses(self.model, self.scoring, truth.filter(known), scores[known])
        expected = expectation.expect(np.column_stack([encoded, scores])[known])
        clipped = np.minimum(losses, expectation.cap)
        return pl.concat(counts), sum_losses(rows.filter(known), self.contract, clipped, expected)


def merge(parts: Iterable[Watched], path: Path) -> Watched:
    """Add the profiles of several chunks."""
    every = list(parts)
    if not any(part.counts.height for part in every):
        raise UserError(f"{path}: no row that the model could be asked about; nothing to watch.")
    sums = {
        name: pl.concat(getattr(part, name) for part in every).group_by(keys).agg(pl.all().sum())
        for name, keys in KEYS.items()
    }
    broken = pl.concat(part.broken for part in every).group_by("column", "rule")
    return Watched(
        **sums,
        broken=broken.agg(pl.col("rows").sum()).sort("rows", descending=True),
        rows=sum(part.rows for part in every),
        dropped=sum(part.dropped for part in every),
    )
