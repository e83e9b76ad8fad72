"""Interface of the project for a search of parameters."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from ..config import Section, Tune
from .bootstrap import Bootstrap, Scoring
from .dataset import Fold
from .types import Floats

P = TypeVar("P", bound=Section)


@dataclass(frozen=True)
class Learner(Generic[P]):
    """The project's parameters, metrics, and fits of a fold.

    `fit_fold` returns raw scores of the validation rows and the number of trees, stopped by these
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
