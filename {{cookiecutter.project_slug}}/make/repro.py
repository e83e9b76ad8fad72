"""The pipeline in one process: preflight, `dvc repro` without its chatter, summary of a whole run.

One process: three would import the same libraries, and a no-op would take longer than it need.
"""

import gc
import logging
import os
import sys
from runpy import run_module

from dvc.cli import main

CHATTER = ("didn't change, skipping", "To track the changes with git", "To enable auto staging")


def is_news(record: logging.LogRecord) -> bool:
    """Whether a line says what happened."""
    return not any(phrase in record.getMessage() for phrase in CHATTER)


def summarise(package: str) -> None:
    """Print the summary; whoever has read enough of it (`make train | head`) is left in peace."""
    try:
        run_module(f"{package}.summary", run_name="__main__")
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def reproduce(package: str, *targets: str) -> int:
    """Run what changed, up to the targets."""
    # A quarter of a no-op went into looking for garbage among what is imported.
    gc.disable()
    for name in ("dvc.stage", "dvc.repo.scm_context"):
        logging.getLogger(name).addFilter(is_news)
    run_module(f"{package}.preflight", run_name="__main__")
    failed = main(["repro", *targets])
    if not failed and not targets:
        summarise(package)
    gc.freeze()
    return failed


if __name__ == "__main__":
    sys.exit(reproduce(*sys.argv[1:]))
