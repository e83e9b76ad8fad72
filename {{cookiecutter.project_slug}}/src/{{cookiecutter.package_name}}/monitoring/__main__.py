"""The verbs of level operations: `python -m <package>.monitoring VERB …`; the Makefile calls it."""

import sys
from datetime import date
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

from mlops_loop.console import run_verb
from mlops_loop.project import Paths

from .. import PROJECT

if TYPE_CHECKING:
    from mlops_loop.monitoring.retrain import Yours

    from ..params import Params

# For schedulers; an error ends with 1, as everywhere. make turns every failure into 2.
CODES = {"healthy": 0, "watch": 10, "act": 20}


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


def monitor(*arguments: str) -> dict[str, Any]:
    """Check whether the champion is still right; a verdict is no error."""
    from mlops_loop.monitoring import monitor as command

    from ..params import load_params

    return command.main(PROJECT, arguments=arguments, **watching(load_params()))


def check(*arguments: str) -> None:
    """Do the same, and end with the verdict's exit code."""
    sys.exit(CODES[monitor(*arguments)["status"]])


def take_turn(paths: Paths, today: date) -> dict[str, Any]:
    """Take one turn of the loop on a day: check, respond, retrain where there is reason to."""
    from mlops_loop.monitoring import retrain, turn
    from mlops_loop.monitoring.monitor import run_check
    from mlops_loop.monitoring.params import responses_options

    from ..params import load_params

    params = load_params(paths.params)
    check, responses = partial(run_check, **watching(params)), responses_options(params.responses)
    run = partial(retrain.run, paths, learning(params))
    return turn.take_turn(paths, responses, check, run, today)


def loop(*arguments: str) -> dict[str, Any]:
    """Take the turn of today; a verdict is no error."""
    from mlops_loop.monitoring import turn as command

    return command.main(partial(take_turn, PROJECT), arguments)


def turn(*arguments: str) -> None:
    """Do the same, and end with the verdict's exit code."""
    sys.exit(CODES[loop(*arguments)["status"]])


def retrain(*arguments: str) -> None:
    """Train and judge candidates, where a trigger fires or TRIGGER names what has."""
    from mlops_loop.monitoring import retrain as command
    from mlops_loop.monitoring.monitor import run_check

    from ..params import load_params

    params = load_params()
    check = partial(run_check, **watching(params))
    command.main(PROJECT, learning(params), check, arguments)


def decision(verb: str) -> Any:
    """Make a verb by which a person decides on a version."""
    return lambda *args: import_module("mlops_loop.monitoring.approve").main(PROJECT, verb, args)


def feedback(*arguments: str) -> None:
    """Log truths of predictions from a file."""
    from mlops_loop.monitoring import feedback as command
    from mlops_loop.monitoring.params import monitoring_options

    from ..params import load_params

    options = monitoring_options(load_params().monitoring)
    command.main(PROJECT, options.key, arguments)


def replay(*arguments: str) -> None:
    """Live through simulated months in a temporary clone, with the loop and without it."""
    from mlops_loop.monitoring import replay as command

    from ..params import load_params

    params = load_params()
    needs = {name: watching(params)[name] for name in ("target", "keep", "scoring")}
    command.main(PROJECT, command.Replayed(params.seed, take_turn, **needs), arguments)


def plain(name: str) -> Any:
    """Make a verb that needs nothing of yours."""
    return lambda *args: import_module(f"mlops_loop.monitoring.{name}").main(PROJECT, args)


VERBS = {verb.__name__: verb for verb in (monitor, check, loop, turn, retrain, feedback, replay)}
VERBS |= {verb: decision(verb) for verb in ("approve", "reject")}
VERBS |= {"freeze": plain("freeze"), "history": plain("audit"), "label": plain("label")}

if __name__ == "__main__":
    run_verb(VERBS)
