"""Batch and service refuse the same rows, and give the others the same answers."""

import csv
import json
from pathlib import Path
from typing import Any

import polars as pl
from fastapi.testclient import TestClient

from {{ cookiecutter.package_name }}.data.contract import load_contract
from {{ cookiecutter.package_name }}.errors import UserError
from {{ cookiecutter.package_name }}.models import predict
from {{ cookiecutter.package_name }}.models.model import load
from {{ cookiecutter.package_name }}.tables import read_table

from .conftest import Change, Service

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
