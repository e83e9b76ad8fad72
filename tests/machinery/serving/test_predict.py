"""POST /predict: the champion's answers, and what is refused."""

import asyncio
from typing import Any

import polars as pl
import pytest
from fastapi.testclient import TestClient
from mlops_loop.files import read_json, write_json
from mlops_loop.models.model import load
from mlops_loop.models.persistence import LightGBM
from mlops_loop.serving import prediction_log as log
from mlops_loop.serving.predictor import DynamicBatcher
from services import Change, Service, ask, counter

WRONG: dict[str, tuple[Any, str, str]] = {
    "a missing field": (..., "size", "Field required"),
    "text for a number": ("ten", "size", "valid number"),
    "a number in quotes": ("10", "items", "valid integer"),
    "half an item": (1.5, "items", "valid integer"),
    "below the range": (-1, "size", "greater than or equal to 0"),
    "above the range": (101, "size", "less than or equal to 100"),
    "null where none may be": (None, "size", "valid number"),
    "text for a truth": ("yes", "express", "valid boolean"),
    "no time": ("yesterday", "sold_at", "valid datetime"),
    "a time zone": ("2024-02-01T10:00:00Z", "sold_at", "timezone"),
    "an unknown field": (1, "colour", "not permitted"),
    "a number beyond 64 bits": (2**70, "items", "less than"),
    "a list": ([1], "size", "valid number"),
}


def test_one_record_and_a_list_are_answered_as_the_model_answers(
    service: Service, client: TestClient, record: Change
) -> None:
    records = [record(size=size, shop=shop) for size in (1.0, 50.0) for shop in ("north", None)]
    rows = pl.DataFrame(records).with_columns(pl.col("sold_at").str.to_datetime())
    expected = load(service.project.candidate).predict(rows).tolist()
    several = ask(client, records)
    assert [answer["prediction"] for answer in several] == expected
    assert [ask(client, one)["prediction"] for one in records] == expected
    assert {answer["model_version"] for answer in several} == {1}
    assert len({answer["prediction_id"] for answer in several}) == len(records)


def test_an_answer_has_an_interval_and_on_request_an_explanation(
    service: Service, client: TestClient, record: Change
) -> None:
    answer = ask(client, record())
    low, high = read_json(service.project.metrics)["prediction_interval"]
    assert answer["interval"] == [answer["prediction"] + low, answer["prediction"] + high]
    assert "explanation" not in answer
    [explained] = client.post("/predict?explain=true", json=[record()]).json()
    base, added = explained["explanation"]["base"], explained["explanation"]["contributions"]
    assert [*added] == ["shop", "size", "items", "express", "weekday"]
    assert base + sum(added.values()) == pytest.approx(answer["prediction"])


def test_a_model_that_cannot_be_divided_says_so(
    client: TestClient, record: Change, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LightGBM, "is_additive", False)
    answer = client.post("/predict?explain=true", json=record()).json()
    assert answer["explanation"] is None
    assert answer["prediction"] == ask(client, record())["prediction"]


