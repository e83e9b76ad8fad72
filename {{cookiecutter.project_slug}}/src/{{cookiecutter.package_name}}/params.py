"""params.yaml as frozen, closed sections: one per stage."""

from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from mlops_loop.config import Ingest, Section, Tune, load

from . import PROJECT

Share = Annotated[float, Field(gt=0, lt=1)]


class Prepare(Section):
    """The split of rows, and the treatment of personal data."""

    test_from: Annotated[date | None, Field(strict=False)]
    group: str | None
    pii: Literal["drop", "hash"]


class Featurize(Section):
    """The check of features."""

    check_rows: Annotated[int, Field(ge=1)]


class LightGBM(Section):
    """Parameters of LightGBM alone."""

    num_leaves: Annotated[int, Field(ge=2)]
    min_child_samples: Annotated[int, Field(ge=1)]
    early_stopping_rounds: Annotated[int, Field(ge=1)]
    folds: Annotated[int, Field(ge=2)] | None


class RandomForest(Section):
    """Parameters of the random forest alone."""

    trees: Annotated[int, Field(ge=1)]
    min_samples_leaf: Annotated[int, Field(ge=1)]


class Linear(Section):
    """Parameters of the linear model alone."""

    alpha: Annotated[float, Field(ge=0)]


class Train(Section):
    """The model, and the parameters that several kinds share."""

    model: Literal["lightgbm", "random_forest", "linear"]
    max_trees: Annotated[int, Field(ge=1)]
    learning_rate: Annotated[float, Field(gt=0)]
    threads: Annotated[int, Field(ge=0)]
    class_weight: Literal["balanced"] | None
    threshold: Share | None
    out_of_fold: Literal["auto", "validation", "folds"]
    lightgbm: LightGBM
    random_forest: RandomForest
    linear: Linear


class Slices(Section):
    """Groups of test rows."""

    min_rows: Annotated[int, Field(ge=1)]


class Evaluate(Section):
    """Confidence intervals of the test metrics, and slices."""

    slices: Slices
    resamples: Annotated[int, Field(ge=10)]
    confidence: Share


class Register(Section):
    """The gate: thresholds and the comparison with the champion."""

    bars: dict[str, float]
    slices: dict[str, float]
    fairness: dict[str, Annotated[float, Field(ge=0)]]
    resamples: Annotated[int, Field(ge=10)]
    confidence: Share


class Params(Section):
    """The whole of params.yaml."""

    task: Literal["regression", "binary", "multiclass"]
    seed: Annotated[int, Field(ge=0)]
    ingest: Ingest
    prepare: Prepare
    featurize: Featurize
    train: Train
    tune: Tune
    evaluate: Evaluate
    registration: Annotated[Register, Field(alias="register")]
    # The level `deployment` has this section, and checks it in serving/params.py.
    serving: dict[str, Any] | None = None

    @model_validator(mode="after")
    def check_task(self) -> Self:
        """Refuse parameters that the task does not have."""
        if self.train.class_weight and self.task == "regression":
            raise ValueError("train.class_weight: regression has no classes; set null")
        if self.train.threshold and self.task != "binary":
            raise ValueError("train.threshold: only task binary has one; set null")
        return self


def load_params(path: Path = PROJECT.params) -> Params:
    """Read params.yaml; raises UserError that names every wrong key."""
    return load(path, Params)
