"""scikit-learn's estimators and their skops files; imported only where `train.model` names one."""

from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import ZIP_DEFLATED

import skops.io
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import Ridge
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from ..errors import UserError
from ..params import Train

if TYPE_CHECKING:
    from .estimators import Estimator, Table

FILE = "estimator.skops"
# Everything that a file of ours may hold beyond what skops trusts by itself.
TRUSTED_TYPES = ["numpy.dtype", "sklearn.tree._tree.Tree"]


def fit_forest(params: Train, threads: int, seed: int, table: "Table") -> RandomForestRegressor:
    """Fit a random forest on category codes; it takes missing values as they are."""
    forest = RandomForestRegressor(
        n_estimators=params.random_forest.trees,
        min_samples_leaf=params.random_forest.min_samples_leaf,
        n_jobs=threads,
        random_state=seed,
    )
    return forest.fit(table.matrix, table.target)


def fit_linear(params: Train, train: "Table", both: "Table") -> Pipeline:
    """Fit ridge regression on `both` splits; scaling and one-hot encoding see `train` only."""
    categorical = list(train.categorical)
    numeric = [i for i in range(len(train.names)) if i not in train.categorical]
    scaled = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    encoded = OneHotEncoder(handle_unknown="ignore")
    columns = ColumnTransformer([("numeric", scaled, numeric), ("text", encoded, categorical)])
    columns.fit(train.matrix)
    ridge = Ridge(alpha=params.linear.alpha).fit(columns.transform(both.matrix), both.target)
    return make_pipeline(columns, ridge)


def save(estimator: "Estimator", folder: Path) -> None:
    """Write a skops file."""
    skops.io.dump(estimator, folder / FILE, compression=ZIP_DEFLATED, compresslevel=1)


def load(folder: Path) -> "Estimator":
    """Read a skops file; raises UserError if it holds a type that we never write."""
    path = folder / FILE
    unknown = set(skops.io.get_untrusted_types(file=path)) - set(TRUSTED_TYPES)
    if unknown:
        raise UserError(f"{path}: holds types that no model of ours has: {sorted(unknown)}.")
    estimator: Estimator = skops.io.load(path, trusted=TRUSTED_TYPES)
    return estimator
