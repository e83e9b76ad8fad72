"""`make train` and `make data`: DVC runs the stages whose code, parameters or data changed."""

import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from ..console import Arguments, parse
from ..project import Paths, UserError

HINTS = re.compile(r"(Generating|Updating) lock file|To (track|enable)|\t(git|dvc) |Use `dvc push`")
AGE = re.compile(r"^ +max_age_days: +\d", re.MULTILINE)
# At Ctrl-C DVC and its stage would each print a traceback.
QUIET = ("sh", "-c", 'trap "" INT; exec "$@"', "sh")


def dvc(root: Path, *arguments: str, show: bool = False, **variables: str) -> str:
    """Run DVC in a checkout as `run_module` does."""
    return run_module(root, "dvc", *arguments, show=show, **variables)


def run_module(root: Path, *module: str, show: bool = False, **variables: str) -> str:
    """Run a module with a checkout's own code; returns the output.

    With `show` it is printed too, without DVC's hints. Raises UserError if it fails. Interrupted,
    it ends what it has started.
    """
    ours = {"PYTHONPATH": "src", "PYTHONUNBUFFERED": "1"}
    # DVC wraps what is longer than a line.
    ours |= {} if show else {"COLUMNS": "9999"}
    environment = {**os.environ, **ours, **variables}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    command = [*QUIET, sys.executable, "-m", *module]
    pipe, output, blank = subprocess.PIPE, "", ""
    with subprocess.Popen(command, cwd=root, env=environment, stdout=pipe, text=True) as process:
        try:
            for line in process.stdout or ():
                output += line
                if line.isspace():
                    blank = line
                elif show and not HINTS.match(line):
                    print(blank + line, end="", flush=True)
                    blank = ""
        except BaseException:
            import psutil  # type: ignore[import-untyped]

            started = psutil.Process(process.pid)
            for each in (started, *started.children(recursive=True)):
                with suppress(psutil.NoSuchProcess):
                    each.terminate()
            process.wait()
            # Otherwise the next run warns of every output that the ended one was about to write.
            (root / ".dvc" / "tmp" / "rwlock").unlink(missing_ok=True)
            raise
    if process.returncode:
        raise UserError(f"`{' '.join(module)}` failed; see above.")
    return output


def main(paths: Paths, arguments: Arguments) -> None:
    """Run the pipeline up to STAGE, or the whole of it; exit code 1 where a stage fails.

    The source is asked again with REFRESH, or where the contract says how old data may be: DVC
    sees neither a changed database nor the time.
    """
    args = parse("train", arguments, stage="", refresh="")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        if args.refresh or AGE.search(paths.contract.read_text(encoding="utf-8")):
            dvc(paths.root, "repro", "--force", "ingest", show=True)
        dvc(paths.root, "repro", *args.stage.split(), show=True)
    except UserError:  # DVC and the stage have said why
        sys.exit(1)
