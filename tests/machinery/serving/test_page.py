"""`make app`: the form asks what the contract asks, and the page shows what the service answers."""

from datetime import datetime
from typing import Any

import pytest
from fastapi.testclient import TestClient
from helpers import SOURCE
from mlops_loop.models.persistence import LightGBM
from mlops_loop.serving import log_tables as log
from projects import Project
from services import Change, Service

testing = pytest.importorskip("streamlit.testing.v1", reason="`make app` installs Streamlit")
FORM = "mlops_loop.serving.page.read_form"


def script(paths: object, client: object) -> None:
    """The page as Streamlit runs it, with a service of the test's own."""
    from mlops_loop.serving import page

    page.show(paths, client)


def opened(project: Project, client: TestClient) -> Any:
    """The page as a visitor finds it."""
    page = testing.AppTest.from_function(script, args=(project, client), default_timeout=60).run()
    assert not page.exception
    return page


def send(page: Any) -> Any:
    """Press the button of the form."""
    page.button[0].click().run()
    assert not page.exception
    return page


def test_the_form_asks_what_the_contract_asks(service: Service, client: TestClient) -> None:
    page = opened(service.project, client)
    size, items = page.number_input(key="size"), page.number_input(key="items")
    row = client.get("/model").json()["example"]
    assert (size.value, size.max, size.help) == (row["size"], 100.0, "size")
    assert (items.value, items.min, items.max) == (row["items"], 1, 9)
    shop, express = page.selectbox(key="shop"), page.selectbox(key="express")
    assert (shop.value, shop.options) == (row["shop"], ["north", "south", "east"])
    assert (express.value, express.options) == (row["express"], ["True", "False"])
    sold_at = datetime.fromisoformat(row["sold_at"])
    assert page.get("datetime_input")[0].value == sold_at.replace(second=0, microsecond=0)
    assert "Version 1 predicts" in page.caption[0].value


def test_what_a_person_asks_is_answered_and_logged_as_all_else(service: Service) -> None:
    with service.running() as client:
        page = opened(service.project, client)
        page.selectbox(key="shop").select("south")
        page.number_input(key="size").set_value(20.0)
        page.number_input(key="items").set_value(2)
        send(page)
        example = client.get("/model").json()["example"]
        asked = {**example, "shop": "south", "size": 20.0, "items": 2}
        asked["sold_at"] = page.get("datetime_input")[0].value.isoformat()
        expected = client.post("/predict", json=asked).json()
        assert page.metric[0].label == "Prediction: euros"
        assert page.metric[0].value == f"{expected['prediction']:,.4g}"
        assert "Interval: " in page.caption[1].value
        assert f"to {expected['prediction']:.4g}:" in page.caption[2].value
        assert len(page.get("vega_lite_chart")) == 1
    first, second = service.logged()
    assert first["inputs"] == second["inputs"] == asked


def test_the_truth_of_a_prediction_is_sent_to_the_log(service: Service) -> None:
    with service.running() as client:
        page = send(opened(service.project, client))
        [truth] = [each for each in page.number_input if "truth" in each.label]
        truth.set_value(12.5)
        page.button[1].click().run()
        assert not page.exception
        assert page.success[0].value == "Logged."
        assert page.metric, "the prediction stays"
    [logged] = service.logged()
    [told] = service.logged(log.feedback)
    assert (told["prediction_id"], told["actual"]) == (logged["id"], 12.5)


def test_a_model_that_cannot_be_divided_is_said_to_be_one(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LightGBM, "is_additive", False)
    with service.running() as client:
        page = send(opened(service.project, client))
    assert not page.get("vega_lite_chart")
    assert "This model has no exact contributions" in page.caption[2].value


def test_the_services_own_words_say_why_nothing_is_predicted(
    service: Service, client: TestClient, record: Change, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As from a page that was opened before the contract changed.
    monkeypatch.setattr(FORM, lambda _: record(size=500.0))
    page = send(opened(service.project, client))
    assert page.error[0].value == r"size\: Input should be less than or equal to 100"
    assert not page.metric
    service.keys = ("0" * 64,)
    with service.running() as locked:
        refused = opened(service.project, locked)
    assert "send a valid key" in refused.error[0].value


def test_the_card_is_the_versions(served_once: Project, client: TestClient) -> None:
    [card] = opened(served_once, client).get("iframe")
    assert (
        "<b>promote</b>" in card.proto.srcdoc and "<h2>Purpose and owner</h2>" in card.proto.srcdoc
    )
    assert "version 1" in card.proto.srcdoc


def test_the_page_says_what_is_not_there(service: Service, client: TestClient) -> None:
    warnings = [warning.value for warning in opened(service.project, client).warning]
    assert any("see docs" in warning for warning in warnings), "the store is another project's"


def test_without_a_service_the_page_names_the_remedy(
    served_once: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["streamlit", str(served_once.root), str(served_once.package)])
    monkeypatch.setenv("SERVICE_URL", "http://127.0.0.1:1")
    script = SOURCE / "src/mlops_loop/serving/streamlit_app.py"
    page = testing.AppTest.from_file(str(script), default_timeout=60).run()
    assert not page.exception
    assert page.title[0].value == "shop"
    assert page.error[0].value == "No service at http://127.0.0.1:1; start it with `make serve`."
