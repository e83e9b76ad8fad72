"""Every verb of the project: which function of the machinery, with which of your definitions.

`python -m <package> VERB …`; the Makefile calls it. A verb imports what it alone needs.
"""

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from mlops_loop.console import run_verb

from . import PROJECT

if TYPE_CHECKING:
    from .params import Params


def read_params() -> "Params":
    """Read params.yaml."""
    from .params import load_params

    return load_params(PROJECT.params)


def adopt(*arguments: str) -> None:
    """Take a table of your own in place of the example."""
    from mlops_loop.commands.adopt import adopt as command

    from .features.definitions import TARGET

    command.main(PROJECT, TARGET, read_params().ingest, arguments)


def compare(*arguments: str) -> None:
    """Compare two versions by your metrics, with the confidence that the gate asks for."""
    from mlops_loop.commands import compare as command

    from .models.metrics import judging

    params = read_params()
    command.main(PROJECT, judging(params, params.registration), arguments)


def experiment(*arguments: str) -> None:
    """Try other parameters in a checkout of its own."""
    from mlops_loop.commands import experiment as command
    from mlops_loop.data.sources import options

    from .data import sources

    command.main(PROJECT, read_params(), lambda p: options(sources, p.ingest), arguments)


def explain(*arguments: str) -> None:
    """Explain a version, or its predictions for a file."""
    from mlops_loop.commands import explain as command

    from .models.metrics import judging

    params = read_params()
    command.main(PROJECT, judging(params, params.evaluate), params.seed, arguments)


def tune(*arguments: str) -> None:
    """Search for better parameters by cross-validation."""
    from mlops_loop.commands import tune as command

    from .models.estimators import learner

    command.main(PROJECT, read_params(), learner, arguments)


def plain(name: str) -> Any:
    """A verb that needs nothing of yours."""
    return lambda *args: import_module(f"mlops_loop.commands.{name}").main(PROJECT, args)


VERBS = {verb.__name__: verb for verb in (adopt, compare, experiment, explain, tune)}
VERBS |= {name: plain(name) for name in ("predict", "promote", "reproduce")}

if __name__ == "__main__":
    run_verb(VERBS, sys.argv[1:])
