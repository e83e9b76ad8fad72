"""LightGBM, imported without what it can do without, and threads that wait quietly."""

import os
import sys

# Waiting threads that spin for long make a fit many times slower on a busy machine.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")

# LightGBM imports these if it can, for wrappers and tables that nothing here hands to it. They are
# five sixths of its import time, which every stage, prediction and start of a service would pay;
# None stands for "not installed".
SPARED = {name for name in ("pandas", "sklearn") if name not in sys.modules}

sys.modules |= dict.fromkeys(SPARED)  # type: ignore[arg-type]

try:
    import lightgbm
finally:
    for name in SPARED:
        del sys.modules[name]

__all__ = ["lightgbm"]
