"""The verbs of level operations: `python -m <package>.monitoring VERB …`; the Makefile calls it."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_loop.console import run_verb
from mlops_loop.monitoring.verbs import Operations

from .. import PROJECT

if TYPE_CHECKING:
    from mlops_loop.monitoring.retrain import Yours

    from ..params import Params


def load(path: Path) -> "Params":
    """Read params.yaml."""
    from ..params import load_params

    return load_params(path)


def check_needs(params: "Params") -> dict[str, Any]:
    """The parts of yours that a check needs."""
    from mlops_loop.monitoring.params import Monitoring, read_section

    from ..features.definitions import KEEP_ROWS, TARGET
    from ..models.metrics import SCORING

    return {
        "options": read_section(Monitoring, params.monitoring),
        "scoring": SCORING[params.task],
        "target": TARGET,
        "keep": KEEP_ROWS,
        "bars": params.registration.bars,
    }


def retrain_needs(params: "Params") -> "Yours":
    """The parts of yours that a retraining needs."""
    from mlops_loop.monitoring.params import Retrain, read_section
    from mlops_loop.monitoring.retrain import Yours

    from ..data import sources
    from ..features.definitions import TARGET
    from ..models.metrics import SCORING
    from ..models.register import register
    from .triggers import decide

    options, scoring = read_section(Retrain, params.retrain), SCORING[params.task]
    return Yours(params, options, sources, scoring, TARGET, decide, register)


if __name__ == "__main__":
    run_verb(Operations(PROJECT, load, check_needs, retrain_needs).verbs)
