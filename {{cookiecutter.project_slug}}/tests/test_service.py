"""Your model behind HTTP: a prediction, a refused record, and the log."""

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from mlops_loop.data.contract import load_contract
from mlops_loop.database import database, url
from mlops_loop.models.model import load
from mlops_loop.project import Paths
from mlops_loop.serving.log_tables import predictions
from mlops_loop.serving.params import serving_options
from mlops_loop.serving.schema import RequestSchema
from mlops_loop.serving.service import assemble

from {{ cookiecutter.package_name }}.params import load_params
from {{ cookiecutter.package_name }}.serving.app import create_app


def start(own: Paths) -> TestClient:
    """The service on the champion, without API keys; it runs while it is entered."""
    params = load_params(own.params)
    service = assemble(own, serving_options(params.serving, params.task))
    return TestClient(create_app(service, ()))


@pytest.fixture(scope="module")
def client(registered: Paths) -> Iterator[TestClient]:
    """The running service."""
    with start(registered) as client:
        yield client


@pytest.fixture
def record(client: TestClient) -> dict[str, Any]:
    """A row of the test split, as a request holds it."""
    example: dict[str, Any] = client.get("/model").json()["example"]
    return example


@pytest.fixture
def requests(registered: Paths, record: dict[str, Any]) -> RequestSchema:
    """The requests that contract.yaml allows."""
    return RequestSchema(load_contract(registered.contract), max_rows=1, example=record)


def test_it_predicts_what_the_model_does(
    registered: Paths, client: TestClient, requests: RequestSchema, record: dict[str, Any]
) -> None:
    rows = requests.frame([requests.example_record()])
    [expected] = load(registered.candidate).predict(rows)
    response = client.post("/predict", json=record)
    assert response.status_code == 200, response.text
    assert response.json()["prediction"] == pytest.approx(expected)


def test_it_refuses_a_record_that_breaks_the_contract(
    client: TestClient, record: dict[str, Any]
) -> None:
    response = client.post("/predict", json=record | {"no column": 1})
    assert response.status_code == 422
    assert [problem["field"] for problem in response.json()["detail"]] == ["no column"]


def test_it_logs_what_it_predicted(registered: Paths, record: dict[str, Any]) -> None:
    with start(registered) as client:
        predicted = client.post("/predict", json=record).json()
    query = predictions.select().where(predictions.c.id == predicted["prediction_id"])
    # What waits is written when the service ends.
    with database(url(registered.log)).connect() as log:
        [logged] = log.execute(query)
    assert logged.output["prediction"] == predicted["prediction"]
    assert logged.inputs.keys() == record.keys()
