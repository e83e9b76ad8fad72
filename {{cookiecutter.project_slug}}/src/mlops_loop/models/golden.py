"""Golden requests: rows of the test split with a version's own scores, kept with the version.

A service replays them before it takes a version: a model that loads may still score differently.
"""

import numpy as np
import polars as pl
import polars.selectors as cs

from ..data.contract import FEATURE_ROLES, Contract
from ..files import Content, partitions
from ..project import Paths, UserError
from .model import Model

ROWS = 10
TOLERANCE = 1e-6  # of a value; another processor may differ in its last digits


def make(paths: Paths, contract: Contract) -> Content:
    """Records as a request holds them, without personal data, and the candidate's scores."""
    known = cs.by_name(contract.dtypes(*FEATURE_ROLES), require_all=False)
    test = pl.read_parquet(partitions(paths.interim / "test")[0]).select(known)
    some = list(range(0, test.height, max(1, test.height // ROWS)))[:ROWS]
    scores = np.load(paths.scores, mmap_mode="r")[some]
    return {"records": test[some].to_dicts(), "scores": scores.tolist()}


def check(model: Model, golden: Content) -> None:
    """Raise UserError where the model no longer reproduces its golden requests."""
    rows = pl.DataFrame(golden["records"], infer_schema_length=None)
    expected, scores = np.array(golden["scores"]), model.score(rows)
    differing = np.argwhere(~np.isclose(scores, expected, rtol=TOLERANCE, atol=TOLERANCE))
    if len(differing):
        first = tuple(differing[0])
        raise UserError(
            f"golden request {first[0] + 1} scores {scores[first]:g} instead of {expected[first]:g}"
        )
