"""The verbs of level deployment: `python -m <package>.serving VERB …`; the Makefile calls it."""

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from mlops_loop.console import run_verb

from .. import PROJECT

if TYPE_CHECKING:
    from mlops_loop.serving.params import Serving

    from ..params import Params


def read_params() -> tuple["Params", "Serving"]:
    """Read params.yaml, and its section `serving`."""
    from mlops_loop.serving.params import serving_options

    from ..params import load_params

    params = load_params(PROJECT.params)
    return params, serving_options(params.serving, params.task)


def serve() -> None:
    """Serve the champion over HTTP."""
    from mlops_loop.serving import server

    from .app import create_app

    server.main(PROJECT, read_params()[1], create_app)


def deliver(*arguments: str) -> None:
    """Hold a running service against the delivery checklist and the gate's bars."""
    from mlops_loop.serving import release

    from ..models.gate import failed_bars

    params, options = read_params()
    bars = params.registration.bars
    release.main(PROJECT, options, lambda scores: failed_bars(params.task, scores, bars), arguments)


def with_options(name: str) -> Any:
    """A verb that needs the section `serving`."""
    return lambda *args: import_module(f"mlops_loop.serving.{name}").main(
        PROJECT, read_params()[1], *args
    )


def plain(name: str, function: str = "main") -> Any:
    """A verb that needs nothing of yours."""
    return lambda *args: getattr(import_module(f"mlops_loop.serving.{name}"), function)(
        PROJECT, args
    )


VERBS = {
    "serve": serve,
    "deliver": deliver,
    "work": with_options("worker"),
    "stream": with_options("stream"),
    "ab-test": with_options("ab_test"),
    "batch": plain("batch"),
    "image": plain("follow", "make_image"),
    "export": plain("onnx_export"),
    "key": plain("auth"),
    "app": plain("page"),
}

if __name__ == "__main__":
    if sys.argv[1:2] in (["serve"], ["work"], ["stream"]):
        # LightGBM reads this when it is loaded: one row is too little to share among threads.
        os.environ.setdefault("OMP_NUM_THREADS", "1")
    run_verb(VERBS)
