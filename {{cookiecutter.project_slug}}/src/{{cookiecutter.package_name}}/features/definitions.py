"""Your definitions: the target, the rows to learn from, the features and checks of the data.

TARGET, KEEP_ROWS, FEATURES: Polars expressions over the columns of contract.yaml. FEATURES see only
columns that are known at prediction time (role `input` or `time`); the others may also use
outcomes. Text features are categories, all others numbers or booleans. A Python function is no
feature: it could not be stored with the model. A source (data/sources) may compute it before.

FITTED: features that are learned on train, such as the mean of the target for each shop:
FittedFeature("shop_mean", key=pl.col("shop"), value=pl.col("price").mean(), smoothing=20).

CHECKS: what the raw data must satisfy beyond contract.yaml, across columns or as a whole, such as
(pl.col("end") >= pl.col("start")).alias("the end is not before the start"). Each holds for every
row, or for each file where it yields one value; where it is null, it holds.
"""

import polars as pl

from mlops_loop.features import FittedFeature

pickup = pl.col("lpep_pickup_datetime")
dropoff = pl.col("lpep_dropoff_datetime")
minutes = (dropoff - pickup).dt.total_seconds() / 60
TARGET = minutes.alias("duration_minutes")
KEEP_ROWS = (minutes.is_between(1, 60).alias("trips of 1 to 60 minutes"),)
CHECKS = (
    ((dropoff < pickup).mean() < 0.001).alias("under 0.1 % of the trips end before they begin"),
)

# Polars counts hours in 8 bits: without the cast, hour * 60 overflows.
hour = pickup.dt.hour().cast(pl.Int32)

FEATURES = (
    pl.col("PULocationID").cast(pl.String).alias("pickup_zone"),
    pl.col("DOLocationID").cast(pl.String).alias("dropoff_zone"),
    pl.col("RatecodeID").cast(pl.String).alias("rate_code"),
    pl.col("trip_distance"),
    hour.alias("hour"),
    pickup.dt.weekday().cast(pl.Int32).alias("weekday"),
    (hour * 60 + pickup.dt.minute()).alias("minute_of_day"),
    pl.col("passenger_count"),
    pl.col("trip_type"),
    pl.col("VendorID").alias("vendor"),
)

FITTED: tuple[FittedFeature, ...] = ()
