"""The types that models are made of."""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Floats = NDArray[np.float64]
Label = str | int | bool


class Estimator(Protocol):
    """The interface that LightGBM's Booster, scikit-learn's estimators and the baseline share."""

    def predict(self, matrix: Floats, /) -> Any:
        """Predict each row of a matrix (rows x features)."""
