"""Batch and service refuse the same rows, and give the others the same answers."""

import csv
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import sqlalchemy as sql
from fastapi.testclient import TestClient
from mlops_loop.commands import predict
from mlops_loop.data.contract import Contract, load_contract
from mlops_loop.data.tables import read_table
from mlops_loop.database import database
from mlops_loop.models.model import load
from mlops_loop.project import UserError
from mlops_loop.serving import batch
from mlops_loop.tracking.registry import Registry
from services import Change, Service

ROWS: list[dict[str, Any]] = [
    {},
    {"shop": None, "items": None},
    {"shop": "moon"},
    {"shop": ""},
    {"size": 0.0, "items": 9},
    {"size": 1e-300},
    {"size": 100.1},
    {"size": None},
    {"size": -1.0, "items": 0},
    {"size": float("inf")},
    {"items": 10},
    {"express": None},
    {"sold_at": None},
]
TEXT: list[dict[str, Any]] = [{"sold_at": "2024-02-30T10:00:00"}, {"size": "x"}, {"items": 2**70}]


def served(client: TestClient, records: list[dict[str, Any]]) -> list[float | None]:
    """The service's prediction of each record, None where it is refused."""
    headers = {"content-type": "application/json"}
    answers = [client.post("/predict", content=json.dumps(r), headers=headers) for r in records]
    assert {answer.status_code for answer in answers} == {200, 422}
    return [answer.json().get("prediction") for answer in answers]


def scored(service: Service, source: Path) -> list[float | None]:
    """The prediction of `make predict` for each row."""
    contract = load_contract(service.project.contract)
    rows = predict.predict(read_table(source), load(service.project.candidate), contract)
    return rows["prediction"].to_list()


def test_rows_of_a_csv(
    service: Service, client: TestClient, record: Change, elsewhere: Path
) -> None:
    records = [record(**changes) for changes in [*ROWS, *TEXT]]
    with (elsewhere / "rows.csv").open("w") as file:
        writer = csv.DictWriter(file, list(record()))
        writer.writeheader()
        writer.writerows(records)
    answers = served(client, records)
    assert scored(service, elsewhere / "rows.csv") == answers
    assert answers.count(None) == 10


def test_a_column_may_be_missing_from_both_or_from_neither(
    service: Service, client: TestClient, record: Change, elsewhere: Path
) -> None:
    answers: list[float | None] = []
    records = [record(**{name: ...}) for name in record()]
    for left in records:
        pl.DataFrame([left]).write_csv(elsewhere / "rows.csv")
        try:
            answers += scored(service, elsewhere / "rows.csv")
        except UserError:
            answers.append(None)
    assert answers == served(client, records)
    assert answers.count(None) == 3


def test_rows_of_a_parquet_file(
    service: Service, client: TestClient, record: Change, elsewhere: Path
) -> None:
    records = [record(**changes) for changes in ROWS]
    rows = pl.DataFrame(records).with_columns(pl.col("sold_at").str.to_datetime())
    rows.write_parquet(elsewhere / "rows.parquet")
    assert scored(service, elsewhere / "rows.parquet") == served(client, records)


def table(service: Service, name: str) -> list[dict[str, Any]]:
    """The rows of a table of the database."""
    with database(service.url).connect() as connection:
        rows = connection.execute(sql.text(f"select * from {name}")).mappings()
        return [dict(row) for row in rows]


def published(service: Service, rows: pl.DataFrame, *arguments: str) -> None:
    """Run `make batch` on rows of a CSV."""
    source = service.project.root / "new.2024.csv"
    rows.write_csv(source)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATABASE_URL", service.url)
        batch.main(service.project, ["--input", str(source), "--table", *arguments])


@pytest.mark.usefixtures("registry")
def test_a_batch_is_a_table_that_can_be_written_again(
    service: Service, record: Change, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = service.project.contract.read_text()
    assert "name: note, dtype: String" in text
    service.project.contract.write_text(text.replace("name: note,", "name: note, pii: true,"))
    monkeypatch.setattr(Registry, "contract", lambda *_: _contract(service))
    rows = pl.DataFrame([record(size=size) | {"note": "Ana"} for size in (1.0, 50.0, 101.0)])
    published(service, rows, "scores")
    found = table(service, "scores")
    expected = predict.predict(rows, load(service.project.candidate), _contract(service))
    assert [row["prediction"] for row in found] == expected["prediction"].to_list()
    assert [row["size"] for row in found] == [1.0, 50.0, 101.0]
    assert "size: 101.0 breaks '<= 100'" in found[2]["error"]
    assert {(row["batch"], row["model_version"]) for row in found} == {(found[0]["batch"], 1)}
    assert found[0]["batch"].startswith("new.2024.csv ")
    assert all("note" not in row for row in found), "personal data stay out"
    published(service, rows, "scores")
    assert len(table(service, "scores")) == 3, "once more is not twice"
    logged = {row["id"]: row for row in service.logged()}
    assert set(logged) == {row["prediction_id"] for row in found[:2]}, "truths can come back to it"
    entry = logged[found[1]["prediction_id"]]
    assert entry["output"]["prediction"] == found[1]["prediction"]
    assert entry["inputs"] == record(size=50.0, sold_at="2024-02-01T10:00:00.000000")
    published(service, rows.head(2), "scores")
    assert len(table(service, "scores")) == 5, "other rows in a file of the same name"
    for some in (rows, rows.head(1)):
        published(service, some, "scores", "--batch", "monday")
    assert [row["batch"] for row in table(service, "scores")].count("monday") == 1
    left = service.project.root / ".serving" / "batches"
    assert list(left.iterdir()) == [], "what was scored, with the personal data, is gone"


def _contract(service: Service) -> Contract:
    return load_contract(service.project.contract)


@pytest.mark.usefixtures("registry")
def test_a_table_that_cannot_take_a_batch_stays_as_it_is(service: Service, record: Change) -> None:
    rows = pl.DataFrame([record()])
    published(service, rows, "scores")
    before = table(service, "scores")
    wider = rows.with_columns(more=1)
    with pytest.raises(UserError, match="cannot take the rows, and has none of them: table scores"):
        published(service, wider, "scores")
    assert table(service, "scores") == before
    with database(service.url).begin() as connection:
        connection.execute(sql.text("create table theirs (batch text, note text)"))
    with pytest.raises(UserError, match="TABLE=theirs exists, not of `make batch`"):
        published(service, rows, "theirs")
    for name in ("predictions", "JOBS", "main.scores", "a b", "1"):
        with pytest.raises(UserError, match=f"TABLE={name} is no plain name, or the service's own"):
            published(service, rows, name)
    with pytest.raises(UserError, match="no row could be scored; nothing was written"):
        published(service, pl.DataFrame([record(size=-1.0)]), "scores")
    assert table(service, "scores") == before
    with pytest.raises(UserError, match="has a column batch already"):
        published(service, rows.with_columns(batch=1), "others")
