"""Example: monthly green-taxi files of the NYC Taxi & Limousine Commission, from web or folder."""

import shutil
from collections.abc import Iterator
from functools import partial
from http import HTTPStatus
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import Annotated
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from pydantic import Field

from ...config import Section
from ...errors import UserError
from ...paths import Paths
from ...tables import check_parquet
from . import Partition

TIMEOUT_SECONDS = 60

Month = Annotated[str, Field(pattern=r"^\d{4}-(0[1-9]|1[0-2])$")]
Months = Annotated[tuple[Month, ...], Field(strict=False, min_length=1)]


class Options(Section):
    """Which months, and the address or folder that holds them."""

    months: Months
    base: str


def partitions(options: Options, seed: int, paths: Paths) -> Iterator[Partition]:
    """One partition a month, as it is published."""
    for month in options.months:
        bring = partial(fetch, options.base, month, partial_downloads=paths.partial)
        yield Partition(file_name(month), f"tlc: {options.base}, {month}", bring)


def file_name(month: str) -> str:
    """The name under which a month (YYYY-MM) is published."""
    return f"green_tripdata_{month}.parquet"


def fetch(base: str, month: str, target: Path, partial_downloads: Path) -> None:
    """Copy or download one month to `target`; a broken download stays apart, to be resumed.

    Raises UserError when the month cannot be had, BrokenFile when it is not whole.
    """
    name = file_name(month)
    if base.startswith(("http://", "https://")):
        partial_downloads.mkdir(parents=True, exist_ok=True)
        download(f"{base.rstrip('/')}/{name}", partial_downloads / name)
        shutil.move(partial_downloads / name, target)
    else:
        source = Path(base).expanduser() / name
        if not source.is_file():
            raise UserError(f"ingest.months: {month} needs {source}, which is not there.")
        shutil.copyfile(source, target)
    check_parquet(target, Path(base) / name)


def download(url: str, target: Path) -> None:
    """Download `url`, going on where an earlier attempt at the same content stopped."""
    part, etag = target.with_suffix(".part"), target.with_suffix(".etag")
    try:
        with _open(url, part, etag) as response:
            size = _append(response, part, etag)
    except HTTPError as error:
        raise UserError(f"{url}: the server answered {error.code} {error.reason}.") from error
    except (OSError, HTTPException) as error:
        raise UserError(f"{url}: {error}; run the same command again to resume.") from error
    if size not in (None, part.stat().st_size):
        raise UserError(
            f"{url}: got {part.stat().st_size} of {size} bytes; run the command again to resume."
        )
    etag.unlink(missing_ok=True)
    part.replace(target)


def _open(url: str, part: Path, etag: Path) -> HTTPResponse:
    request = Request(url)
    if part.exists() and etag.exists():
        # If-Range: the server starts from the beginning if its file has changed meanwhile.
        request.add_header("Range", f"bytes={part.stat().st_size}-")
        request.add_header("If-Range", etag.read_text(encoding="utf-8"))
    try:
        response: HTTPResponse = urlopen(request, timeout=TIMEOUT_SECONDS)
    except HTTPError as error:
        if error.code != HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise
        # All of it had come when an earlier attempt was killed; nothing says that it is whole.
        part.unlink()
        return _open(url, part, etag)
    return response


def _append(response: HTTPResponse, part: Path, etag: Path) -> int | None:
    """Take the rest of the file; returns its whole size in bytes if the server tells."""
    resumed = response.status == HTTPStatus.PARTIAL_CONTENT
    start = part.stat().st_size if resumed else 0
    length = response.headers["Content-Length"]
    if response.headers["ETag"]:
        etag.write_text(response.headers["ETag"], encoding="utf-8")
    with part.open("ab" if resumed else "wb") as file:
        shutil.copyfileobj(response, file, length=1 << 20)
    return start + int(length) if length else None
