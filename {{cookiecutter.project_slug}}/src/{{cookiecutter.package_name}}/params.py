"""params.yaml as frozen, closed sections: one per stage."""

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from .config import Section, load, validated
from .errors import UserError

Share = Annotated[float, Field(gt=0, lt=1)]
ModelName = Literal["lightgbm", "random_forest", "linear"]


class Ingest(Section):
    """Where raw data come from; the keys beside `source` are checked by data/sources."""

    model_config = ConfigDict(extra="allow")

    source: str


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


class Tune(Section):
    """How parameters are searched; models/space.py checks the space of `train.model`."""

    trials: Annotated[int, Field(ge=1)]
    timeout: Annotated[float, Field(gt=0)] | None
    sampler: Literal["tpe", "random", "grid"]
    metric: str | None
    folds: Annotated[int, Field(ge=2)]
    space: dict[ModelName, dict[str, Any]]


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


def load_params(path: Path) -> Params:
    """Read params.yaml; raises UserError that names every wrong key."""
    return _checked(load(path, Params))


def changed(params: Params, values: Mapping[str, object]) -> Params:
    """`params` with other values by dotted key; raises UserError that names what will not do."""
    content: object = params.model_dump(by_alias=True)
    for key, value in values.items():
        content = _with(content, key.split("."), value)
    return _checked(validated(Params, content, "params.yaml"))


def _with(content: object, keys: list[str], value: object) -> object:
    if not keys:
        return value
    section = content if isinstance(content, dict) else {}
    return {**section, keys[0]: _with(section.get(keys[0]), keys[1:], value)}


def _checked(params: Params) -> Params:
    if params.train.class_weight and params.task == "regression":
        raise UserError("params.yaml: train.class_weight: regression has no classes; set null.")
    if params.train.threshold and params.task != "binary":
        raise UserError("params.yaml: train.threshold: only task binary has one; set null.")
    return params
