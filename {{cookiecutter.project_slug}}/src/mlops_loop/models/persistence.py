"""The kinds of fitted estimators, whose files are found by their names."""

import json
import re
from dataclasses import dataclass
from importlib import import_module
from io import BytesIO
from pathlib import Path
from typing import Any, Self
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

import numpy as np

from ..files import read_json, write_json
from ..project import UserError, import_library
from .types import Array, Estimator, Floats

SCHEMA = "schema.json"  # in a skops file

# skops names objects and their files by addresses in memory.
ADDRESS = re.compile(r'(?<="__id__": )\d+|(?<="file": ")\d+')

# What forests and linear models hold beyond what skops trusts by itself.
TRUSTED_TYPES = ("numpy.dtype", "sklearn.tree._tree.Tree")


class DummyModel(Estimator):
    """The baseline: the target's mean, or the shares of its classes, for any features."""

    file = "constant.json"

    @classmethod
    def fit(cls, task: str, target: Array) -> Self:
        """Fit the targets of all rows."""
        shares = np.bincount(target) / len(target) if task == "multiclass" else target.mean()
        return cls(shares.tolist())

    def predict(self, matrix: Floats, /) -> Array:
        return np.full((len(matrix), *np.shape(self.fitted)), self.fitted)

    def save(self, path: Path) -> None:
        write_json(path, self.fitted)

    @classmethod
    def load(cls, path: Path) -> Self:
        return cls(read_json(path))


class Linear(Estimator):
    """The numbers of a linear model, in JSON.

    Scores are the `intercept` and, of features at the positions `numbers`, their difference to
    `fill`, which stands for a missing one, times `weights` (numbers x scores). Features at the
    positions `text` have `tables` of weights (codes x scores), the last row for a missing category.
    Numbers are cut to `limits`, if there are any.
    """

    file = "linear.json"

    def predict(self, matrix: Floats, /) -> Array:
        return inverse_link(self.fitted["task"], self.raw(matrix))

    @property
    def is_additive(self) -> bool:
        return True

    def raw(self, matrix: Floats) -> Floats:
        """The scores before the link function (rows x scores)."""
        raw: Floats = self._differences(matrix) @ self.fitted["weights"] + self.fitted["intercept"]
        for position, table in zip(self.fitted["text"], self.fitted["tables"], strict=True):
            raw += table[as_codes(matrix[:, position], len(table))]
        return raw

    def contributions(self, matrix: Floats) -> Array:
        values = np.empty((len(matrix), len(self.fitted["intercept"]), matrix.shape[1] + 1))
        terms = self._differences(matrix)[:, None] * self.fitted["weights"].T
        values[:, :, self.fitted["numbers"]], values[:, :, -1] = terms, self.fitted["intercept"]
        for position, table in zip(self.fitted["text"], self.fitted["tables"], strict=True):
            values[:, :, position] = table[as_codes(matrix[:, position], len(table))]
        return values

    @classmethod
    def within(cls, line: Estimator, matrix: Floats) -> Self | None:
        """A linear model that does not go on beyond the numbers of these rows.

        None for a model of another kind: a fit on few rows may have seen fewer classes.
        """
        if not isinstance(line, cls):
            return None
        known = np.nan_to_num(matrix[:, line.fitted["numbers"]])
        return cls(line.fitted | {"limits": [known.min(0), known.max(0)]})

    def _differences(self, matrix: Floats) -> Floats:
        numbers: Floats = matrix[:, self.fitted["numbers"]]
        if self.fitted["limits"] is not None:
            numbers = numbers.clip(*self.fitted["limits"])
        return np.asarray(np.nan_to_num(numbers - self.fitted["fill"]), np.float64)

    def save(self, path: Path) -> None:
        write_json(path, json.loads(json.dumps(self.fitted, default=np.ndarray.tolist)))

    @classmethod
    def load(cls, path: Path) -> Self:
        found = read_json(path)
        # A list of no rows has no width.
        found["weights"] = np.reshape(found["weights"], (-1, len(found["intercept"])))
        found["tables"] = [np.array(table) for table in found["tables"]]
        return cls(found | {name: np.array(found[name]) for name in ("intercept", "fill")})


