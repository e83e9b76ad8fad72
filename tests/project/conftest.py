"""The fixtures that tests of the stages share."""

from projects import environment_of_nobody, project, trained, trained_once

__all__ = ["environment_of_nobody", "project", "trained", "trained_once"]
