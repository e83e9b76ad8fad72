"""Rows of a file as a profile of days: counted, scored, and with their observed losses."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl

from ..data import tables
from ..data.contract import CHECKED_ROLES, Contract, add_nullable, check_values, request_columns
from ..data.known_target import replace_target
from ..files import Figures
from ..models.bootstrap import Scoring
from ..models.model import Model, by_class
from ..models.profile import Profile, count, find_days, predict, row_losses, sum_losses, watch
from ..project import UserError
from .params import Monitoring

KEYS = {
    "counts": ("column", "day", "bin"),
    "losses": ("slice", "value", "day"),
    "days": ("day",),
    "broken": ("column", "rule", "day"),
}
UNSURE = 0.6  # a class whose probability is lower is predicted with low confidence


class NothingToCheck(UserError):
    """There is no row to check yet."""


@dataclass(frozen=True)
class Watched:
    """Days to be checked, as tables of sums: those of two groups of rows merge by addition.

    `counts` and `losses` are those of a Profile. `days` holds by day the rows that were given,
    those that KEEP_ROWS excludes (dropped), those that are watched (rows), the sum of their
    expected losses, and those with a prediction of low confidence (unsure). `broken` holds the
    rows that break a rule of the contract, by column, rule and day.
    """

    counts: pl.DataFrame
    losses: pl.DataFrame
    days: pl.DataFrame
    broken: pl.DataFrame

    def only(self, rule: pl.Expr) -> "Watched":
        """The days for which a rule holds."""
        return Watched(*(getattr(self, name).filter(rule) for name in KEYS))


@dataclass(frozen=True)
class Needs:
    """The parts of a project that its checks need; `bars` are those of the gate."""

    options: Monitoring
    scoring: Scoring
    target: pl.Expr
    keep: Sequence[pl.Expr]
    bars: Figures = field(default_factory=dict)


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
        chunks = (chunk for file in files for chunk in tables.read_chunks(file))
        watched = merge(self.watch_table(chunk) for chunk in chunks)
        if not watched.counts.height:
            raise UserError(f"{path}: nothing to watch: no row that a request could hold.")
        return watched

    def watch_table(self, given: pl.DataFrame) -> Watched:
        """Profile rows of a table, with their outcomes where it has them."""
        frame = add_nullable(given, self.contract)
        needed = [*(c.name for c in request_columns(self.contract)), *self.contract.names("time")]
        missing = [name for name in dict.fromkeys(needed) if name not in frame.columns]
        if missing:
            raise UserError(f"the table lacks the columns {', '.join(missing)} of the contract.")
        return self.watch_rows(frame, self.find_truth(given))

    def find_truth(self, given: pl.DataFrame) -> pl.Series | None:
        """The outcome of each row: a column of its name, else TARGET; None where there is none."""
        columns = [column for column in self.contract.columns if column.role in CHECKED_ROLES]
        held = {column.name for column in columns} & set(given.columns)
        name, roots = self.model.target, self.target.meta.root_names()
        if name in given.columns and name not in held:
            return given[name]
        if held.issuperset(roots):
            return self.contract.read(given, roots).select(self.target).to_series()
        return None

    def watch_rows(
        self, frame: pl.DataFrame, truth: pl.Series | None, days: pl.Series | None = None
    ) -> Watched:
        """Profile rows; those that a request would be refused for are counted, and left out.

        `days` is the day of each row where the contract has no time column.
        """
        held = [c for c in self.contract.columns if c.name in frame.columns]
        asked = [c for c in held if c.role in CHECKED_ROLES]
        columns = [c.model_copy(update={"categories": None}) for c in asked]
        typed, failures = check_values(frame, columns)
        if days is None or self.contract.names("time"):
            days = find_days(typed, self.contract)
        if truth is None:
            truth = pl.repeat(None, typed.height, eager=True).alias(self.model.target)
        told, name = typed.with_columns(truth.alias(self.model.target)), self.model.target
        judged = []
        for rule in (replace_target(rule, self.target) for rule in self.keep):
            names = set(rule.meta.root_names())
            if names <= {*told.columns}:  # until its outcome is known a row stays
                judged.append(rule.fill_null(pl.col(name).is_null() if name in names else False))
        kept = pl.all_horizontal(pl.lit(True), *judged)
        excluded = told.with_columns(excluded=~kept)["excluded"]
        numbers = pl.int_range(frame.height, eager=True)
        good = ~numbers.is_in(failures["row"].implode()) & ~excluded & days.is_not_null()
        chosen = typed.filter(good), truth.filter(good), days.filter(good)
        counts, losses, watched = self.profile_rows(*chosen)
        given = pl.DataFrame({"day": days, "dropped": excluded})
        given = given.group_by("day").agg(given=pl.len(), dropped=pl.sum("dropped"))
        broken = failures.with_columns(day=days.gather(failures["row"]))
        return Watched(
            counts=counts,
            losses=losses,
            days=given.join(watched, on="day", how="left", nulls_equal=True).fill_null(0),
            broken=broken.group_by(KEYS["broken"]).agg(rows=pl.col("row").n_unique()),
        )

    def profile_rows(
        self, rows: pl.DataFrame, truth: pl.Series, days: pl.Series
    ) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
        """Counts of all rows, losses of those whose outcome is known, and expected losses."""
        features = self.model.compute(rows)
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
        clipped = np.minimum(losses, expectation.cap)
        expected = expectation.expect(np.column_stack([encoded, scores]))
        labelled = rows.filter(known), days.filter(known)
        sums = sum_losses(*labelled, self.contract, clipped, expected[known])

        unsure = np.zeros(rows.height, bool)
        if self.model.classes:
            unsure = by_class(scores).max(axis=1, initial=0) < UNSURE
        every = pl.DataFrame({"day": days, "expected": expected, "unsure": unsure})
        every = every.group_by("day").agg(pl.len().alias("rows"), pl.sum("expected", "unsure"))
        return pl.concat(counts), sums, every


def merge(parts: Iterable[Watched]) -> Watched:
    """Add the profiles of several groups of rows."""
    every = list(parts)
    return Watched(
        *(
            pl.concat(getattr(part, name) for part in every).group_by(keys).agg(pl.all().sum())
            for name, keys in KEYS.items()
        )
    )
