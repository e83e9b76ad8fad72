"""The work of validate, prepare and featurize, as a straightforward pandas script.

Usage: python pandas_pipeline.py at-once|by-month data/raw OUTPUT
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd

PICKUP, DROPOFF = "lpep_pickup_datetime", "lpep_dropoff_datetime"
RANGES = {
    PICKUP: (pd.Timestamp("2008-01-01"), pd.Timestamp("2035-12-31")),
    DROPOFF: (pd.Timestamp("2008-01-01"), pd.Timestamp("2035-12-31")),
    "PULocationID": (1, 265),
    "DOLocationID": (1, 265),
    "passenger_count": (0, 9),
    "trip_distance": (0, 1_000_000),
    "fare_amount": (-2000, 10_000),
    "extra": (-100, 1000),
    "mta_tax": (-100, 1000),
    "tip_amount": (-1000, 10_000),
    "tolls_amount": (-1000, 10_000),
    "improvement_surcharge": (-10, 100),
    "total_amount": (-2000, 10_000),
    "congestion_surcharge": (-10, 100),
}
CATEGORIES = {
    "VendorID": [1, 2, 6],
    "store_and_fwd_flag": ["Y", "N"],
    "RatecodeID": [1, 2, 3, 4, 5, 6, 99],
    "payment_type": [0, 1, 2, 3, 4, 5, 6],
    "trip_type": [1, 2],
}
NULLABLE = {
    "store_and_fwd_flag",
    "RatecodeID",
    "passenger_count",
    "payment_type",
    "trip_type",
    "congestion_surcharge",
}
INPUTS = [
    "VendorID",
    "RatecodeID",
    "PULocationID",
    "DOLocationID",
    "passenger_count",
    "trip_distance",
    "trip_type",
]
MAX_DUPLICATE_SHARE = 0.01


def broken_rules(trips: pd.DataFrame) -> list[str]:
    """Violations by the trips of schema, nulls, ranges, categories and duplicates."""
    columns = {*RANGES, *CATEGORIES}
    missing = [f"{name} is missing" for name in columns - set(trips.columns)]
    if missing:
        return missing
    nulls = trips[sorted(columns - NULLABLE)].isna().any()
    broken = [f"{name} has nulls" for name in nulls.index[nulls]]
    for name, (low, high) in RANGES.items():
        if trips[name].dtype.kind not in "ifM":
            broken.append(f"{name} is {trips[name].dtype}")
        elif trips[name].min() < low or trips[name].max() > high:
            broken.append(f"{name} is outside {low} to {high}")
    for name, allowed in CATEGORIES.items():
        if not (trips[name].isin(allowed) | trips[name].isna()).all():
            broken.append(f"{name} is none of {allowed}")
    if trips.duplicated().mean() > MAX_DUPLICATE_SHARE:
        broken.append("too many duplicates")
    return broken


def check(trips: pd.DataFrame) -> pd.DataFrame:
    """The trips, if they break no rule."""
    broken = broken_rules(trips)
    if broken:
        sys.exit("\n".join(broken))
    return trips


def prepare(trips: pd.DataFrame) -> pd.DataFrame:
    """The target beside what is known at prediction time, for trips of 1 to 60 minutes."""
    minutes = (trips[DROPOFF] - trips[PICKUP]).dt.total_seconds() / 60
    trips = trips[[PICKUP, *INPUTS]].assign(duration_minutes=minutes)
    return trips[trips["duration_minutes"].between(1, 60)]


def split(trips: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The first 70 % in time, the next 15 %, the rest."""
    validation, test = trips[PICKUP].quantile([0.70, 0.85])
    parts = np.select([trips[PICKUP] < validation, trips[PICKUP] < test], [0, 1], 2)
    return {name: trips[parts == i] for i, name in enumerate(("train", "validation", "test"))}


def features(trips: pd.DataFrame) -> pd.DataFrame:
    """The features and the target."""
    pickup = trips[PICKUP].dt
    return pd.DataFrame(
        {
            "pickup_zone": trips["PULocationID"].astype(str),
            "dropoff_zone": trips["DOLocationID"].astype(str),
            "rate_code": trips["RatecodeID"].astype("Int64").astype("string"),
            "trip_distance": trips["trip_distance"],
            "hour": pickup.hour,
            "weekday": pickup.day_of_week + 1,
            "minute_of_day": pickup.hour * 60 + pickup.minute,
            "passenger_count": trips["passenger_count"].astype("Int64"),
            "trip_type": trips["trip_type"].astype("Int64"),
            "vendor": trips["VendorID"],
            "duration_minutes": trips["duration_minutes"],
        }
    )


def read_at_once(raw: Path) -> pd.DataFrame:
    """All trips in one frame, then checked and prepared: the straightforward way."""
    months = [pd.read_parquet(path) for path in sorted(raw.glob("*.parquet"))]
    return prepare(check(pd.concat(months, ignore_index=True)))


def read_by_month(raw: Path) -> pd.DataFrame:
    """Each month checked and prepared by itself: the careful way, in less memory."""
    paths = sorted(raw.glob("*.parquet"))
    return pd.concat([prepare(check(pd.read_parquet(path))) for path in paths], ignore_index=True)


READERS = {"at-once": read_at_once, "by-month": read_by_month}


def main(way: str, raw: Path, output: Path) -> None:
    """Write one Parquet file of features per split."""
    trips = READERS[way](raw)
    output.mkdir(parents=True)
    for name, part in split(trips).items():
        features(part).to_parquet(output / f"{name}.parquet", index=False)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
