"""Features as data: Polars expressions to JSON and back."""

import io
import json
from collections.abc import Sequence

import polars as pl

from ..errors import UserError


def serialise(features: Sequence[pl.Expr]) -> str:
    """The features as a JSON list, one a line.

    Raises UserError for a feature that hides a Python function: it would not be data.
    """
    texts = [feature.meta.serialize(format="json") for feature in features]
    for feature, text in zip(features, texts, strict=True):
        if '"AnonymousFunction"' in text:
            name = feature.meta.output_name()
            raise UserError(f"feature {name}: calls a Python function; use expressions only.")
    return "[\n" + ",\n".join(texts) + "\n]\n"


def deserialise(text: str) -> tuple[pl.Expr, ...]:
    """The expressions of `serialise`; raises UserError if this Polars cannot read them."""
    try:
        return tuple(
            pl.Expr.deserialize(io.StringIO(json.dumps(feature)), format="json")
            for feature in json.loads(text)
        )
    except (ValueError, pl.exceptions.PolarsError) as error:
        raise UserError(
            f"features stored by another Polars cannot be read by {pl.__version__}: {error}"
        ) from error
