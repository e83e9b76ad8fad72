"""`dvc repro` without its lines on stages that did not change and on what to type next."""

import logging
import sys

from dvc.cli import main

CHATTER = ("didn't change, skipping", "To track the changes with git", "To enable auto staging")


def is_news(record: logging.LogRecord) -> bool:
    """Whether a line says what happened."""
    return not any(phrase in record.getMessage() for phrase in CHATTER)


if __name__ == "__main__":
    for name in ("dvc.stage", "dvc.repo.scm_context"):
        logging.getLogger(name).addFilter(is_news)
    sys.exit(main(["repro", *sys.argv[1:]]))
