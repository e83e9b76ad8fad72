"""Errors that a user can mend, and how a command reports them."""

import sys
from collections.abc import Callable


class UserError(Exception):
    """Something the user can mend: the text names it and says what to do."""


def run(main: Callable[[], None]) -> None:
    """Run a command; a UserError ends it with its text and exit code 1."""
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
