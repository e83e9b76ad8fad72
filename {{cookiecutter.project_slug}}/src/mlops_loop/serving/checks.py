"""The latest check of the monitor (level operations) as gauges of the service."""

import time
from contextlib import suppress
from datetime import UTC

from prometheus_client import Gauge

from ..project import Paths, UserError
from ..tracking import history

SECONDS = 30  # between two looks at the history
STATUS = {"healthy": 0, "watch": 1, "act": 2}
status = Gauge("monitor_status", "Verdict: 0 healthy, 1 watch, 2 act", ("version",))
checked = Gauge("monitor_checked_timestamp_seconds", "Time of the latest check", ("version",))
figures = {
    "observed": Gauge("monitor_loss_observed", "Mean loss of the last weeks", ("version",)),
    "expected": Gauge("monitor_loss_expected", "Loss that their rows let expect", ("version",)),
    "observed_over_expected": Gauge("monitor_loss_ratio", "Observed over expected", ("version",)),
    "estimate": Gauge("monitor_loss_estimate", "Estimated loss of the last day", ("version",)),
    "alarms": Gauge("monitor_alarms", "Alarms of the last week", ("version",)),
}


class LatestCheck:
    """Reads the history now and then, and sets the gauges."""

    def __init__(self, paths: Paths) -> None:
        self._paths, self._next = paths, 0.0

    def refresh(self) -> None:
        """Set the gauges, unless they were set a moment ago; without a check there are none."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + SECONDS
        with suppress(UserError):  # the history does not answer; the gauges keep their time
            for entry in history.read(self._paths, "check", last=1):
                self.show(entry)

    def show(self, entry: history.Entry) -> None:
        """Set the gauges to a check, and forget those of another version."""
        version = str(entry.version)
        for gauge in (status, checked, *figures.values()):
            gauge.clear()
        status.labels(version).set(STATUS[entry.content["status"]])
        checked.labels(version).set(entry.time.replace(tzinfo=UTC).timestamp())
        for name, gauge in figures.items():
            if (value := entry.content.get(name)) is not None:
                gauge.labels(version).set(value)
