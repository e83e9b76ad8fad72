"""The terms of a linear model; imported only where there is one."""

from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import issparse
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import Pipeline

if TYPE_CHECKING:
    from .types import Floats


def contributions(linear: Pipeline, matrix: "Floats") -> "Floats":
    """Rows x scores x features + 1: what each feature adds to a raw score, the intercept last."""
    columns, regression = linear[0], linear[-1]
    encoded = columns.transform(matrix)
    terms = encoded.toarray() if issparse(encoded) else encoded
    terms = terms[:, None] * np.atleast_2d(regression.coef_)
    values = np.zeros((*terms.shape[:2], matrix.shape[1] + 1))
    values[..., -1] = regression.intercept_
    for position, feature in enumerate(_features(columns)):
        values[..., feature] += terms[..., position]
    return values


def _features(columns: ColumnTransformer) -> list[int]:
    """The feature that each encoded column is made of."""
    (_, _, numeric), (_, encoder, text) = columns.transformers_[:2]
    categories = [len(each) for each in encoder.categories_] if text else []
    return [*numeric, *np.repeat(text, categories).astype(int)]
