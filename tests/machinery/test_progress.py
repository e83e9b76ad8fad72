"""Bars: on a terminal, for long work; silence everywhere else."""

import os
import pty
import subprocess
import sys

import pytest
from helpers import SOURCE

WORK = """
import sys, time
sys.path.insert(0, {source!r})
from mlops_loop import console
console.PATIENCE_SECONDS = 0.2
seen = []
for item in console.track("abcd", "counting letters"):
    time.sleep({seconds})
    seen.append(item)
assert seen == list("abcd")
assert ("rich" in sys.modules) == {shown}
"""


def said(seconds: float, shown: bool, on_terminal: bool) -> str:
    """What four steps of some seconds print, with stderr on a pseudo-terminal or a pipe."""
    ours, theirs = pty.openpty() if on_terminal else os.pipe()
    code = (
        WORK.replace("{source!r}", repr(str(SOURCE / "src")))
        .replace("{seconds}", str(seconds))
        .replace("{shown}", str(shown))
    )
    environment = {**os.environ, "TERM": "xterm"}
    subprocess.run(
        [sys.executable, "-c", code], stdout=theirs, stderr=theirs, env=environment, check=True
    )
    os.set_blocking(ours, False)
    os.write(theirs, b"\n")
    text = os.read(ours, 1 << 16).decode()
    os.close(ours), os.close(theirs)
    return text.strip()


def test_long_work_has_a_bar_on_a_terminal_that_goes_when_it_ends() -> None:
    text = said(seconds=0.2, shown=True, on_terminal=True)
    assert "counting letters" in text
    assert "75%" in text
    assert text.endswith("\x1b[2K"), "the line is cleared"


@pytest.mark.parametrize(
    ("seconds", "on_terminal"), [(0.0, True), (0.1, False)], ids=["short work", "a pipe"]
)
def test_there_is_silence(seconds: float, on_terminal: bool) -> None:
    assert said(seconds, shown=False, on_terminal=on_terminal) == ""
