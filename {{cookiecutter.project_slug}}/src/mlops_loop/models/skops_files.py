"""scikit-learn's estimators as skops files; imported only where there is one."""

import re
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

import skops.io

from ..project import UserError

if TYPE_CHECKING:
    from .types import Estimator

FILE, SCHEMA = "estimator.skops", "schema.json"

# What skops names an object and its file by: its address in memory.
ADDRESS = re.compile(r'(?<="__id__": )\d+|(?<="file": ")\d+')

# Everything that a file of ours may hold beyond what skops trusts by itself.
TRUSTED_TYPES = ["numpy.dtype", "sklearn.tree._tree.Tree"]


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
