"""Progress bars: on a terminal, and silence everywhere else."""

import os
import pty
import re
import subprocess
import sys

from helpers import SOURCE

WORK = f"""
import sys
sys.path.insert(0, {str(SOURCE / "src")!r})
from mlops_loop import console
seen = []
for item in console.track("abcd", "counting letters"):
    seen.append(item)
with console.working("thinking"):
    pass
assert seen == list("abcd")
"""


FIT = f"""
import sys, time
sys.path.insert(0, {str(SOURCE / "src")!r})
import lightgbm, numpy as np
from mlops_loop import console
rng = np.random.default_rng(0)
data = lightgbm.Dataset(rng.normal(size=(200, 3)), rng.normal(size=200))
with console.working("train"):
    options = {{"metric": "rmse", "verbose": -1, "num_threads": 1}}
    calls = [console.show_trees, lambda _: time.sleep(0.1)]
    lightgbm.train(options, data, 7, valid_sets=[data], callbacks=calls)
"""


def printed(on_terminal: bool, work: str = WORK) -> str:
    """Output of the work, with stderr on a pseudo-terminal or a pipe."""
    ours, theirs = pty.openpty() if on_terminal else os.pipe()
    environment = {**os.environ, "TERM": "xterm"}
    code = work if on_terminal else f"{work}assert 'rich' not in sys.modules"
    subprocess.run(
        [sys.executable, "-c", code], stdout=theirs, stderr=theirs, env=environment, check=True
    )
    os.set_blocking(ours, False)
    os.write(theirs, b"\n")
    text = os.read(ours, 1 << 16).decode()
    os.close(ours), os.close(theirs)
    return text.strip()


def test_work_has_a_bar_on_a_terminal_that_goes_when_it_ends() -> None:
    text = printed(on_terminal=True)
    assert "counting letters" in text and "100%" in text and "thinking" in text
    assert text.endswith("\x1b[?25h\r\x1b[1A\x1b[2K"), "the lines are cleared"


def test_a_fit_shows_its_trees_its_score_and_the_time() -> None:
    text = printed(True, FIT)
    assert re.search(r"train +\d of at most 7 trees +rmse +[01]\.\d+ +\d s", text)


def test_there_is_silence_on_a_pipe() -> None:
    assert printed(on_terminal=False) == ""
