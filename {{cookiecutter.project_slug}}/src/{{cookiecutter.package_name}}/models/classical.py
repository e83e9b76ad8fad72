"""scikit-learn's estimators and their skops files; imported only where `train.model` names one."""

import re
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

import numpy as np
import skops.io
from scipy.sparse import issparse
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from threadpoolctl import threadpool_limits

from ..errors import UserError
from ..params import Train

if TYPE_CHECKING:
    from .estimators import Estimator, Table
    from .model import Floats

FILE, SCHEMA = "estimator.skops", "schema.json"
# What skops names an object and its file by: its address in memory.
ADDRESS = re.compile(r'(?<="__id__": )\d+|(?<="file": ")\d+')
# Everything that a file of ours may hold beyond what skops trusts by itself.
TRUSTED_TYPES = ["numpy.dtype", "sklearn.tree._tree.Tree"]
# How a sum is rounded follows the number of threads: a model must not depend on the machine's.
threadpool_limits(1, user_api="blas")


def fit(
    task: str, params: Train, threads: int, seed: int, train: "Table", rows: "Table"
) -> "Estimator":
    """Fit what `train.model` names on `rows`; scaling and encoding see `train` only."""
    forest = params.model == "random_forest"
    fitted: Estimator = (
        fit_forest(task, params, threads, seed, rows)
        if forest
        else fit_linear(task, params, train, rows)
    )
    return fitted


def fit_forest(
    task: str, params: Train, threads: int, seed: int, rows: "Table"
) -> RandomForestClassifier | RandomForestRegressor:
    """Fit a random forest on category codes; it takes missing values as they are."""
    kind = RandomForestRegressor if task == "regression" else RandomForestClassifier
    forest = kind(
        n_estimators=params.random_forest.trees,
        min_samples_leaf=params.random_forest.min_samples_leaf,
        n_jobs=threads,
        random_state=seed,
    )
    forest.fit(rows.matrix, rows.target, sample_weight=rows.weights)
    # It grows the same trees with any number of threads, but adds up their answers in any order.
    return forest.set_params(n_jobs=None)


def fit_linear(task: str, params: Train, train: "Table", rows: "Table") -> Pipeline:
    """Fit ridge or logistic regression; scaling and one-hot encoding see `train` only."""
    categorical = list(train.categorical)
    numeric = [i for i in range(train.matrix.shape[1]) if i not in train.categorical]
    imputed = SimpleImputer(strategy="median", keep_empty_features=True)
    scaled = make_pipeline(imputed, StandardScaler())
    encoded = OneHotEncoder(handle_unknown="ignore")
    columns = ColumnTransformer([("numeric", scaled, numeric), ("text", encoded, categorical)])
    columns.fit(train.matrix)
    linear = Ridge(params.linear.alpha) if task == "regression" else _logistic(params.linear.alpha)
    linear.fit(columns.transform(rows.matrix), rows.target, sample_weight=rows.weights)
    return make_pipeline(columns, linear)


def _logistic(alpha: float) -> LogisticRegression:
    return LogisticRegression(C=1 / alpha if alpha else np.inf, max_iter=1_000)


def contributions(linear: Pipeline, matrix: "Floats") -> "Floats":
    """Rows x scores x features + 1: what each feature adds to a raw score, the intercept last."""
    columns, regression = linear[0], linear[-1]
    encoded = columns.transform(matrix)
    terms = encoded.toarray() if issparse(encoded) else encoded
    terms = terms[:, None] * np.atleast_2d(regression.coef_)
    values = np.zeros((*terms.shape[:2], matrix.shape[1] + 1))
    values[..., -1] = regression.intercept_
    for position, feature in enumerate(_features(columns)):
        values[..., feature] += terms[..., position]
    return values


def _features(columns: ColumnTransformer) -> list[int]:
    """The feature that each encoded column is made of."""
    (_, _, numeric), (_, encoder, text) = columns.transformers_[:2]
    categories = [len(each) for each in encoder.categories_] if text else []
    return [*numeric, *np.repeat(text, categories).astype(int)]


def save(estimator: "Estimator", folder: Path) -> None:
    """Write a skops file: equal estimators give equal bytes."""
    numbers: dict[str, str] = {}

    def number(address: re.Match[str]) -> str:
        return numbers.setdefault(address.group(), str(len(numbers)))

    dumped = ZipFile(BytesIO(skops.io.dumps(estimator)))
    schema = ADDRESS.sub(number, dumped.read(SCHEMA).decode())
    with ZipFile(folder / FILE, "w") as archive:
        for name in dumped.namelist():
            address, _, ending = name.partition(".")
            # A ZipInfo of its own is dated 1980, whenever it is made.
            member = ZipInfo(f"{numbers.get(address, address)}.{ending}")
            content = schema if name == SCHEMA else dumped.read(name)
            archive.writestr(member, content, ZIP_DEFLATED, compresslevel=1)


def load(folder: Path) -> "Estimator":
    """Read a skops file; raises UserError if it holds a type that we never write."""
    path = folder / FILE
    unknown = set(skops.io.get_untrusted_types(file=path)) - set(TRUSTED_TYPES)
    if unknown:
        raise UserError(f"{path}: holds types that no model of ours has: {sorted(unknown)}.")
    estimator: Estimator = skops.io.load(path, trusted=TRUSTED_TYPES)
    return estimator
