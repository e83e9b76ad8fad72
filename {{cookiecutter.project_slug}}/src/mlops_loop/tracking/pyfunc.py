"""The model as MLflow's own tools load it: `mlflow.pyfunc.load_model`, `mlflow models serve`."""

from pathlib import Path

import pandas as pd
import polars as pl

from ..models.model import Model, load
from ..models.types import Array


class PandasModel:
    """A Model with MLflow's interface."""

    def __init__(self, model: Model) -> None:
        self.model = model

    def predict(self, model_input: pd.DataFrame, params: object = None) -> Array | pd.DataFrame:
        """Predict values, or classes with their probabilities, from input columns."""
        frame = pl.from_pandas(model_input)
        if not self.model.classes:
            return self.model.predict(frame)
        return self.model.predict_table(frame).to_pandas()


def _load_pyfunc(data_path: str) -> PandasModel:
    """MLflow's entry point (`loader_module`)."""
    return PandasModel(load(Path(data_path)))
