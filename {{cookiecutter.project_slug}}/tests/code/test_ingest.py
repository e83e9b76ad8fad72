"""Stage `ingest`: what is asked for, unchanged, and nothing else."""

import gzip
from datetime import datetime
from pathlib import Path

import polars as pl
import pytest
from conftest import Project, sales

from {{ cookiecutter.package_name }}.data import ingest, sample
from {{ cookiecutter.package_name }}.errors import UserError
from {{ cookiecutter.package_name }}.files import read_json


@pytest.fixture
def simulated(project: Project) -> Project:
    """A project that asks for two simulated months."""
    project.edit(
        ingest__source="sample", ingest__months=["2024-01", "2024-02"], ingest__rows_per_month=50
    )
    ingest.main(project)
    return project


def files(raw: Path) -> dict[str, tuple[int, int]]:
    """Each file's identity on disk: another one, or one written again, differs."""
    return {p.name: (p.stat().st_ino, p.stat().st_mtime_ns) for p in raw.glob("*.parquet")}


def test_the_sample_is_the_same_for_the_same_month_and_seed() -> None:
    rows = sample.simulate("2024-02", 200, seed=1)
    assert rows.equals(sample.simulate("2024-02", 200, seed=1))
    assert not rows.equals(sample.simulate("2024-02", 200, seed=2))
    times = rows.select(pl.selectors.datetime()).to_series()
    assert times.min() >= datetime(2024, 2, 1)
    assert times.max() < datetime(2024, 3, 1)


def test_good_partitions_are_kept_and_others_removed(simulated: Project) -> None:
    before = files(simulated.raw)
    (simulated.raw / ".sample_2024-09.parquet.new").write_bytes(b"left by a killed run")
    simulated.edit(ingest__months=["2024-02", "2024-03"])
    ingest.main(simulated)
    after = files(simulated.raw)
    assert set(after) == {"sample_2024-02.parquet", "sample_2024-03.parquet"}
    assert after["sample_2024-02.parquet"] == before["sample_2024-02.parquet"]
    assert {path.name for path in simulated.raw.iterdir()} == {*after, "manifest.json"}


def test_another_seed_makes_every_partition_again(simulated: Project) -> None:
    before = pl.read_parquet(simulated.raw / "sample_2024-01.parquet")
    simulated.edit(seed=7)
    ingest.main(simulated)
    assert not pl.read_parquet(simulated.raw / "sample_2024-01.parquet").equals(before)
    assert "seed 7" in read_json(simulated.raw / "manifest.json")["sample_2024-01.parquet"]


@pytest.mark.parametrize("name", ["sales.csv", "sales.csv.gz", "sales.parquet"])
def test_a_file_arrives_as_it_is(project: Project, name: str) -> None:
    rows, path = sales(), project.external / name
    match path.suffix:
        case ".csv":
            rows.write_csv(path)
        case ".gz":
            path.write_bytes(gzip.compress(rows.write_csv().encode()))
        case _:
            rows.write_parquet(path)
    project.edit(ingest__path=f"data/external/{name}")
    ingest.main(project)
    arrived = pl.read_parquet(project.raw / "sales.parquet")
    if path.suffix == ".parquet":
        assert (project.raw / "sales.parquet").read_bytes() == path.read_bytes()
    else:  # text stays text, so that the contract judges what the file says
        assert arrived.write_csv() == rows.write_csv()
        assert set(arrived.dtypes) == {pl.String}


@pytest.mark.parametrize(
    ("path", "words"), [(None, "ingest.path is null"), ("data/x.csv", "there is no data/x.csv")]
)
def test_a_file_that_is_not_there_is_named(project: Project, path: str | None, words: str) -> None:
    project.edit(ingest__path=path)
    with pytest.raises(UserError, match=words):
        ingest.main(project)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("empty.csv", b"", "the file is empty"),
        ("ragged.csv", b"a,b\n1,2\n3\n", "line 3 has 1 fields, the header has 2"),
        ("renamed.csv", b"PK\x03\x04 from Excel", "not text, whatever its name says"),
        ("cut.csv.gz", gzip.compress(b"a,b\n" * 99)[:-9], "not a complete gzip file"),
        ("cut.parquet", b"PAR1 and then nothing", "not a complete Parquet file"),
    ],
)
def test_a_broken_file_is_a_violation(
    project: Project, name: str, content: bytes, words: str
) -> None:
    (project.external / name).write_bytes(content)
    project.edit(ingest__path=f"data/external/{name}")
    with pytest.raises(UserError, match=words):
        ingest.main(project)
    [violation] = read_json(project.validation_report)["violations"]
    assert violation["rule"] == "is readable"
    assert name in violation["file"]
    assert words in violation["example"]
    assert not list(project.raw.glob("*.parquet"))
