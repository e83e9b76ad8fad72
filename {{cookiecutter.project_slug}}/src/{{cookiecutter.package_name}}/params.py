"""params.yaml as frozen, closed sections: one per stage."""

from datetime import date
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from mlops_loop.config import Ingest, Levels, Section, Tune, load
from mlops_loop.models.kinds import CatBoost, ImportPath, Kind, Shared, XGBoost

from . import PROJECT
from .models.estimators import LightGBM, Linear, RandomForest

Share = Annotated[float, Field(gt=0, lt=1)]


class Prepare(Section):
    """The window of rows, their split, and the treatment of personal data."""

    since: Annotated[date | None, Field(strict=False)]
    until: Annotated[date | None, Field(strict=False)]
    old_share: Annotated[float, Field(ge=0, lt=1)]
    test_from: Annotated[date | None, Field(strict=False)]
    group: str | None
    pii: Literal["drop", "hash"]


class Featurize(Section):
    """The check of features."""

    check_rows: PositiveInt


class Train(Section):
    """The model, and the parameters that several kinds share."""

    model: str
    max_trees: PositiveInt
    learning_rate: Annotated[float, Field(gt=0)]
    threads: NonNegativeInt
    base: PositiveInt | None
    class_weight: Literal["balanced"] | None
    threshold: Share | None
    out_of_fold: Literal["auto", "validation", "folds", "days"]
    impute: Literal["median", "mean", "most_frequent"]
    lightgbm: LightGBM
    xgboost: XGBoost
    catboost: CatBoost
    random_forest: RandomForest
    linear: Linear
    sklearn: ImportPath

    @property
    def kinds(self) -> dict[str, Kind]:
        """Every kind of estimator by the name of its section."""
        return {name: section for name, section in self if isinstance(section, Kind)}

    @property
    def section(self) -> str:
        """The name of the section of `model`."""
        return "sklearn" if "." in self.model else self.model

    @property
    def kind(self) -> Kind:
        """The kind of estimator that `model` names."""
        return self.kinds[self.section]


class Slices(Section):
    """Groups of test rows."""

    min_rows: PositiveInt


class Evaluate(Section):
    """Confidence intervals of the test metrics, and slices."""

    slices: Slices
    resamples: Annotated[int, Field(ge=10)]
    confidence: Share


class Register(Section):
    """The gate: thresholds, and the comparison with the champion or its replacement."""

    bars: dict[str, float]
    slices: dict[str, float]
    fairness: dict[str, Annotated[float, Field(ge=0)]]
    resamples: Annotated[int, Field(ge=10)]
    confidence: Share
    replace_question: bool
    require_commit: bool


class Params(Levels):
    """The whole of params.yaml."""

    task: Literal["regression", "binary", "multiclass"]
    seed: NonNegativeInt
    ingest: Ingest
    prepare: Prepare
    featurize: Featurize
    train: Train
    tune: Tune
    evaluate: Evaluate
    registration: Annotated[Register, Field(alias="register")]

    @property
    def shared(self) -> Shared:
        """The parameters that kinds of estimators share."""
        train = self.train
        values = train.max_trees, train.learning_rate, train.threads, train.impute
        return Shared(self.task, self.seed, train.model, *values)

    @model_validator(mode="after")
    def check(self) -> Self:
        """Refuse parameters that the task or the estimators do not have."""
        if self.train.class_weight and self.task == "regression":
            raise ValueError("train.class_weight: regression has no classes; set null")
        if self.train.threshold and self.task != "binary":
            raise ValueError("train.threshold: only task binary has one; set null")
        kinds = self.train.kinds
        if self.train.section not in kinds or self.train.model == "sklearn":
            names = ", ".join(name for name in kinds if name != "sklearn")
            raise ValueError(
                f"train.model: {self.train.model} is none of {names}, nor the import path of an "
                "estimator of scikit-learn"
            )
        if unknown := ", ".join(self.tune.space.keys() - kinds.keys()):
            raise ValueError(f"tune.space: {unknown} is none of {', '.join(kinds)}")
        return self


def load_params(path: Path = PROJECT.params) -> Params:
    """Read params.yaml; raises UserError that names every wrong key."""
    return load(path, Params)
