"""The verbs of level operations, made from what they need of a project."""

import sys
from collections.abc import Callable
from datetime import date
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..project import Paths
from .params import monitoring_options, responses_options

if TYPE_CHECKING:
    from .retrain import Yours

# For schedulers; an error ends with 1, as everywhere. make turns every failure into 2.
CODES = {"healthy": 0, "watch": 10, "act": 20}


def make_verbs(
    paths: Paths,
    load_params: Callable[[Path], Any],
    watching: Callable[[Any], dict[str, Any]],
    learning: Callable[[Any], "Yours"],
) -> dict[str, Callable[..., Any]]:
    """Make the verbs; each imports only what it needs.

    `watching` and `learning` give, of parameters, what a check and what a retraining need.
    """

    def monitor(*arguments: str) -> dict[str, Any]:
        """Check whether the champion is still right; a verdict is no error."""
        from . import monitor as command

        return command.main(paths, arguments=arguments, **watching(load_params(paths.params)))

    def check(*arguments: str) -> None:
        """Do the same, and end with the verdict's exit code."""
        sys.exit(CODES[monitor(*arguments)["status"]])

    def take_turn(where: Paths, today: date) -> dict[str, Any]:
        """Take one turn of the loop on a day: check, respond, retrain where there is reason to."""
        from . import retrain, turn
        from .monitor import run_check

        params = load_params(where.params)
        run = partial(retrain.run, where, learning(params))
        responses = responses_options(params.responses)
        return turn.take_turn(where, responses, partial(run_check, **watching(params)), run, today)

    def loop(*arguments: str) -> dict[str, Any]:
        """Take the turn of today; a verdict is no error."""
        from . import turn as command

        return command.main(partial(take_turn, paths), arguments)

    def turn(*arguments: str) -> None:
        """Do the same, and end with the verdict's exit code."""
        sys.exit(CODES[loop(*arguments)["status"]])

    def retrain(*arguments: str) -> None:
        """Train and judge candidates, where a trigger fires or TRIGGER names what has."""
        from . import retrain as command
        from .monitor import run_check

        params = load_params(paths.params)
        check = partial(run_check, **watching(params))
        command.main(paths, learning(params), check, arguments)

    def decision(verb: str) -> Callable[..., None]:
        """Make a verb by which a person decides on a version."""
        return lambda *args: import_module(".approve", __package__).main(paths, verb, args)

    def feedback(*arguments: str) -> None:
        """Log truths of predictions from a file."""
        from . import feedback as command

        options = monitoring_options(load_params(paths.params).monitoring)
        command.main(paths, options.key, arguments)

    def replay(*arguments: str) -> None:
        """Live through simulated months in a temporary clone, with the loop and without it."""
        from . import replay as command

        params = load_params(paths.params)
        needs = {name: watching(params)[name] for name in ("target", "keep", "scoring")}
        command.main(paths, command.Replayed(params.seed, take_turn, **needs), arguments)

    def plain(name: str) -> Callable[..., None]:
        """Make a verb that needs nothing of the project."""
        return lambda *args: import_module(f".{name}", __package__).main(paths, args)

    verbs = (monitor, check, loop, turn, retrain, feedback, replay)
    return {
        **{verb.__name__: verb for verb in verbs},
        **{verb: decision(verb) for verb in ("approve", "reject")},
        **{"freeze": plain("freeze"), "history": plain("audit"), "label": plain("label")},
    }
