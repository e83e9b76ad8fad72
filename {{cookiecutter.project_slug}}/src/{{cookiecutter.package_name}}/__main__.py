"""The verbs, `python -m <package> VERB …`: the machinery of each, and what it needs of yours.

The Makefile calls them. A verb imports only what it needs.
"""

from importlib import import_module
from typing import Any

from mlops_loop.console import run_verb

from . import PROJECT


def adopt(*arguments: str) -> None:
    """Put a table of your own in place of the example."""
    from mlops_loop.commands.adopt import adopt as command

    from .features.definitions import TARGET
    from .params import load_params

    command.main(PROJECT, TARGET, load_params().ingest, arguments)


def experiment(*arguments: str) -> None:
    """Try other parameters in a checkout of their own."""
    from mlops_loop.commands import experiment as command
    from mlops_loop.data.sources import options

    from .data import sources
    from .params import load_params

    command.main(PROJECT, load_params(), lambda p: options(sources, p.ingest), arguments)


def predict(*arguments: str) -> None:
    """Score a file with a version."""
    from mlops_loop.commands import predict as command

    from .features.definitions import TARGET

    command.main(PROJECT, TARGET, arguments)


def tune(*arguments: str) -> None:
    """Search for better parameters by cross-validation."""
    from mlops_loop.commands import tune as command

    from .models.train import learner
    from .params import load_params

    command.main(PROJECT, load_params(), learner, arguments)


def judged(name: str, section: str) -> Any:
    """Make a verb that judges by your metrics, with the bootstrap of a section of params.yaml."""

    def verb(*arguments: str) -> None:
        from .models.metrics import judging
        from .params import load_params

        params = load_params()
        by = judging(params, getattr(params, section))
        import_module(f"mlops_loop.commands.{name}").main(PROJECT, by, arguments)

    return verb


def plain(name: str, function: str = "main") -> Any:
    """Make a verb that needs nothing of yours."""
    module = f"mlops_loop.commands.{name}"
    return lambda *args: getattr(import_module(module), function)(PROJECT, args)


VERBS = {verb.__name__: verb for verb in (adopt, experiment, predict, tune)}
VERBS |= {"compare": judged("compare", "registration"), "explain": judged("explain", "evaluate")}
VERBS |= {name: plain(name) for name in ("pipeline", "promote", "reproduce")}
VERBS |= {name: plain("records", name) for name in ("history", "ui")}

if __name__ == "__main__":
    run_verb(VERBS)
