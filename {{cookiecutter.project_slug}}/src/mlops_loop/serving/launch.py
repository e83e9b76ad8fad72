"""`make app`: the page on Streamlit, beside the service that it asks."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
from streamlit.web import cli

from ..project import Paths, UserError, load_settings
from .auth import LOCAL

SCRIPT = Path(__file__).with_name("streamlit_app.py")


def service_url() -> httpx.URL:
    """Where the service is."""
    return httpx.URL(os.environ.get("SERVICE_URL") or "http://127.0.0.1:8000")


@contextmanager
def service(paths: Paths, url: httpx.URL) -> Iterator[None]:
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
        [sys.executable, "-m", f"{paths.package.name}.serving", "serve"],
        env={**os.environ, **place},
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


def main(paths: Paths, arguments: Sequence[str] = ()) -> None:
    """Show the page at 127.0.0.1 and PORT until a signal ends it."""
    load_settings(paths)
    port = os.environ.get("PORT") or "8501"
    with service(paths, service_url()):
        cli.main(
            [
                "run",
                str(SCRIPT),
                "--server.address=127.0.0.1",
                f"--server.port={port}",
                "--server.headless=true",
                "--browser.gatherUsageStats=false",
                "--client.toolbarMode=minimal",
                "--",
                str(paths.root),
                str(paths.package),
            ]
        )
