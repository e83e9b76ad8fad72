"""The scoring code that travels with a model, under a name of its own.

Machinery imports itself relatively, so this part of it runs under any name. The name holds a digest
of the code: beside the project's `mlops_loop`, or another version in the same process, a model is
scored by the code that it was registered with.
"""

import hashlib
import shutil
from pathlib import Path

MACHINERY = Path(__file__).parents[1]
MODULES = (
    "__init__.py",
    "config.py",
    "features.py",
    "files.py",
    "project.py",
    "data/contract.py",
    "data/text.py",
    "models/model.py",
    "models/persistence.py",
    "models/types.py",
    "tracking/__init__.py",
    "tracking/pyfunc.py",
)


def code_hash() -> str:
    """Digest of the scoring code."""
    return hashlib.sha256(b"".join((MACHINERY / name).read_bytes() for name in MODULES)).hexdigest()


def copy_code(folder: Path) -> Path:
    """Copy the scoring code below `folder`; returns its package."""
    package = folder / f"mlops_loop_{code_hash()[:12]}"
    for name in MODULES:
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(MACHINERY / name, package / name)
    return package
