"""`make app`: the page on Streamlit, beside the service that it asks."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from streamlit.web import cli

from ..errors import UserError, run
from ..paths import PROJECT, Paths
from ..settings import load_settings
from .guard import LOCAL

SCRIPT = Path(__file__).with_name("streamlit_app.py")


def service_url() -> httpx.URL:
    """Where the service is."""
    return httpx.URL(os.environ.get("SERVICE_URL") or "http://127.0.0.1:8000")


@contextmanager
def service(url: httpx.URL) -> Iterator[None]:
    """A service at `url` as long as the block lasts: the one that answers, else a new one.

    Raises UserError where none answers and none can be started.
    """
    if answers(url):
        yield
        return
    if url.host not in LOCAL:
        raise UserError(f"SERVICE_URL={url}: no service answers there.")
    place = {"HOST": url.host, "PORT": str(url.port or 80)}
    started = subprocess.Popen(
        [sys.executable, "-m", f"{__package__}.server"], env={**os.environ, **place}
    )
    try:
        while not answers(url):
            if started.poll() is not None:
                raise UserError("the service did not start; what it says stands above.")
            time.sleep(0.1)
        yield
    finally:
        started.terminate()
        started.wait()


def answers(url: httpx.URL) -> bool:
    """Whether a service is there."""
    try:
        return httpx.get(url.join("/health")).is_success
    except httpx.TransportError:
        return False


def main(paths: Paths = PROJECT) -> None:
    """Show the page at 127.0.0.1 and PORT until a signal ends it."""
    load_settings(paths)
    port = os.environ.get("PORT") or "8501"
    with service(service_url()):
        cli.main(
            [
                "run",
                str(SCRIPT),
                "--server.address=127.0.0.1",
                f"--server.port={port}",
                "--server.headless=true",
                "--browser.gatherUsageStats=false",
                "--client.toolbarMode=minimal",
            ]
        )


if __name__ == "__main__":
    run(main)
