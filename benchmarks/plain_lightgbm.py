"""A data scientist's first script: LightGBM with its defaults, on the splits of a project.

Usage: python plain_lightgbm.py TARGET regression|binary|multiclass
"""

import json
import sys

import lightgbm
import pandas as pd
from sklearn import metrics


def read(*splits: str) -> pd.DataFrame:
    """Rows of data/interim, text as categories."""
    rows = pd.concat([pd.read_parquet(f"data/interim/{split}") for split in splits])
    text = rows.select_dtypes(["object", "string"]).columns
    return rows.astype(dict.fromkeys(text, "category"))


def main() -> None:
    """Fit on train and validation, and print the metrics of test as JSON."""
    target, task = sys.argv[1:]
    known, test = read("train", "validation"), read("test")
    actual = test.pop(target)
    kind = lightgbm.LGBMRegressor if task == "regression" else lightgbm.LGBMClassifier
    model = kind(verbosity=-1).fit(known.drop(columns=target), known[target])
    predicted = model.predict(test)
    if task == "regression":
        found = {
            "rmse": metrics.root_mean_squared_error(actual, predicted),
            "mae": metrics.mean_absolute_error(actual, predicted),
        }
    else:
        probability = model.predict_proba(test)
        found = {
            "log_loss": metrics.log_loss(actual, probability, labels=model.classes_),
            "accuracy": metrics.accuracy_score(actual, predicted),
        }
        if task == "binary":
            found["roc_auc"] = metrics.roc_auc_score(actual, probability[:, 1])
        else:
            found["f1_macro"] = metrics.f1_score(actual, predicted, average="macro")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
