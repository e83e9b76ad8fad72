"""Features that are learned, checks of definitions.py against the contract, features as JSON."""

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl
from polars.testing import assert_series_equal

from .data.contract import CHECKED_ROLES, FEATURE_ROLES, STORED_ROLES, Contract, compute
from .project import UserError

Expressions = Sequence[pl.Expr]


@dataclass(frozen=True)
class FittedFeature:
    """A feature that is learned on train only: an aggregate of the rows of each key.

    `key` is an expression over columns with role input or time. `value` aggregates columns of
    data/interim, where the target has its own name: `pl.col("price").mean()`, `pl.len()`. Keys of
    few rows are drawn towards the aggregate of all rows, which counts like `smoothing` rows. A key
    that train lacks has the aggregate of all rows, or `unknown`.

    Where `value` uses the target, the rows of train get out-of-fold values: no row's own target is
    in its feature, nor is anything of validation and test. `make tune` and `train.out_of_fold`
    divide these rows again: there a value may know targets of rows that are held out, and what
    they report may be too good by a little.
    """

    name: str
    key: pl.Expr
    value: pl.Expr
    smoothing: float = 0.0
    unknown: float | None = None

    def fit(self, rows: pl.DataFrame) -> pl.Expr:
        """Learn from rows; returns an expression that looks up the value of each row's key.

        Raises UserError where `value` cannot be computed or is no aggregate.
        """
        value = self.value.cast(pl.Float64).alias("(value)")
        rule = (
            f"FITTED: {self.name}: value is an aggregate such as a mean, of the target by its name "
            f"or of columns with role input, time or id: {', '.join(rows.columns)}."
        )
        result = compute(value, rows, rule)
        if result.height != 1:
            raise UserError(f"definitions.py: {self.value}: yields {result.height} values\n{rule}")
        everywhere = result.item()
        groups = rows.group_by(self.key.alias("(key)"))
        learned = groups.agg(value, pl.len().alias("(rows)")).sort("(key)")
        own = learned["(value)"].fill_null(everywhere)
        share = learned["(rows)"] / (learned["(rows)"] + self.smoothing)
        return self.key.replace_strict(
            learned["(key)"],
            everywhere + share * (own - everywhere),
            default=everywhere if self.unknown is None else self.unknown,
            return_dtype=pl.Float64,
        ).alias(self.name)

    def fit_train(self, rows: pl.DataFrame, folds: pl.Series) -> pl.Series:
        """The feature of the rows that teach it; out-of-fold where `value` uses the target."""
        if rows.columns[-1] not in self.value.meta.root_names():
            return rows.select(self.fit(rows)).to_series()
        parts = [
            pl.when(folds == fold).then(self.fit(rows.filter(folds != fold)))
            for fold in folds.unique()
        ]
        return rows.select(pl.coalesce(parts).alias(self.name)).to_series()


def check_definitions(target: pl.Expr, keep_rows: Expressions, contract: Contract) -> None:
    """Raise UserError when the target or a filter cannot be computed, or a feature could see it."""
    name = target.meta.output_name()
    if name in contract.names(*STORED_ROLES):
        raise UserError(
            f"the target {name} has the name of a column that features may use; give that "
            "column role outcome in contract.yaml, or the target another name (.alias)."
        )
    rule = (
        "TARGET and KEEP_ROWS may use any column of contract.yaml that is not ignored; TARGET no "
        "personal data (pii: true)."
    )
    compute(target, contract.dtypes(*CHECKED_ROLES).to_frame(), rule)
    for keep in keep_rows:
        compute(keep, contract.dtypes(*CHECKED_ROLES, pii=True).to_frame(), rule)


def check_features(features: Expressions, contract: Contract) -> None:
    """Raise UserError for a feature of an unfit dtype, or of columns that features may not use."""
    known = contract.dtypes(*FEATURE_ROLES)
    rule = (
        "A feature may use only columns with role input or time in contract.yaml that are no "
        f"personal data (pii: true): {', '.join(known)}."
    )
    for feature in features:
        for name, dtype in compute(feature, known.to_frame(), rule).schema.items():
            if not (dtype.is_numeric() or dtype in (pl.Boolean, pl.String)):
                raise UserError(f"feature {name}: is {dtype}; make it a number, boolean or text.")


def check_rowwise(features: Expressions, rows: pl.DataFrame) -> None:
    """Raise UserError for a feature whose value in one row depends on other rows.

    Such a feature cannot be computed for a single request as it was in training.
    """
    alone = pl.concat([rows[i].select(features) for i in range(rows.height)])
    for feature in rows.select(features):
        try:
            # A single row may be rounded differently from many.
            assert_series_equal(feature, alone[feature.name])
        except AssertionError as error:
            raise UserError(
                f"feature {feature.name}: the value of a row changes with the rows around it; use "
                "expressions that look at one row only, or learn it on train (FITTED in "
                "definitions.py)."
            ) from error


def serialise(features: Expressions) -> str:
    """Write features as a JSON list, one a line.

    Raises UserError for a feature that hides a Python function: it would not be data.
    """
    texts = [feature.meta.serialize(format="json") for feature in features]
    for feature, text in zip(features, texts, strict=True):
        if '"AnonymousFunction"' in text:
            name = feature.meta.output_name()
            raise UserError(
                f"feature {name}: calls a Python function, which would not be stored with the "
                "model; use expressions of Polars, or values learned on train (FITTED in "
                "definitions.py)."
            )
    return "[\n" + ",\n".join(texts) + "\n]\n"


def deserialise(text: str) -> tuple[pl.Expr, ...]:
    """Read what `serialise` wrote; raises UserError if this Polars cannot."""
    try:
        texts = (io.StringIO(json.dumps(feature)) for feature in json.loads(text))
        return tuple(pl.Expr.deserialize(text, format="json") for text in texts)
    except (ValueError, pl.exceptions.PolarsError) as error:
        raise UserError(
            f"features stored by another Polars cannot be read by {pl.__version__}: {error}"
        ) from error
