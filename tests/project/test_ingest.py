"""Stage `ingest`: what is asked for, unchanged, and nothing else."""

import gzip
import sqlite3
import sys
import time
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from mlops_loop.config import flat
from mlops_loop.files import read_json
from mlops_loop.project import UserError
from project.data import ingest, sources
from project.params import load_params
from projects import Project, sales

WAREHOUSE = """
from mlops_loop.config import Section
from mlops_loop.data.sources import Partition

class Options(Section):
    query: str
    days: int

def partitions(options, seed, paths):
    for day in range(options.days):
        origin = f"{options.query} {day}"
        yield Partition(f"{day}.parquet", origin, lambda target: target.write_text(origin))
"""


@pytest.fixture
def folder(project: Project) -> Path:
    """The folder `shops`, whose two tables the project asks for."""
    folder = project.external / "shops"
    folder.mkdir()
    for seed, name in enumerate(("north.csv", "south.csv")):
        sales(seed=seed).write_csv(folder / name)
    (folder / ".gitignore").write_text("not a table")
    project.edit(ingest__path="data/external/shops")
    ingest.main(project)
    return folder


def files(raw: Path) -> dict[str, tuple[int, int]]:
    """Each file's identity on disk: another one, or one written again, differs."""
    return {p.name: (p.stat().st_ino, p.stat().st_mtime_ns) for p in raw.glob("*.parquet")}


def test_good_partitions_are_kept_and_others_removed(project: Project, folder: Path) -> None:
    before = files(project.raw)
    assert list(read_json(project.raw / "manifest.json")) == ["north.parquet", "south.parquet"]
    (project.raw / ".east.parquet.new").write_bytes(b"left by a killed run")
    (folder / "south.csv").rename(folder / "west.csv")
    ingest.main(project)
    after = files(project.raw)
    assert set(after) == {"north.parquet", "west.parquet"}
    assert after["north.parquet"] == before["north.parquet"]
    assert {path.name for path in project.raw.iterdir()} == {*after, "manifest.json"}


def test_a_changed_file_is_brought_again(project: Project, folder: Path) -> None:
    before = files(project.raw)
    sales(rows=7).write_csv(folder / "south.csv")
    ingest.main(project)
    assert files(project.raw)["north.parquet"] == before["north.parquet"]
    assert pl.read_parquet(project.raw / "south.parquet").height == 7


def test_two_files_of_one_name_are_refused(project: Project, folder: Path) -> None:
    sales().write_parquet(folder / "north.parquet")
    with pytest.raises(UserError, match=r"north\.csv and north\.parquet both give north"):
        ingest.main(project)


def test_a_folder_without_tables_is_named(project: Project) -> None:
    project.edit(ingest__path="data/raw")
    project.raw.mkdir()
    with pytest.raises(UserError, match="path: data/raw holds no CSV or Parquet"):
        ingest.main(project)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"ingest__source": "cloud"}, "params.yaml: ingest.source: cloud is none of "),
        ({"ingest__path": 3}, "params.yaml: ingest.path: Input should be a valid string"),
        ({"ingest__pth": "x"}, "params.yaml: ingest.pth: unknown key; remove it or correct"),
        ({"ingest": {"source": "file"}}, "params.yaml: ingest.path: this key is missing."),
    ],
)
def test_a_wrong_source_or_key_is_named_before_any_work(
    project: Project, change: dict[str, Any], said: str
) -> None:
    project.edit(**change)
    with pytest.raises(UserError) as refusal:
        ingest.main(project)
    assert said in str(refusal.value)
    assert not project.raw.exists()


def test_a_module_in_the_folder_is_a_source(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "warehouse.py").write_text(WAREHOUSE)
    monkeypatch.setattr(sources, "__path__", [*sources.__path__, str(tmp_path)])
    monkeypatch.delitem(sys.modules, f"{sources.__name__}.warehouse", raising=False)
    project.edit(ingest__query="all", ingest__days=2)
    ingest.main(project)
    assert set(files(project.raw)) == {"sales.parquet"}, "keys of another source may stand there"
    project.edit(ingest__source="warehouse")
    ingest.main(project)
    assert (project.raw / "1.parquet").read_text() == "all 1"
    assert set(files(project.raw)) == {"0.parquet", "1.parquet"}
    assert flat(load_params(project.params))["ingest.query"] == "all"


