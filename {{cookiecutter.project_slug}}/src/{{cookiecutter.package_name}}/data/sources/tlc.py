"""Example: monthly green-taxi files of the NYC Taxi & Limousine Commission, from web or folder."""

import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Annotated

import fsspec  # type: ignore[import-untyped]
from pydantic import Field

from mlops_loop.config import Section
from mlops_loop.data.sources import Partition
from mlops_loop.data.tables import check_parquet
from mlops_loop.project import Paths, UserError

Month = Annotated[str, Field(pattern=r"^\d{4}-(0[1-9]|1[0-2])$")]
Months = Annotated[tuple[Month, ...], Field(strict=False, min_length=1)]


class Options(Section):
    """The months, and the address or folder that holds them."""

    months: Months
    base: str


def partitions(options: Options, seed: int, paths: Paths) -> Iterator[Partition]:
    """One partition a month, as it is published."""
    for month in options.months:
        source = f"{options.base.rstrip('/')}/green_tripdata_{month}.parquet"
        origin = f"tlc: {options.base}, {month}"
        yield Partition(f"green_tripdata_{month}.parquet", origin, partial(fetch, source))


def fetch(source: str, target: Path) -> None:
    """Copy or download a month; raises UserError if it cannot be had, BrokenFile if it is cut."""
    try:
        with fsspec.open(source) as file, target.open("wb") as copy:
            shutil.copyfileobj(file, copy)
    except Exception as error:  # whatever a file system or a web client raises
        raise UserError(f"params.yaml: ingest.months: {source}: {error!r}") from error
    check_parquet(target, Path(source))
