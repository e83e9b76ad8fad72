"""What a search needs of the project."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from ..config import Section
from ..sections import Tune
from .bootstrap import Bootstrap, Scoring
from .dataset import Fold
from .types import Floats

P = TypeVar("P", bound=Section)


@dataclass(frozen=True)
class Learner(Generic[P]):
    """The project's parameters, how models are judged, and how its estimators fit a fold.

    `fit_fold` gives raw scores of the rows that judge and the number of trees, stopped by these
    rows; `fit_trees` fits a given number of trees without them.
    """

    params: P
    tune: Tune
    task: str
    seed: int
    model: str
    target: str
    group: str | None
    balanced: bool
    threshold: float | None
    scoring: Scoring
    bootstrap: Bootstrap
    fit_fold: Callable[[P, Fold], tuple[Floats, int]]
    fit_trees: Callable[[P, Fold, int], Floats]
