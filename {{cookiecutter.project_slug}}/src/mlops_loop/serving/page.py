"""`make app`: a page on Streamlit with a form, its prediction and the model card.

It predicts by HTTP requests to a running `make serve`: what a person enters is checked, routed and
logged as any other record.
"""

import os
import re
from collections.abc import Sequence
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import orjson
import polars as pl
import streamlit as st

from ..data.contract import Column, Contract
from ..files import Content
from ..project import Paths, UserError, load_settings
from ..tracking import open_registry
from .schema import RequestSchema

TIMEOUT_SECONDS = 30
STEPS = 15  # bars of an explanation
COLUMNS = 2  # of the form


def main(paths: Paths, _: object = ()) -> None:
    """Serve the page at 127.0.0.1 and PORT until a signal comes; SERVICE_URL names the service."""
    from streamlit.web import cli

    from ..console import check_free

    load_settings(paths)
    script = Path(__file__).with_name("streamlit_app.py")
    port = os.environ.get("PORT") or "8501"
    check_free("127.0.0.1", port)
    options = ["--server.address=127.0.0.1", f"--server.port={port}", "--server.headless=true"]
    options += ["--browser.gatherUsageStats=false", "--client.toolbarMode=minimal"]
    cli.main(["run", str(script), *options, "--", str(paths.root), str(paths.package)])


def draw(paths: Paths) -> None:
    """Draw the page, for every visitor and after every input."""
    settings = load_settings(paths)
    st.set_page_config(page_title=settings.project, layout="wide")
    st.title(escape(settings.project))
    url = os.environ.get("SERVICE_URL") or "http://127.0.0.1:8000"
    key = {"x-api-key": os.environ.get("API_KEY", "")}
    with httpx.Client(base_url=url, headers=key, timeout=TIMEOUT_SECONDS) as service:
        try:
            show(paths, service)
        except httpx.TransportError:
            st.error(f"No service at {url}; start it with `make serve`.")


def show(paths: Paths, service: httpx.Client) -> None:
    """Show the served version, the form and the model card."""
    response = service.get("/model")
    if not response.is_success:
        show_problems(response)
        return
    info = response.json()
    st.caption(escape(f"Version {info['version']} predicts {info['predicts']}."))
    form, card = st.tabs(("Predict", "Model card"))
    with form:
        show_form(info, service)
    with card:
        try:
            st.iframe(read_card(paths.root, info["version"]))
        except UserError as error:
            st.warning(escape(str(error)))


def show_form(info: Content, service: httpx.Client) -> None:
    """Show the form and, after a click, the prediction, and ask for its truth."""
    contract = Contract.model_validate_json(orjson.dumps(info["contract"]))
    requests = RequestSchema(contract, 1, info["example"])
    left, right = st.columns((3, 2), gap="large")
    with left, st.form("record", enter_to_submit=False):
        is_sent = st.form_submit_button("Predict", type="primary")  # on top, beside the prediction
        record = read_form(requests)
    state = st.session_state
    if is_sent:
        kind = {"content-type": "application/json"}
        content = orjson.dumps(record)
        state.answer = service.post("/predict?explain=true", content=content, headers=kind)
    if "answer" in state:
        with right:
            if state.answer.is_success:
                show_prediction(state.answer.json(), info)
                ask_truth(state.answer.json()["prediction_id"], info["classes"], service)
            else:
                show_problems(state.answer)


def read_form(requests: RequestSchema) -> Content:
    """Draw an input for each column of a request, with those of a test row; returns the values."""
    example, places, record = requests.example_record(), st.columns(COLUMNS), {}
    for number, column in enumerate(requests.columns):
        with places[number % COLUMNS]:
            record[column.name] = draw_input(column, example[column.name])
    return record


