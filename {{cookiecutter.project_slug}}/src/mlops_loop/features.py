"""Checks of definitions.py against the contract, and features as JSON."""

import io
import json
from collections.abc import Sequence

import polars as pl

from .data.contract import CHECKED_ROLES, FEATURE_ROLES, STORED_ROLES, Contract
from .project import UserError


def check_definitions(target: pl.Expr, keep_rows: Sequence[pl.Expr], contract: Contract) -> None:
    """Raise UserError when the target or a filter cannot be computed, or a feature could see it."""
    name = target.meta.output_name()
    if name in contract.names(*STORED_ROLES):
        raise UserError(
            f"the target {name} has the name of a column that features may use; give that "
            "column role outcome in contract.yaml, or the target another name (.alias)."
        )
    everything = contract.dtypes(*CHECKED_ROLES, pii=True)
    schemas = [(target, contract.dtypes(*CHECKED_ROLES)), *((k, everything) for k in keep_rows)]
    for expression, schema in schemas:
        try:
            pl.LazyFrame(schema=schema).select(expression).collect_schema()
        except pl.exceptions.PolarsError as error:
            raise UserError(
                f"definitions.py: {expression}: {error}\nTARGET and KEEP_ROWS may use any column "
                "of contract.yaml that is not ignored; TARGET no personal data (pii: true)."
            ) from error


def check_features(features: Sequence[pl.Expr], contract: Contract) -> None:
    """Raise UserError for a feature of an unfit dtype, or of columns that features may not use."""
    known = contract.dtypes(*FEATURE_ROLES)
    for feature in features:
        try:
            schema = pl.LazyFrame(schema=known).select(feature).collect_schema()
        except pl.exceptions.PolarsError as error:
            personal = {column.name for column in contract.columns if column.pii}
            hidden = [name for name in feature.meta.root_names() if name in personal]
            note = f" Personal data (pii: true) are never among them: {', '.join(hidden)}."
            raise UserError(
                f"feature {feature}: {error}\nA feature may use only columns with role input or "
                f"time in contract.yaml: {', '.join(known)}.{note if hidden else ''}"
            ) from error
        for name, dtype in schema.items():
            if not (dtype.is_numeric() or dtype in (pl.Boolean, pl.String)):
                raise UserError(f"feature {name}: is {dtype}; make it a number, boolean or text.")


def check_rowwise(features: Sequence[pl.Expr], rows: pl.DataFrame) -> None:
    """Raise UserError for a feature whose value in one row depends on other rows.

    Such a feature cannot be computed for a single request as it was in training.
    """
    together = rows.select(features)
    alone = pl.concat([rows[i].select(features) for i in range(rows.height)])
    differing = [one.name for one in together if not _equal(one, alone[one.name])]
    if differing:
        raise UserError(
            f"features {', '.join(differing)}: the value of a row changes with the rows around "
            "it; use expressions that look at one row only."
        )


def _equal(one: pl.Series, other: pl.Series) -> bool:
    if not one.dtype.is_float():
        return one.equals(other)
    # A single row may be rounded differently from many.
    return one.is_null().equals(other.is_null()) and one.is_close(other, nans_equal=True).all()


def serialise(features: Sequence[pl.Expr]) -> str:
    """Write features as a JSON list, one a line.

    Raises UserError for a feature that hides a Python function: it would not be data.
    """
    texts = [feature.meta.serialize(format="json") for feature in features]
    for feature, text in zip(features, texts, strict=True):
        if '"AnonymousFunction"' in text:
            name = feature.meta.output_name()
            raise UserError(f"feature {name}: calls a Python function; use expressions only.")
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
