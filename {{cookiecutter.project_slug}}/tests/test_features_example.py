"""Example: the values of features that are computed from a pickup's time and place."""

from datetime import datetime

from mlops_loop.project import Paths
from test_features import compute


def test_the_time_of_a_pickup(own: Paths) -> None:
    monday = compute(own, {"lpep_pickup_datetime": datetime(2024, 1, 1, 8, 30)})
    assert (monday["hour"], monday["weekday"], monday["minute_of_day"]) == (8, 1, 510)


def test_zones_are_categories(own: Paths) -> None:
    trip = compute(own, {"PULocationID": 132, "DOLocationID": None})
    assert (trip["pickup_zone"], trip["dropoff_zone"]) == ("132", None)