@pytest.fixture
def database(project: Project, monkeypatch: pytest.MonkeyPatch) -> sqlite3.Connection:
    """A database of sales, numbered by `id`, which the project asks."""
    monkeypatch.delenv("SOURCE_URL", raising=False)
    path = project.root / "sales.db"
    (project.root / ".env").write_text(f"SOURCE_URL=sqlite:///{path}\n")
    query = "select *, ' :x%s;' as note from sales where id is not null; "
    project.edit(ingest__source="sql", ingest__query=query, ingest__increment="id")
    connection = sqlite3.connect(path)
    sell(connection, range(1, 101))
    return connection


def sell(connection: sqlite3.Connection, ids: range) -> None:
    """Add sales to the database."""
    rows = sales(len(ids), seed=ids[0]).with_columns(id=pl.Series(ids))
    with connection:
        connection.execute("create table if not exists sales (id, price, sold_at)")
        values = rows.with_columns(pl.col("sold_at").cast(pl.String)).select(
            "id", "price", "sold_at"
        )
        connection.executemany("insert into sales values (?, ?, ?)", values.rows())


def test_new_rows_of_a_database_are_one_partition_more(
    project: Project, database: sqlite3.Connection
) -> None:
    ingest.main(project)
    [first] = files(project.raw).items()
    assert pl.read_parquet(project.raw / first[0])["note"].unique().to_list() == [" :x%s;"]
    ingest.main(project)
    assert files(project.raw) == dict([first]), "nothing is new"
    sell(database, range(101, 131))
    with database:
        database.execute("update sales set price = 0 where id = 7")
    time.sleep(1.1)
    ingest.main(project)
    ids = [pl.read_parquet(path)["id"].to_list() for path in sorted(project.raw.glob("*.parquet"))]
    assert ids == [list(range(1, 101)), list(range(101, 131))]
    assert dict([first]).items() <= files(project.raw).items(), "what has landed does not change"
    project.edit(ingest__query="select * from sales where id > 10")
    time.sleep(1.1)
    ingest.main(project)
    [rows] = [pl.read_parquet(path) for path in project.raw.glob("*.parquet")]
    assert rows["id"].to_list() == list(range(11, 131)), "another query begins anew"


def test_a_query_without_increment_is_read_again_as_a_whole(
    project: Project, database: sqlite3.Connection
) -> None:
    project.edit(ingest__increment=None)
    ingest.main(project)
    with database:
        database.execute("delete from sales where id <= 40")
    time.sleep(1.1)
    ingest.main(project)
    assert list(files(project.raw)) == ["query.parquet"]
    assert pl.read_parquet(project.raw / "query.parquet").height == 60


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"query": None}, "source sql needs ingest.query in params.yaml, SOURCE_URL in .env"),
        ({"address": "OTHER_URL"}, "source sql needs ingest.query in params.yaml, OTHER_URL"),
        ({"query": "select nope from sales"}, r"of SOURCE_URL: .*no such column: nope"),
        ({"increment": "nope"}, "ingest.increment: nope is no column without gaps"),
        ({"query": "select null as id, 1 as x"}, "ingest.increment: id is no column without"),
    ],
)
def test_a_query_that_cannot_be_read_is_a_sentence_and_loses_nothing(
    project: Project, database: sqlite3.Connection, change: dict[str, Any], said: str
) -> None:
    ingest.main(project)
    before = files(project.raw)
    project.edit(**{f"ingest__{key}": value for key, value in change.items()})
    with pytest.raises(UserError, match=said):
        ingest.main(project)
    assert files(project.raw) == before


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
    ("path", "words"), [(None, "ingest.path is null"), ("data/x.csv", "data/x.csv does not exist")]
)
def test_a_file_that_is_not_there_is_named(project: Project, path: str | None, words: str) -> None:
    project.edit(ingest__path=path)
    with pytest.raises(UserError, match=words):
        ingest.main(project)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("empty.csv", b"", "the file is empty"),
        ("ragged.csv", b"a,b\n1,2\n3\n", "Row #3: Expected 2 columns, got 1"),
        ("renamed.csv", b"PK\x03\x04 from Excel", "not text, whatever its name says"),
        ("cut.csv.gz", gzip.compress(b"a,b\n" * 99, mtime=0)[:-9], "cannot be read"),
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
