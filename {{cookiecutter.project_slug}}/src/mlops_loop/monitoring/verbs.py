"""The verbs of level operations; each imports only what it needs."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..files import Content
from ..project import Paths
from .params import Monitoring, Responses, read_section

if TYPE_CHECKING:
    from .batch import Needs
    from .retrain import Yours

# For schedulers; an error ends with 1, as everywhere. make turns every failure into 2.
CODES = {"healthy": 0, "watch": 10, "act": 20}
# Verbs that need nothing of the project, by their functions.
PLAIN = {"freeze": "decide.freeze", "history": "audit.main", "label": "feedback.label"}


@dataclass(frozen=True)
class Operations:
    """The verbs on a project; `check_needs` and `retrain_needs` take its parameters."""

    paths: Paths
    load_params: Callable[[Path], Any]
    check_needs: Callable[[Any], "Needs"]
    retrain_needs: Callable[[Any], "Yours"]

    @property
    def verbs(self) -> dict[str, Callable[..., Any]]:
        """The verbs by name."""
        named = (self.monitor, self.loop, self.retrain, self.feedback, self.replay)
        return {
            **{verb.__name__: verb for verb in named},
            "check": lambda *args: sys.exit(CODES[self.monitor(*args)["status"]]),
            "turn": lambda *args: sys.exit(CODES[self.loop(*args)["status"]]),
            **{verb: partial(self.decide, verb) for verb in ("approve", "reject")},
            **{verb: partial(self.run, *name.split(".")) for verb, name in PLAIN.items()},
        }

    def monitor(self, *arguments: str) -> Content:
        """Check whether the champion is still right; a verdict is no error."""
        from . import monitor as command

        needs = self.check_needs(self.load_params(self.paths.params))
        return command.main(self.paths, needs, arguments)

    def loop(self, *arguments: str) -> Content:
        """Take the turn of today; a verdict is no error."""
        from . import turn as command

        return command.main(partial(self.take_turn, self.paths), arguments)

    def take_turn(self, where: Paths, today: date) -> Content:
        """Take one turn of the loop on a day: check, respond, retrain where there is reason to."""
        from . import retrain, turn
        from .monitor import run_check

        params = self.load_params(where.params)
        responses = read_section(Responses, params.responses)
        check = partial(run_check, needs=self.check_needs(params))
        run = partial(retrain.run, where, self.retrain_needs(params))
        return turn.take_turn(where, responses, check, run, today)

    def retrain(self, *arguments: str) -> None:
        """Train and judge candidates, where a trigger fires or TRIGGER names what has."""
        from . import retrain as command
        from .monitor import run_check

        params = self.load_params(self.paths.params)
        check = partial(run_check, needs=self.check_needs(params))
        command.main(self.paths, self.retrain_needs(params), check, arguments)

    def feedback(self, *arguments: str) -> None:
        """Log truths of predictions from a file."""
        from . import feedback as command

        options = read_section(Monitoring, self.load_params(self.paths.params).monitoring)
        command.main(self.paths, options.key, arguments)

    def replay(self, *arguments: str) -> None:
        """Live through simulated months in a temporary clone, with the loop and without it."""
        from . import replay as command

        params = self.load_params(self.paths.params)
        replayed = command.Replayed(params.seed, self.take_turn, self.check_needs(params))
        command.main(self.paths, replayed, arguments)

    def decide(self, verb: str, *arguments: str) -> None:
        """Approve or reject a version that waits."""
        from .decide import decide

        decide(self.paths, verb, arguments)

    def run(self, module: str, function: str, *arguments: str) -> None:
        """Run a verb that needs nothing of the project."""
        getattr(import_module(f".{module}", __package__), function)(self.paths, arguments)
