"""The model as MLflow's own tools load it: `mlflow.pyfunc.load_model`, `mlflow models serve`."""

from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl

from .model import Floats, Model, load


class PandasModel:
    """A Model that takes and gives what MLflow passes around."""

    def __init__(self, model: Model) -> None:
        self.model = model

    def predict(self, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> Floats:
        """Predict each row of a frame of input columns."""
        return self.model.predict(pl.from_pandas(model_input))


def _load_pyfunc(data_path: str) -> PandasModel:
    """MLflow's entry point (`loader_module`)."""
    return PandasModel(load(Path(data_path)))
