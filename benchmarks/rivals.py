"""Ours and the defaults of other libraries on repeated splits of a project's table.

Usage: python rivals.py PACKAGE SPLITS LIBRARIES; with FLAML_SECONDS=60 FLAML too. Prints JSON.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import polars as pl

SHARES = (0.7, 0.85)  # of the rows, where validation and test begin: as `prepare` splits


def read_features() -> pl.DataFrame:
    """The features and, last, the target of every row."""
    return pl.read_parquet("data/processed/*/*.parquet")


class Project:
    """The project's own training, with its params.yaml."""

    def __init__(self, package: str, rows: pl.DataFrame) -> None:
        self.train = import_module(f"{package}.models.train")
        self.place = import_module(package).PROJECT
        self.params = import_module(f"{package}.params").load_params(self.place.params)
        self.features = [pl.col(name) for name in rows.columns[:-1]]

    def fit(self, train: pl.DataFrame, validation: pl.DataFrame) -> Any:
        """The candidate."""
        inputs = train.schema
        return self.train.train(train, validation, self.features, inputs, self.params).candidate


def cost(model: Any, rows: pl.DataFrame) -> tuple[int, float]:
    """The bytes of a saved model, and the milliseconds that a row takes in a call of its own."""
    with TemporaryDirectory() as folder:
        model.save(Path(folder) / "model")
        size = sum(path.stat().st_size for path in (Path(folder) / "model").iterdir())
    single = [rows[number] for number in range(min(200, rows.height))]
    start = time.perf_counter()
    for row in single:
        model.score(row)
    return size, (time.perf_counter() - start) / len(single) * 1_000


def loss(task: str, actual: Any, scores: Any) -> float:
    """Root mean squared error, or log loss of positions of classes."""
    if task == "regression":
        return float(np.sqrt(np.mean((actual - scores) ** 2)))
    scores = np.column_stack([1 - scores, scores]) if scores.ndim == 1 else scores
    return float(-np.log(scores[np.arange(len(actual)), actual].clip(1e-15)).mean())


def constant(task: str, known: Any, rows: int) -> Any:
    """The mean of the known targets, or the shares of their classes, for each row."""
    if task == "regression":
        return np.full(rows, known.mean())
    return np.tile(np.bincount(known) / len(known), (rows, 1))


def lightgbm_defaults(task: str, rows: pd.DataFrame, target: Any, text: list[str]) -> Any:
    """LightGBM's defaults."""
    kind = lightgbm.LGBMRegressor if task == "regression" else lightgbm.LGBMClassifier
    return kind(verbosity=-1).fit(rows, target)


def catboost(task: str, rows: pd.DataFrame, target: Any, text: list[str]) -> Any:
    """CatBoost's defaults."""
    import catboost

    kind = catboost.CatBoostRegressor if task == "regression" else catboost.CatBoostClassifier
    quiet = {"verbose": 0, "allow_writing_files": False, "random_seed": 0}
    return kind(cat_features=text, **quiet).fit(rows, target)


def flaml(task: str, rows: pd.DataFrame, target: Any, text: list[str]) -> Any:
    """FLAML's search within FLAML_SECONDS."""
    from flaml import AutoML

    kind = "regression" if task == "regression" else "classification"
    metric = "rmse" if task == "regression" else "log_loss"
    found = AutoML()
    budget = float(os.environ["FLAML_SECONDS"])
    found.fit(rows, target, task=kind, metric=metric, time_budget=budget, seed=0, verbose=0)
    return found


Rival = Callable[[str, pd.DataFrame, Any, list[str]], Any]
RIVALS: dict[str, Rival] = {"CatBoost": catboost, "LightGBM": lightgbm_defaults}


def main() -> None:
    """Fit everything on each split, and print the losses on its test rows."""
    package, splits, libraries = sys.argv[1:]
    sys.path.append(libraries)
    rows = read_features()
    project = Project(package, rows)
    task, target = project.params.task, rows.columns[-1]
    text = [name for name, dtype in rows.schema.items() if dtype == pl.String and name != target]
    classes = rows[target].unique().sort().to_list()
    actual = rows[target].to_numpy()
    if task != "regression":
        actual = np.array([classes.index(value) for value in rows[target]])
    table = rows.drop(target).to_pandas()
    as_text = table.assign(**{name: table[name].fillna("?").astype(str) for name in text})
    categories = table.astype(dict.fromkeys(text, "category"))
    rivals = {**RIVALS, **({"FLAML": flaml} if "FLAML_SECONDS" in os.environ else {})}
    found = []
    for seed in range(int(splits)):
        order = np.random.default_rng(seed).permutation(rows.height)
        train, validation, test = np.split(order, [int(rows.height * share) for share in SHARES])
        known = np.concatenate([train, validation])
        model = project.fit(rows[train], rows[validation])
        losses = {"ours": loss(task, actual[test], model.score(rows[test]))}
        for name, fit in rivals.items():
            data = as_text if name == "CatBoost" else categories
            rival = fit(task, data.iloc[known], actual[known], text)
            regression = task == "regression"
            scores = (rival.predict if regression else rival.predict_proba)(data.iloc[test])
            losses[name] = loss(task, actual[test], scores)
        losses["baseline"] = loss(task, actual[test], constant(task, actual[known], len(test)))
        found.append(losses)
    size, milliseconds = cost(model, rows)
    facts = {"task": task, "rows": rows.height, "features": table.shape[1]}
    print(json.dumps({**facts, "losses": found, "bytes": size, "ms": milliseconds}))


if __name__ == "__main__":
    main()
