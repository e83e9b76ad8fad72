"""Your definitions: the target, the rows to learn from, and the features.

Polars expressions over the columns of contract.yaml. FEATURES see only columns that are known at
prediction time (role `input` or `time`); TARGET and KEEP_ROWS may also use outcomes. Text
features are treated as categories, everything else must be a number or a boolean.
"""

import polars as pl

pickup = pl.col("lpep_pickup_datetime")
dropoff = pl.col("lpep_dropoff_datetime")
TARGET = ((dropoff - pickup).dt.total_seconds() / 60).alias("duration_minutes")
KEEP_ROWS = (TARGET.is_between(1, 60).alias("trips of 1 to 60 minutes"),)

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
