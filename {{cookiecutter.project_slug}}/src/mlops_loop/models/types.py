"""The types that models are made of."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Floats = NDArray[np.float64]
Classes = tuple[str | int | bool, ...]  # of a target; none for regression


@dataclass(frozen=True)
class Estimator(ABC):
    """An object of a library that has been fitted, with one interface for all libraries.

    Its `file` runs no code on load and has equal bytes for equal fits; `libraries` are the
    distributions that loading and predicting need.
    """

    file: ClassVar[str]
    libraries: ClassVar[tuple[str, ...]] = ()

    fitted: Any

    @abstractmethod
    def predict(self, matrix: Floats, /) -> Array:
        """Predict the value, or the probability of each class, of each row (rows x features)."""

    @property
    def trees(self) -> int:
        """The number of trees that TreeSHAP explains; 0 for other estimators."""
        return 0

    @property
    def is_additive(self) -> bool:
        """True where raw scores are exact sums of contributions of the features."""
        return self.trees > 0

    def contributions(self, matrix: Floats) -> Array:
        """The contributions to raw scores (rows x scores x features + 1), the base last."""
        raise NotImplementedError

    @abstractmethod
    def save(self, path: Path) -> None:
        """Write the file."""

    @classmethod
    @abstractmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote."""
