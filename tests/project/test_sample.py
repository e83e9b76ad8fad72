"""Example: source `sample`, simulated months, the same for the same month and seed."""

from datetime import datetime

import polars as pl
import pytest
from mlops_loop.files import read_json
from mlops_loop.project import UserError
from project.data import ingest
from project.data.sources import sample
from projects import Project

MONTHS = ["2024-01", "2024-02"]


@pytest.fixture
def simulated(project: Project) -> Project:
    """A project that has two simulated months."""
    project.edit(ingest={"source": "sample", "months": MONTHS, "rows_per_month": 50})
    ingest.main(project)
    return project


def test_the_sample_is_the_same_for_the_same_month_and_seed() -> None:
    rows = sample.simulate("2024-02", 200, seed=1)
    assert rows.equals(sample.simulate("2024-02", 200, seed=1))
    assert not rows.equals(sample.simulate("2024-02", 200, seed=2))
    times = rows.select(pl.selectors.datetime()).to_series()
    assert times.min() >= datetime(2024, 2, 1)
    assert times.max() < datetime(2024, 3, 1)


def test_another_seed_makes_every_partition_again(simulated: Project) -> None:
    before = pl.read_parquet(simulated.raw / "sample_2024-01.parquet")
    simulated.edit(seed=7)
    ingest.main(simulated)
    assert not pl.read_parquet(simulated.raw / "sample_2024-01.parquet").equals(before)
    manifest = read_json(simulated.raw / "manifest.json")
    assert manifest == {
        f"sample_{month}.parquet": f"simulated: {month}, 50 rows, seed 7" for month in MONTHS
    }


@pytest.mark.parametrize("source", ["sample", "tlc"])
def test_a_month_that_does_not_exist_is_named(project: Project, source: str) -> None:
    keys = {"months": ["2023-13"], "rows_per_month": 50, "base": "."}
    project.edit(ingest={"source": source, **keys})
    with pytest.raises(UserError, match=r"params\.yaml: ingest\.months\.0: "):
        ingest.main(project)
