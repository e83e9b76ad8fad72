"""Errors that a user can mend, and how a command reports them."""

import sys
from collections.abc import Callable


class UserError(Exception):
    """Something the user can mend: the text names it and says what to do."""


def run(main: Callable[[], None], code: int = 1) -> None:
    """Run a command; a UserError ends it with its text and this exit code."""
    try:
        main()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(code)
