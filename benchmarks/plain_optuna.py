"""A data scientist's first script: Optuna around LGBMRegressor, on the train split of a project.

Usage: python plain_optuna.py TIME_COLUMN TRIALS
"""

import json
import os
import sys

import lightgbm
import numpy as np
import optuna
import pandas as pd
from sklearn.model_selection import TimeSeriesSplit

THREADS = max(1, (os.cpu_count() or 2) - 1)


def read(time: str) -> tuple[pd.DataFrame, pd.Series]:
    """Features and target of train in time order, text as categories."""
    order = pd.read_parquet("data/interim/train")[time].argsort(kind="stable")
    rows = pd.read_parquet("data/processed/train").iloc[order]
    text = rows.select_dtypes(["object", "string"]).columns
    rows = rows.astype(dict.fromkeys(text, "category"))
    return rows.iloc[:, :-1], rows.iloc[:, -1]


def main() -> None:
    """Search, and print the best score."""
    features, target = read(sys.argv[1])

    def objective(trial: optuna.Trial) -> float:
        scores = []
        for learning, judging in TimeSeriesSplit(3).split(features):
            model = lightgbm.LGBMRegressor(
                n_estimators=250,
                learning_rate=trial.suggest_float("learning_rate", 0.05, 0.3, log=True),
                num_leaves=trial.suggest_int("num_leaves", 15, 255, log=True),
                min_child_samples=trial.suggest_int("min_child_samples", 5, 200, log=True),
                n_jobs=THREADS,
                verbosity=-1,
            )
            judged = features.iloc[judging], target.iloc[judging]
            model.fit(
                features.iloc[learning],
                target.iloc[learning],
                eval_set=[judged],
                callbacks=[lightgbm.early_stopping(25, verbose=False)],
            )
            errors = model.predict(judged[0]) - judged[1]
            scores.append(float(np.sqrt(np.mean(errors**2))))
        return float(np.mean(scores))

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=42))
    study.optimize(objective, n_trials=int(sys.argv[2]))
    print(json.dumps(study.best_value))


if __name__ == "__main__":
    main()
