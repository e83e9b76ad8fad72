"""The verbs of level operations: `python -m <package>.monitoring VERB …`; the Makefile calls it."""

import sys
from typing import Any

from mlops_loop.console import run_verb

from .. import PROJECT

# For schedulers; an error ends with 1, as everywhere. make turns every failure into 2.
CODES = {"healthy": 0, "watch": 10, "act": 20}


def monitor(*arguments: str) -> dict[str, Any]:
    """Check whether the champion is still right; a verdict is no error."""
    from mlops_loop.monitoring import monitor as command
    from mlops_loop.monitoring.params import monitoring_options

    from ..features.definitions import KEEP_ROWS, TARGET
    from ..models.metrics import SCORING
    from ..params import load_params

    params = load_params()
    options = monitoring_options(params.monitoring)
    scoring = SCORING[params.task]
    return command.main(PROJECT, options, scoring, TARGET, KEEP_ROWS, arguments)


def check(*arguments: str) -> None:
    """Do the same, and end with the verdict's exit code."""
    sys.exit(CODES[monitor(*arguments)["status"]])


if __name__ == "__main__":
    run_verb({"monitor": monitor, "check": check})
