"""The verbs of level operations: `python -m <package>.monitoring VERB …`; the Makefile calls it."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_loop.console import run_verb
from mlops_loop.monitoring.verbs import make_verbs

from .. import PROJECT

if TYPE_CHECKING:
    from mlops_loop.monitoring.retrain import Yours

    from ..params import Params


def load(path: Path) -> "Params":
    """Read params.yaml."""
    from ..params import load_params

    return load_params(path)


def watching(params: "Params") -> dict[str, Any]:
    """What a check needs of yours."""
    from mlops_loop.monitoring.params import monitoring_options

    from ..features.definitions import KEEP_ROWS, TARGET
    from ..models.metrics import SCORING

    yours = {"scoring": SCORING[params.task], "target": TARGET, "keep": KEEP_ROWS}
    yours |= {"options": monitoring_options(params.monitoring), "bars": params.registration.bars}
    return yours


def learning(params: "Params") -> "Yours":
    """What a retraining needs of yours."""
    from mlops_loop.monitoring.params import retrain_options
    from mlops_loop.monitoring.retrain import Yours

    from ..data import sources
    from ..features.definitions import TARGET
    from ..models.metrics import SCORING
    from ..models.register import register
    from .triggers import decide

    options, scoring = retrain_options(params.retrain), SCORING[params.task]
    return Yours(params, options, sources, scoring, TARGET, decide, register)


if __name__ == "__main__":
    run_verb(make_verbs(PROJECT, load, watching, learning))
