"""params.yaml as frozen, closed sections: one per stage."""

from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from mlops_loop.config import Section, load
from mlops_loop.sections import Ingest, Tune

Share = Annotated[float, Field(gt=0, lt=1)]
ModelName = Literal["lightgbm", "random_forest", "linear"]


class Prepare(Section):
    """How rows are split, and what becomes of personal data."""

    test_from: Annotated[date | None, Field(strict=False)]
    group: str | None
    pii: Literal["drop", "hash"]


class Featurize(Section):
    """How far features are checked."""

    check_rows: Annotated[int, Field(ge=1)]


class LightGBM(Section):
    """What LightGBM alone needs to know."""

    num_leaves: Annotated[int, Field(ge=2)]
    min_child_samples: Annotated[int, Field(ge=1)]
    early_stopping_rounds: Annotated[int, Field(ge=1)]
    folds: Annotated[int, Field(ge=2)] | None


class RandomForest(Section):
    """What the random forest alone needs to know."""

    trees: Annotated[int, Field(ge=1)]
    min_samples_leaf: Annotated[int, Field(ge=1)]


class Linear(Section):
    """What the linear model alone needs to know."""

    alpha: Annotated[float, Field(ge=0)]


class Train(Section):
    """Which model is fitted and how."""

    model: ModelName
    max_trees: Annotated[int, Field(ge=1)]
    learning_rate: Annotated[float, Field(gt=0)]
    threads: Annotated[int, Field(ge=0)]
    class_weight: Literal["balanced"] | None
    threshold: Share | None
    lightgbm: LightGBM
    random_forest: RandomForest
    linear: Linear


class Slices(Section):
    """Which groups of rows are judged."""

    min_rows: Annotated[int, Field(ge=1)]


class Evaluate(Section):
    """How certain the test metrics are, and of which groups they are shown."""

    slices: Slices
    resamples: Annotated[int, Field(ge=10)]
    confidence: Share


class Register(Section):
    """What a model must reach to be registered and promoted."""

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
    def only_classes_have_weights(self) -> Self:
        """Refuse what regression does not have."""
        if self.train.class_weight and self.task == "regression":
            raise ValueError("train.class_weight: regression has no classes; set null")
        if self.train.threshold and self.task != "binary":
            raise ValueError("train.threshold: only task binary has one; set null")
        return self


def load_params(path: Path) -> Params:
    """Read params.yaml; raises UserError that names every wrong key."""
    return load(path, Params)