def draw_input(column: Column, value: Any) -> Any:
    """Draw the input of a column; returns its value."""
    label, empty = escape(column.name), {"placeholder": "missing"}
    known = {"key": column.name, "help": escape(column.description) or None}
    choices = (True, False) if column.dtype == "Boolean" else column.categories
    if choices:  # a row may have a value that the contract does not list
        place = choices.index(value) if value in choices else None
        return st.selectbox(label, choices, place, **known, **empty)
    if column.dtype == "String":
        return st.text_input(label, value, **known, **empty)
    # Without limits, Streamlit offers ten years.
    ever: tuple[Any, Any] = column.min or date.min, column.max or date.max
    if column.dtype == "Date":
        return st.date_input(label, value, *ever, **known)
    if column.dtype == "Datetime":
        return st.datetime_input(label, value, *ever, step=60, **known)
    kind, text = (int, "%d") if column.dtype == "Int64" else (float, "%g")
    given: tuple[Any, ...] = (column.min, column.max, value)
    limits = (None if each is None else kind(each) for each in given)
    return st.number_input(label, *limits, format=text, **known, **empty)


def show_prediction(predicted: Content, info: Content) -> None:
    """Show a prediction, its uncertainty, and the largest contributions of features."""
    columns = {column["name"]: column["description"] for column in info["contract"]["columns"]}
    meaning = escape(columns.get(info["target"], "")) or None
    st.metric(f"Prediction: {escape(info['target'])}", words(predicted["prediction"]), help=meaning)
    if "interval" in predicted:
        st.caption(f"Interval: {' to '.join(map(words, predicted['interval']))}")
    if "probabilities" in predicted:
        likely = sorted(predicted["probabilities"].items(), key=lambda each: -each[1])
        draw_bars(likely, "Probability")
    if predicted["explanation"]:
        base, contributions = predicted["explanation"].values()
        steps = sorted(contributions.items(), key=lambda each: -abs(each[1]))
        st.caption(f"From {base:.4g} to {base + sum(contributions.values()):.4g}:")
        draw_bars(steps[:STEPS], info["contributions_in"])
    else:
        st.caption("This model has no exact contributions of features.")
    version, number = predicted["model_version"], predicted["prediction_id"]
    st.caption(f"Version {version}, prediction {number}")


def ask_truth(prediction_id: str, classes: Sequence[Any], service: httpx.Client) -> None:
    """Ask for the true value of a prediction, and send it to `/feedback`."""
    label, empty = "What was the truth?", {"index": None, "placeholder": "not known yet"}
    with st.form("truth", clear_on_submit=True):
        if classes:
            actual = st.selectbox(label, classes, **empty)
        else:
            actual = st.number_input(label, value=None)
        is_sent = st.form_submit_button("Send")
    if is_sent and actual is not None:
        told = {
            "prediction_id": prediction_id,
            "actual": actual,
        }
        response = service.post("/feedback", json=told)
        if response.is_success:
            st.success("Logged.")
        else:
            show_problems(response)


def draw_bars(values: Sequence[tuple[str, float]], label: str) -> None:
    """Draw a bar for each name, the first on top."""
    bars = pl.DataFrame(values, ["name", "value"], orient="row")
    st.bar_chart(bars, x="name", y="value", x_label="", y_label=label, horizontal=True, sort=False)


def show_problems(response: httpx.Response) -> None:
    """Show the reasons of a refusal as the service words them."""
    detail = response.json()["detail"]
    for problem in [{"rule": detail}] if isinstance(detail, str) else detail:
        st.error(escape(": ".join(problem.values())))


@cache
def read_card(root: Path, version: int) -> str:
    """The model card of a version, as HTML; raises UserError where the registry lacks it."""
    paths = Paths(root, root)
    registry = open_registry(paths)
    card = registry.artifact(registry.find(version), f"reports/{paths.report.name}")
    return card.read_text(encoding="utf-8")


def words(value: Any) -> str:
    """A value as text."""
    return f"{value:,.4g}" if isinstance(value, float) else escape(str(value))


def escape(text: str) -> str:
    """Escape Markdown: names of columns are none."""
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", text)
