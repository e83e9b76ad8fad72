"""Example: a seeded simulator of NYC green-taxi trips with the TLC record schema.

Simulated, not real: rush hours, airports, a drift over the seasons, and the dirt of the real files
(negative fares, missing passenger counts, day-long trips, trips that are over at once).
"""

from calendar import monthrange
from collections.abc import Iterator
from datetime import datetime
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import PositiveInt

from mlops_loop.config import Section
from mlops_loop.data.sources import Partition
from mlops_loop.project import Paths

from .tlc import Months

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
ZONES, AIRPORTS, CITY_MILES = 260, (1, 132, 138), 14.0
TRIPS_BY_HOUR = [3, 2, 1, 1, 1, 2, 4, 7, 8, 7, 6, 6, 6, 6, 7, 8, 9, 10, 10, 9, 7, 6, 5, 4]


class Options(Section):
    """Months, and rows of each."""

    months: Months
    rows_per_month: PositiveInt


def partitions(options: Options, seed: int, paths: Paths) -> Iterator[Partition]:
    """One partition a month, with an origin that calls it simulated."""
    rows = options.rows_per_month
    for month in options.months:
        origin = f"simulated: {month}, {rows} rows, seed {seed}"
        yield Partition(f"sample_{month}.parquet", origin, partial(_write, month, rows, seed))


def _write(month: str, rows: int, seed: int, target: Path) -> None:
    simulate(month, rows, seed).write_parquet(target)


def simulate(month: str, rows: int, seed: int) -> pl.DataFrame:
    """Simulate one month (YYYY-MM) of `rows` trips; the same arguments give the same rows."""
    rng = np.random.default_rng([seed, int(month.replace("-", ""))])
    popularity = np.random.default_rng(0).permutation(1 / np.arange(1, ZONES + 1) ** 0.8)
    popularity /= popularity.sum()
    start, end = (rng.choice(np.arange(1, ZONES + 1), size=rows, p=popularity) for _ in range(2))
    pickup = _simulate_pickups(rng, month, rows)
    places = np.random.default_rng(1).uniform(0, CITY_MILES, size=(ZONES + 1, 2))
    crow = np.abs(places[start] - places[end]).sum(axis=1) * 0.3
    miles = ((crow + 0.4) * rng.lognormal(0.05, 0.12, size=rows)).round(2)
    minutes = _simulate_minutes(rng, miles, pickup, start, end)
    airport = np.isin(start, AIRPORTS) | np.isin(end, AIRPORTS)
    fare = np.round(3 + 2.2 * miles + 0.35 * minutes, 2)
    tip = np.round(fare * rng.choice([0, 0.15, 0.2], size=rows, p=[0.5, 0.2, 0.3]), 2)
    tolls = np.where(airport & (rng.random(rows) < 0.3), 6.55, 0.0)
    frame = pl.DataFrame(
        {
            "VendorID": rng.choice([1, 2], size=rows, p=[0.14, 0.86]),
            "lpep_pickup_datetime": pickup,
            "lpep_dropoff_datetime": pickup + _duration((minutes * 60).astype(np.int64)),
            "store_and_fwd_flag": pl.Series(["N", "Y"]).gather((rng.random(rows) < 0.004) * 1),
            "RatecodeID": np.where(airport, 2.0, rng.choice([1.0, 5.0], size=rows, p=[0.95, 0.05])),
            "PULocationID": start,
            "DOLocationID": end,
            "passenger_count": rng.choice([1.0, 2.0, 3.0, 5.0], rows, p=[0.82, 0.1, 0.05, 0.03]),
            "trip_distance": miles,
            "fare_amount": fare,
            "extra": rng.choice([0.0, 0.5, 1.0, 2.5], size=rows),
            "mta_tax": 0.5,
            "tip_amount": tip,
            "tolls_amount": tolls,
            "ehail_fee": None,
            "improvement_surcharge": 1.0,
            "total_amount": np.round(fare + tip + tolls + 1.5, 2),
            "payment_type": rng.choice([1.0, 2.0, 3.0], size=rows, p=[0.63, 0.36, 0.01]),
            "trip_type": rng.choice([1.0, 2.0], size=rows, p=[0.98, 0.02]),
            "congestion_surcharge": rng.choice([0.0, 2.75], size=rows, p=[0.72, 0.28]),
        },
        schema_overrides={"ehail_fee": pl.Float64},
    )
    return _add_dirt(frame, pl.Series(rng.random(rows))).sort("lpep_pickup_datetime")


def _simulate_pickups(rng: np.random.Generator, month: str, rows: int) -> pl.Series:
    first = datetime.strptime(month, "%Y-%m")
    days = monthrange(first.year, first.month)[1]
    by_hour = np.array(TRIPS_BY_HOUR) / sum(TRIPS_BY_HOUR)
    hour = rng.choice(24, size=rows, p=by_hour)
    seconds = rng.integers(days, size=rows) * 86_400 + hour * 3_600 + rng.integers(3_600, size=rows)
    return first + _duration(seconds)


def _simulate_minutes(
    rng: np.random.Generator, miles: Floats, pickup: pl.Series, start: Integers, end: Integers
) -> Floats:
    hour = (pickup.dt.hour().cast(pl.Float64) + pickup.dt.minute() / 60).to_numpy()
    workday = (pickup.dt.weekday() <= 5).to_numpy()
    rush = np.exp(-((hour - 8.5) ** 2) / 4) + 1.2 * np.exp(-((hour - 17.5) ** 2) / 6)
    season = 0.03 * (pickup.dt.month().cast(pl.Float64).to_numpy() - 1)
    slow = np.random.default_rng(2).uniform(0.8, 1.3, size=ZONES + 1)
    miles_per_hour = 17 / (1 + 0.5 * rush * workday + season) / np.sqrt(slow[start] * slow[end])
    expected: Floats = 2 + 3.0 * np.isin(start, AIRPORTS) + 60 * miles / miles_per_hour
    return expected * rng.lognormal(0, 0.2, size=len(miles))


def _duration(seconds: Integers) -> pl.Series:
    return pl.Series(seconds * 1_000_000).cast(pl.Duration("us"))


def _add_dirt(frame: pl.DataFrame, kind: pl.Series) -> pl.DataFrame:
    unreported = pl.col("RatecodeID", "passenger_count", "payment_type", "trip_type")
    amounts, pickup = pl.col("fare_amount", "total_amount"), pl.col("lpep_pickup_datetime")
    return frame.with_columns(
        pl.when(kind >= 0.06).then(unreported),
        pl.when(kind.is_between(0.060, 0.063)).then(-amounts).otherwise(amounts),
        lpep_dropoff_datetime=pl.when(kind.is_between(0.063, 0.068))
        .then(pickup + pl.duration(minutes=1430))
        .when(kind.is_between(0.068, 0.088))
        .then(pickup + pl.duration(seconds=20))
        .otherwise("lpep_dropoff_datetime"),
    )