@dataclass(frozen=True)
class LightGBM(Estimator):
    """LightGBM's Booster in its own text, and the linear model that it began with, if any."""

    file, libraries = "booster.txt", ("lightgbm",)
    start: Linear | None = None

    def predict(self, matrix: Floats, /) -> Array:
        if self.start is None:
            return np.asarray(self.fitted.predict(matrix))
        begun = self.start.raw(matrix)
        raw = np.asarray(self.fitted.predict(matrix, raw_score=True))
        return inverse_link(self.start.fitted["task"], begun + raw.reshape(begun.shape))

    @property
    def trees(self) -> int:
        return int(self.fitted.num_trees())

    def contributions(self, matrix: Floats) -> Array:
        values = np.asarray(self.fitted.predict(matrix, pred_contrib=True))
        if self.start is None:
            return values
        begun = self.start.contributions(matrix)
        return np.asarray(begun + values.reshape(begun.shape))

    def save(self, path: Path) -> None:
        if self.start:
            self.start.save(path.with_name(Linear.file))
        # The trees are the same with any number of threads, which the text would name.
        text = re.sub(r"\[num_threads: \d+\]", "[num_threads: 0]", self.fitted.model_to_string())
        path.write_text(text, encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Self:
        start = path.with_name(Linear.file)
        booster = import_library("lightgbm").Booster(model_file=path)
        return cls(booster, Linear.load(start) if start.exists() else None)


class XGBoost(Estimator):
    """XGBoost's Booster in its own JSON."""

    file, libraries = "xgboost.json", ("xgboost", "xgboost-cpu")

    def predict(self, matrix: Floats, /) -> Array:
        return np.asarray(self.fitted.inplace_predict(matrix), np.float64)

    @property
    def trees(self) -> int:
        return int(self.fitted.num_boosted_rounds())

    def contributions(self, matrix: Floats) -> Array:
        library, types = import_library("xgboost"), self.fitted.feature_types
        rows = library.DMatrix(matrix, feature_types=types, enable_categorical=True)
        return np.asarray(self.fitted.predict(rows, pred_contribs=True), np.float64)

    def save(self, path: Path) -> None:
        self.fitted.save_model(path)

    @classmethod
    def load(cls, path: Path) -> Self:
        return cls(import_library("xgboost").Booster(model_file=path))


class CatBoost(Estimator):
    """CatBoost's model in its own binary format."""

    file, libraries = "catboost.cbm", ("catboost",)

    def predict(self, matrix: Floats, /) -> Array:
        scores = "Probability" if len(self.fitted.classes_) else "RawFormulaVal"
        return np.asarray(self.fitted.predict(self._pool(matrix), prediction_type=scores))

    @property
    def trees(self) -> int:
        return int(self.fitted.tree_count_)

    def contributions(self, matrix: Floats) -> Array:
        pool = self._pool(matrix)
        return np.asarray(self.fitted.get_feature_importance(pool, type="ShapValues"))

    def _pool(self, matrix: Floats) -> Any:
        return make_pool(matrix, self.fitted.get_cat_feature_indices())

    def save(self, path: Path) -> None:
        # Classes and loss are needed; the rest are times, threads and losses of the fit.
        metadata = self.fitted.get_metadata()
        loss = {"loss_function": json.loads(metadata["params"])["loss_function"]}
        for name in [name for name in metadata.keys() if name != "class_params"]:  # noqa: SIM118
            metadata[name] = json.dumps(loss if name == "params" else {})
        self.fitted.save_model(path)

    @classmethod
    def load(cls, path: Path) -> Self:
        return cls(import_library("catboost").CatBoost().load_model(path))


def make_pool(
    matrix: Floats, categorical: Any, target: Array | None = None, weights: Array | None = None
) -> Any:
    """Convert rows for CatBoost, whose categories are integers; -1 is a missing one."""
    import pandas as pd

    columns = dict(enumerate(matrix.T))
    codes = {i: np.nan_to_num(columns[i], nan=-1).astype(int) for i in categorical}
    frame = pd.DataFrame(columns | codes)
    library = import_library("catboost")
    return library.Pool(frame, target, weight=weights, cat_features=list(categorical))


@dataclass(frozen=True)
class ScikitLearn(Estimator):
    """An estimator of scikit-learn in a skops file.

    A fit on few rows may have seen fewer than `classes`. `trusted_types` may be in the file
    besides those that all files may hold.
    """

    file, libraries = "estimator.skops", ("scikit-learn", "skops")
    classes: int = 0
    trusted_types: tuple[str, ...] = ()

    def predict(self, matrix: Floats, /) -> Array:
        if not hasattr(self.fitted, "predict_proba"):
            return np.asarray(self.fitted.predict(matrix))
        scores = self.fitted.predict_proba(matrix)
        aligned = np.zeros((len(scores), max(self.classes, scores.shape[1])))
        aligned[:, self.fitted.classes_] = scores
        return aligned

    def save(self, path: Path) -> None:
        """Write equal bytes for equal estimators; raises UserError that names untrusted types."""
        import skops.io

        content = skops.io.dumps(self.fitted)
        found = set(skops.io.get_untrusted_types(data=content))
        unknown = sorted(found - {*TRUSTED_TYPES, *self.trusted_types})
        if unknown:
            raise UserError(
                "params.yaml: train.sklearn.trusted_types: the estimator holds types that are not "
                f"in this list. If you trust them, set it to [{', '.join(unknown)}]."
            )
        numbers: dict[str, str] = {}
        dumped = ZipFile(BytesIO(content))
        schema = ADDRESS.sub(
            lambda address: numbers.setdefault(address.group(), str(len(numbers))),
            dumped.read(SCHEMA).decode(),
        )
        with ZipFile(path, "w") as archive:
            for name in dumped.namelist():
                address, _, ending = name.partition(".")
                # A ZipInfo of its own is dated 1980, whenever it is made.
                member = ZipInfo(f"{numbers.get(address, address)}.{ending}")
                part = schema if name == SCHEMA else dumped.read(name)
                archive.writestr(member, part, ZIP_DEFLATED, compresslevel=1)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a file; raises UserError for a type of another library than scikit-learn."""
        import skops.io

        found = skops.io.get_untrusted_types(file=path)
        unknown = [name for name in found if name not in TRUSTED_TYPES and not is_sklearn(name)]
        if unknown:
            raise UserError(f"{path}: holds types that no model of ours has: {unknown}.")
        return cls(skops.io.load(path, trusted=found))


def is_sklearn(name: str) -> bool:
    """True for a class of scikit-learn: unlike a function, a model cannot be made to call it."""
    module, _, attribute = name.rpartition(".")
    if not module.startswith("sklearn."):
        return False
    found = getattr(import_module(module), attribute, None)
    return isinstance(found, type) and found.__module__.startswith("sklearn.")


def as_codes(categories: Floats, rows: int) -> Array:
    """Categories as positions in a table of `rows`, missing and later ones as the last."""
    return np.nan_to_num(categories, nan=rows).clip(max=rows - 1).astype(int)


def inverse_link(task: str, raw: Floats) -> Array:
    """Convert raw scores (rows x scores) to values, P(second class) or P(each class)."""
    if task == "multiclass":
        return np.exp(raw - np.logaddexp.reduce(raw, axis=1, keepdims=True))
    return raw[:, 0] if task == "regression" else np.exp(-np.logaddexp(0, -raw[:, 0]))


# A booster may have begun with a linear model, whose file lies beside its own.
KINDS: tuple[type[Estimator], ...] = (LightGBM, XGBoost, CatBoost, ScikitLearn, Linear, DummyModel)


def save(estimator: Estimator, folder: Path) -> None:
    """Write the file of an estimator."""
    estimator.save(folder / estimator.file)


def load(folder: Path) -> Estimator:
    """Read what `save` wrote; raises UserError where this code or environment cannot."""
    for kind in KINDS:
        if (folder / kind.file).exists():
            return kind.load(folder / kind.file)
    raise UserError(
        f"{folder}: this code does not know the kind of this model; update it to the commit that "
        "the version is tagged with, or train another model."
    )