def test_an_interval_stays_within_the_contracts_range_of_the_target(
    service: Service, client: TestClient, record: Change
) -> None:
    answer = ask(client, record(size=100.0))
    low, high = answer["interval"]
    euros = f"euros, dtype: Float64, role: outcome, min: {low - 1}, max: {high - 1}"
    service.edit_contract(1, "note, dtype: String, role: ignored", euros)
    with service.running() as client:
        assert ask(client, record(size=100.0))["interval"] == [low, high - 1]
        cheap = ask(client, record(size=0.0))
        assert cheap["interval"] == [low - 1, low - 1], "the whole interval lies below"
        assert cheap["prediction"] < low - 1


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input_is_refused_by_field_and_rule(
    case: str, service: Service, client: TestClient, record: Change
) -> None:
    value, field, rule = WRONG[case]
    wrong = record(**{field: value})
    for content, place in ((wrong, field), ([record(), wrong], f"1.{field}")):
        answer = client.post("/predict", json=content)
        assert answer.status_code == 422
        [problem] = answer.json()["detail"]
        assert problem["field"] == place
        assert rule in problem["rule"]
        assert set(problem) == {"field", "rule"}, "the value may be personal"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"text"',
        b"[[[[]]]]",
        b"[" * 100_000,
        b'{"size": NaN}',
        b'{"size": Infinity}',
        b'{"size": 1e999}',
        b"\xff\xfe",
        b'{"a": ' * 5_000,
    ],
)
def test_what_is_no_record_is_refused_and_the_service_lives(
    client: TestClient, body: bytes
) -> None:
    answer = client.post("/predict", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 422
    assert answer.json()["detail"]
    assert client.get("/health").status_code == 200


def test_an_unknown_category_and_a_missing_value_are_served_and_counted(
    service: Service, client: TestClient, record: Change
) -> None:
    unknown, missing = (
        'unknown_categories_total{column="shop"}',
        'missing_values_total{column="shop"}',
    )
    before = counter(client, unknown), counter(client, missing)
    new, null = ask(client, [record(shop="west"), record(shop=None)])
    assert new["prediction"] == null["prediction"], "the model takes both for missing"
    assert (counter(client, unknown), counter(client, missing)) == (before[0] + 1, before[1] + 1)


def test_the_example_of_the_documentation_is_accepted(client: TestClient) -> None:
    page = client.get("/openapi.json").json()
    assert page["info"] == {
        "title": "shop",
        "version": "1",
        "description": "euros (regression)",
    }
    described = page["paths"]["/predict"]["post"]
    one, several = described["requestBody"]["content"]["application/json"]["schema"]["anyOf"]
    assert one["properties"]["size"]["maximum"] == 100
    assert not one["additionalProperties"]
    assert one == several["items"]
    assert one["example"] == client.get("/model").json()["example"]
    assert ask(client, one["example"])["model_version"] == 1


def test_the_example_is_a_row_of_the_test_split(service: Service, client: TestClient) -> None:
    example = client.get("/model").json()["example"]
    test = pl.read_parquet(service.project.interim / "test/*.parquet").select(*example)
    rows = [{**row, "sold_at": row["sold_at"].isoformat()} for row in test.to_dicts()]
    assert example in rows


def test_too_many_rows_and_bytes_are_refused(service: Service, record: Change) -> None:
    with service.running(max_rows=3, max_bytes=2_000) as client:
        answer = client.post("/predict", json=[record()] * 4)
        assert answer.status_code == 422
        assert "at most 3 items" in answer.json()["detail"][0]["rule"]
        assert client.post("/predict", json=[record()] * 400).status_code == 413
        chunks = (b"[" + b" " * 1_000 for _ in range(10))
        json = {"content-type": "application/json"}
        assert client.post("/predict", content=chunks, headers=json).status_code == 413
        assert client.post("/predict", content=b"{}").status_code == 415
    assert service.logged() == []


def test_every_prediction_is_logged(service: Service, record: Change) -> None:
    with service.running() as client:
        answers = ask(client, [record(size=1.0), record(size=2.0)])
        asked = client.post("/predict", json=record(), headers={"x-request-id": "mine-1"})
    assert asked.headers["x-request-id"] == "mine-1"
    rows = service.logged()
    assert len(rows) == 3
    for row, answer, size in zip(rows, answers, (1.0, 2.0), strict=False):
        assert row["id"] == answer["prediction_id"]
        assert row["output"] == answer
        assert row["inputs"] == record(size=size)
        assert (row["version"], row["alias"], row["strategy"]) == (1, "champion", "single")
        assert (row["environment"], row["code_version"]) == ("test", "abc")
        assert row["latency_ms"] > 0
        assert row["request_id"] == rows[0]["request_id"]
    assert rows[2]["request_id"] == "mine-1"


def test_feedback_is_logged_by_prediction(service: Service, record: Change) -> None:
    with service.running() as client:
        prediction = ask(client, record())["prediction_id"]
        told = client.post("/feedback", json={"prediction_id": prediction, "actual": 12.5})
        assert told.status_code == 202
        wrong = client.post("/feedback", json={"prediction_id": "1", "actual": 12.5})
        assert wrong.json()["detail"][0]["field"] == "prediction_id"
    [row] = service.logged(log.feedback)
    assert (row["prediction_id"], row["actual"]) == (prediction, 12.5)
    assert row["id"] == told.json()["feedback_id"]


@pytest.mark.parametrize("actual", ["12.5", True])
def test_a_truth_that_no_answer_can_be_is_refused(
    service: Service, client: TestClient, record: Change, actual: Any
) -> None:
    prediction = ask(client, record())["prediction_id"]
    told = client.post("/feedback", json={"prediction_id": prediction, "actual": actual})
    assert told.status_code == 422
    assert told.json()["detail"] == [
        {"field": "actual", "rule": "must be a number, like the prediction"}
    ]
    assert service.logged(log.feedback) == []


def test_a_whole_number_may_be_written_as_any_number(client: TestClient, record: Change) -> None:
    one, other = ask(client, [record(items=2), record(items=2.0)])
    assert one["prediction"] == other["prediction"]


def test_reports_tell_version_lineage_and_contract(service: Service, client: TestClient) -> None:
    model = client.get("/model").json()
    assert model["version"] == 1
    assert model["lineage"]["model_hash"]
    assert model["metrics"]["test"]["rmse"] > 0
    assert [column["name"] for column in model["contract"]["columns"]][:2] == ["sold_at", "shop"]
    assert model["environment"] == "test"
    assert (model["classes"], model["threshold"], model["contributions_in"]) == ([], None, "euros")
    assert client.get("/ready").json()["version"] == 1
    assert counter(client, "model_version") == 1


def test_records_that_arrive_together_are_processed_in_one_go_and_fail_alone() -> None:
    calls: list[list[int]] = []

    def divide(_: object, numbers: list[int]) -> list[float]:
        calls.append(numbers)
        return [10 / number for number in numbers]

    async def ask(*numbers: int) -> list[Any]:
        batcher, key = DynamicBatcher(divide), object()
        asked = (batcher.submit(key, number) for number in numbers)
        return await asyncio.gather(*asked, return_exceptions=True)

    assert asyncio.run(ask(1, 2, 5)) == [10, 5, 2]
    assert calls == [[1, 2, 5]]
    first, failed, last = asyncio.run(ask(1, 0, 2))
    assert (first, type(failed), last) == (10, ZeroDivisionError, 5)


def test_who_went_away_leaves_the_others_their_answers() -> None:
    async def ask() -> list[Any]:
        batcher, key = DynamicBatcher(lambda _, numbers: [10 / each for each in numbers]), object()
        asked = [asyncio.ensure_future(batcher.submit(key, number)) for number in (1, 0, 2)]
        await asyncio.sleep(0)
        asked[0].cancel()
        async with asyncio.timeout(5):
            return await asyncio.gather(*asked, return_exceptions=True)

    gone, failed, last = asyncio.run(ask())
    assert (type(gone), type(failed), last) == (asyncio.CancelledError, ZeroDivisionError, 5)


def test_nulls_are_imputed_where_the_loop_says_so(service: Service, record: Change) -> None:
    write_json(service.project.served / "imputed.json", {"1": {"items": 9}, "2": {"items": 1}})
    with service.running() as client:
        lacking, given = (
            client.post("/predict", json=record(items=items)).json()["prediction"]
            for items in (None, 9)
        )
        count = 'imputed_values_total{column="items"}'
        [line] = [line for line in client.get("/metrics").text.splitlines() if count in line]
    assert lacking == given
    assert float(line.split()[1]) >= 1
    assert [row["inputs"]["items"] for row in service.logged()] == [None, 9], "as it was asked"
    write_json(service.project.served / "imputed.json", {})
    with service.running() as client:
        assert client.post("/predict", json=record(items=None)).json()["prediction"] != given


def test_an_id_may_be_sent_and_is_only_logged(service: Service, record: Change) -> None:
    service.edit_contract(
        1, "name: note, dtype: String, role: ignored", "name: note, dtype: String, role: id"
    )
    with service.running() as client:
        plain, named = (ask(client, record(**more)) for more in ({}, {"note": "order 7"}))
        assert plain["prediction"] == named["prediction"]
        assert client.post("/predict", json=record(note=7)).status_code == 422
    inputs = {row["id"]: row["inputs"] for row in service.logged()}
    assert inputs[named["prediction_id"]]["note"] == "order 7"
    assert inputs[plain["prediction_id"]]["note"] is None
