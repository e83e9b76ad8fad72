"""The verbs of level deployment: `python -m <package>.serving VERB …`; the Makefile calls it."""

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from mlops_loop.console import run_verb

from .. import PROJECT

if TYPE_CHECKING:
    from mlops_loop.serving.params import Serving


def read_options() -> "Serving":
    """Read section `serving` of params.yaml."""
    from mlops_loop.serving.params import serving_options

    from ..params import load_params

    params = load_params()
    return serving_options(params.serving, params.task)


def serve() -> None:
    """Serve the champion over HTTP."""
    from mlops_loop.serving import server

    from .app import create_app

    server.main(PROJECT, read_options(), create_app)


def deliver(*arguments: str) -> None:
    """Hold a running service against the delivery checklist and the gate's bars."""
    from mlops_loop.models.slices import failed_bars
    from mlops_loop.serving import release

    from ..models.metrics import SCORING
    from ..params import load_params

    params = load_params()
    scoring, bars = SCORING[params.task], params.registration.bars
    release.main(PROJECT, read_options(), lambda s: failed_bars(scoring, s, bars), arguments)


def plain(name: str) -> Any:
    """Make a verb that needs nothing of yours."""
    return lambda *args: import_module(f"mlops_loop.serving.{name}").main(PROJECT, args)


def with_options(name: str) -> Any:
    """Make a verb that needs section `serving`."""
    return lambda: import_module(f"mlops_loop.serving.{name}").main(PROJECT, read_options())


VERBS = {
    "serve": serve,
    "work": with_options("service"),
    "stream": with_options("stream"),
    "batch": plain("batch"),
    "rollout": with_options("rollout"),
    "deliver": deliver,
    "image": plain("follow"),
    "export": plain("onnx_export"),
    "key": plain("auth"),
    "app": plain("page"),
}

if __name__ == "__main__":
    if sys.argv[1:2] in (["serve"], ["work"], ["stream"]):
        # LightGBM reads this when it is loaded: one row is too little to share among threads.
        os.environ.setdefault("OMP_NUM_THREADS", "1")
    run_verb(VERBS)
