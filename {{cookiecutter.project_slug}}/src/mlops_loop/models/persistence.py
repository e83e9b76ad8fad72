"""Files of estimators, in formats that run no code on load, found by their names."""

import os
import re
import sys
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path
from types import ModuleType
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

import numpy as np

from ..files import read_json, write_json
from ..project import UserError
from .types import Estimator, Floats

BOOSTER, CONSTANT, SKOPS = "booster.txt", "constant.json", "estimator.skops"
SCHEMA = "schema.json"  # in a skops file

# skops names objects and their files by addresses in memory.
ADDRESS = re.compile(r'(?<="__id__": )\d+|(?<="file": ")\d+')

# What a file of ours may hold beyond what skops trusts by itself.
TRUSTED_TYPES = ["numpy.dtype", "sklearn.tree._tree.Tree"]


@dataclass(frozen=True)
class DummyModel:
    """The baseline: the target's mean, or the shares of its classes, for any features."""

    value: float | list[float]

    def predict(self, matrix: Floats, /) -> Floats:
        """Predict the same for each row."""
        return np.full((len(matrix), *np.shape(self.value)), self.value)


@cache
def import_lightgbm() -> ModuleType:
    """Import LightGBM without pandas and scikit-learn, and with threads that wait quietly.

    LightGBM imports both if it can, for wrappers that are not used here: five sixths of its import
    time, which every stage, prediction and start of a service would pay.
    """
    # Waiting threads that spin for long make a fit many times slower on a busy machine.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    hidden = {name for name in ("pandas", "sklearn") if name not in sys.modules}
    sys.modules |= dict.fromkeys(hidden)  # type: ignore[arg-type]  # None: not installed
    try:
        import lightgbm
    finally:
        for name in hidden:
            del sys.modules[name]
    return lightgbm


def save(estimator: Estimator, folder: Path) -> None:
    """Write LightGBM's text, JSON for the baseline, or skops for scikit-learn."""
    if hasattr(estimator, "model_to_string"):
        # The trees are the same with any number of threads, which the text would name.
        text = re.sub(r"\[num_threads: \d+\]", "[num_threads: 0]", estimator.model_to_string())
        (folder / BOOSTER).write_text(text, encoding="utf-8")
    elif isinstance(estimator, DummyModel):
        write_json(folder / CONSTANT, estimator.value)
    else:
        _save_skops(estimator, folder / SKOPS)


def _save_skops(estimator: Estimator, path: Path) -> None:
    """Write a skops file with equal bytes for equal estimators."""
    import skops.io

    numbers: dict[str, str] = {}
    dumped = ZipFile(BytesIO(skops.io.dumps(estimator)))
    schema = ADDRESS.sub(
        lambda address: numbers.setdefault(address.group(), str(len(numbers))),
        dumped.read(SCHEMA).decode(),
    )
    with ZipFile(path, "w") as archive:
        for name in dumped.namelist():
            address, _, ending = name.partition(".")
            # A ZipInfo of its own is dated 1980, whenever it is made.
            member = ZipInfo(f"{numbers.get(address, address)}.{ending}")
            content = schema if name == SCHEMA else dumped.read(name)
            archive.writestr(member, content, ZIP_DEFLATED, compresslevel=1)


def load(folder: Path) -> Estimator:
    """Read what `save` wrote; raises UserError for a file with a type that is never written."""
    estimator: Estimator
    if (folder / BOOSTER).exists():
        estimator = import_lightgbm().Booster(model_file=folder / BOOSTER)
    elif (folder / CONSTANT).exists():
        estimator = DummyModel(read_json(folder / CONSTANT))
    else:
        import skops.io

        path = folder / SKOPS
        unknown = set(skops.io.get_untrusted_types(file=path)) - set(TRUSTED_TYPES)
        if unknown:
            raise UserError(f"{path}: holds types that no model of ours has: {sorted(unknown)}.")
        estimator = skops.io.load(path, trusted=TRUSTED_TYPES)
    return estimator
