"""The verbs of level operations: `python -m <package>.monitoring VERB …`; the Makefile calls it."""

from pathlib import Path
from typing import TYPE_CHECKING

from mlops_loop.console import run_verb
from mlops_loop.monitoring.verbs import Operations

from .. import PROJECT

if TYPE_CHECKING:
    from mlops_loop.monitoring.batch import Needs
    from mlops_loop.monitoring.retrain import Yours

    from ..params import Params


def load(path: Path) -> "Params":
    """Read params.yaml."""
    from ..params import load_params

    return load_params(path)


def check_needs(params: "Params") -> "Needs":
    """The parts of yours that a check needs."""
    from mlops_loop.monitoring.batch import Needs
    from mlops_loop.monitoring.params import Monitoring, read_section

    from ..features.definitions import KEEP_ROWS, TARGET
    from ..models.metrics import SCORING

    options, bars = read_section(Monitoring, params.monitoring), params.registration.bars
    return Needs(options, SCORING[params.task], TARGET, KEEP_ROWS, bars)


def retrain_needs(params: "Params") -> "Yours":
    """The parts of yours that a retraining needs."""
    from mlops_loop.monitoring.params import Retrain, read_section
    from mlops_loop.monitoring.retrain import Yours

    from ..data import sources
    from ..features.definitions import TARGET
    from ..models.metrics import SCORING
    from ..models.register import register
    from .triggers import check_base, decide

    options, scoring = read_section(Retrain, params.retrain), SCORING[params.task]
    return Yours(params, options, sources, scoring, TARGET, decide, check_base, register)


def window(*arguments: str) -> None:
    """Write the days to train on, from SINCE to before UNTIL, into params.yaml; blank: no limit."""
    from mlops_loop.config import edit
    from mlops_loop.console import parse

    given = parse("window", arguments, since=None, until=None)
    days = {"prepare.since": given.since, "prepare.until": given.until}
    edit(PROJECT.params, days | {"ingest.until": given.until})


def notify(*arguments: str) -> None:
    """Send a message of an EVENT with its TEXT, as .env says."""
    from mlops_loop.console import parse
    from mlops_loop.monitoring import notify as command

    given = parse("notify", arguments, event="", text="")
    command.notify(PROJECT, given.event, given.text)


if __name__ == "__main__":
    verbs = Operations(PROJECT, load, check_needs, retrain_needs).verbs
    run_verb(verbs | {"window": window, "notify": notify})  # the latter for dags/
