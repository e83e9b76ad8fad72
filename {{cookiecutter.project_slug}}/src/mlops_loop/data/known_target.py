"""Partitions of data/raw whose target is known directly: rows of the prediction log.

They have the columns of a request and the truth that came later, which is the target itself, but
none of the outcomes that TARGET is made of.
"""

from collections.abc import Collection, Sequence
from io import StringIO

import polars as pl

from .contract import CHECKED_ROLES, STORED_ROLES, Column, Contract

ID = "prediction_id"  # a column that only these have
LOOSE = {"categories": None, "max_missing": None}  # the service has answered such rows
KINDS = {pl.Boolean: "Boolean", pl.String: "String"}


def find_definitions(
    columns: Collection[str], contract: Contract, target: pl.Expr, rules: Sequence[pl.Expr]
) -> tuple[Contract, pl.Expr, Sequence[pl.Expr]]:
    """The contract, TARGET, and KEEP_ROWS or CHECKS of a partition with these columns.

    Where the target is known, its column takes the place of TARGET in the rules, and those that
    need other outcomes are left out.
    """
    name = target.meta.output_name()
    if not {ID, name} <= set(columns):
        return contract, target, rules
    dtype = find_dtype(contract, target)
    kind = "Float64" if dtype.is_float() else KINDS.get(dtype.base_type(), "Int64")
    facts = {"name": name, "dtype": kind, "role": "outcome", "nullable": True, "description": name}
    outcomes = [c for c in contract.columns if c.role == "outcome" and c.name == name]
    read = [
        # The log holds no personal data.
        column.model_copy(update=LOOSE | {"nullable": column.nullable or column.pii})
        for column in contract.columns
        if column.role in STORED_ROLES
    ]
    read += outcomes or [Column.model_validate(facts)]
    known = [replace_target(rule, target) for rule in rules]
    names = {column.name for column in read}
    return (
        contract.model_copy(update={"columns": tuple(read)}),
        pl.col(name).cast(dtype, strict=False),
        [rule for rule in known if names.issuperset(rule.meta.root_names())],
    )


def find_dtype(contract: Contract, target: pl.Expr) -> pl.DataType:
    """The dtype of TARGET over the columns of the contract."""
    return contract.dtypes(*CHECKED_ROLES, pii=True).to_frame().select(target).dtypes[0]


def replace_target(rule: pl.Expr, target: pl.Expr) -> pl.Expr:
    """Put the target's own column in each place where a rule computes TARGET, named or not."""
    text, column = to_json(rule), to_json(pl.col(target.meta.output_name()))
    for computed in (target, target.meta.undo_aliases()):
        text = text.replace(to_json(computed), column)
    return pl.Expr.deserialize(StringIO(text), format="json")


def to_json(expression: pl.Expr) -> str:
    """An expression as JSON, which holds that of each of its parts."""
    return expression.meta.serialize(format="json")
