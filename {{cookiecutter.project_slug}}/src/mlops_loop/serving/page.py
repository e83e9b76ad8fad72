"""A page for people: a form, the answer with its explanation, what was asked last, the model card.

It asks the service over HTTP, so that what a person asks is checked, routed and logged as all else.
"""

import os
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import orjson
import polars as pl
import sqlalchemy as sql
import streamlit as st
from matplotlib.figure import Figure

from ..data.contract import Contract
from ..models import plots
from ..project import Paths, UserError, load_settings
from . import form
from . import prediction_log as log
from .launch import service_url

LATEST, REFRESH_SECONDS = 50, 3
TIMEOUT_SECONDS = 30
MOST_STEPS = 15  # of the picture of an explanation
database = cache(log.database)  # one pool of connections for all visitors


def main(paths: Paths) -> None:
    """Draw the page with what the service answers."""
    settings = load_settings(paths)
    st.set_page_config(page_title=settings.project, layout="wide")
    st.title(form.plain(settings.project))
    key = {"x-api-key": os.environ.get("API_KEY", "")}
    with httpx.Client(base_url=service_url(), headers=key, timeout=TIMEOUT_SECONDS) as service:
        try:
            show(paths, service)
        except httpx.TransportError:
            st.error(f"No service answers at {service.base_url}; start it with `make serve`.")


def show(paths: Paths, service: httpx.Client) -> None:
    """What the served version is, and the three parts of the page."""
    answer = service.get("/model")
    if not answer.is_success:
        show_problems(answer)
        return
    about = answer.json()
    st.caption(form.plain(f"Version {about['version']} predicts {about['predicts']}."))
    ask, latest, card = st.tabs(("Predict", "Latest predictions", "Model card"))
    with ask:
        show_form(about, service)
    with latest:
        st.fragment(show_latest, run_every=REFRESH_SECONDS)(paths)
    with card:
        show_card(paths, about["version"])


def show_form(about: dict[str, Any], service: httpx.Client) -> None:
    """The form, and beside it the answer to what it was last sent with."""
    contract = Contract.model_validate_json(orjson.dumps(about["contract"]))
    left, right = st.columns((3, 2), gap="large")
    with left, st.form("record", enter_to_submit=False):
        sent = st.form_submit_button("Predict", type="primary")  # on top, beside the answer
        record = form.record(contract)
    if sent:
        kind = {"content-type": "application/json"}
        answer = service.post("/predict?explain=true", content=orjson.dumps(record), headers=kind)
        with right:
            if answer.is_success:
                show_answer(answer.json(), about["contributions_in"])
            else:
                show_problems(answer)


def show_answer(answer: dict[str, Any], unit: str | None) -> None:
    """The prediction, how sure it is, and what each feature contributed."""
    st.metric("Prediction", _words(answer["prediction"]))
    if "interval" in answer:
        low, high = map(_words, answer["interval"])
        st.caption(f"Interval: {low} to {high}")
    if "probabilities" in answer:
        likely = dict(sorted(answer["probabilities"].items(), key=lambda each: -each[1]))
        st.pyplot(plots.bars(likely, "Probabilities", ""))
    if answer["explanation"]:
        st.pyplot(waterfall(**answer["explanation"], unit=unit or ""))
    else:
        st.caption("A forest cannot tell what each feature contributed.")
    st.caption(f"Version {answer['model_version']}, prediction {answer['prediction_id']}")


def _words(value: Any) -> str:
    return f"{value:,.4g}" if isinstance(value, float) else form.plain(str(value))


def waterfall(base: float, contributions: dict[str, float], unit: str) -> Figure:
    """From the base to the raw score of one row, feature by feature, the largest step on top."""
    ordered = sorted(contributions.items(), key=lambda step: -abs(step[1]))
    rest = ordered[MOST_STEPS:]
    others = [(f"{len(rest)} others", sum(value for _, value in rest))] if rest else []
    names, values = zip(*[*ordered[:MOST_STEPS], *others][::-1], strict=True)
    ends = base + np.cumsum(values)
    title = f"From {base:.4g} to {ends[-1]:.4g}"
    figure, axes = plots.canvas(title, unit, "", (6, 0.4 * len(names) + 1.2))
    colours = np.where(np.array(values) < 0, "tab:blue", "tab:red")
    drawn = axes.barh(range(len(names)), values, left=ends - values, color=colours)
    axes.bar_label(drawn, [f"{value:+.3g}" for value in values], padding=2)
    axes.axvline(base, color="grey", linewidth=1)
    axes.use_sticky_edges = False
    axes.margins(x=0.2)
    axes.set_yticks(range(len(names)), [name[:40] for name in names])
    return figure


def show_problems(answer: httpx.Response) -> None:
    """Why nothing was predicted, in the service's own words."""
    detail = answer.json()["detail"]
    problems = [{"rule": detail}] if isinstance(detail, str) else detail
    for problem in problems:
        st.error(form.plain(": ".join(problem.values())))


def show_latest(paths: Paths) -> None:
    """What was answered last, the newest first."""
    try:
        found = log.latest(database(log.url(paths)), LATEST)
    except sql.exc.SQLAlchemyError as error:
        st.warning(f"The prediction log does not answer: {type(error).__name__}")
        return
    rows = [
        {
            "time (UTC)": row["time"],
            "prediction": row["output"]["prediction"],
            "model version": row["version"],
            **row["inputs"],
        }
        for row in found
    ]
    # Versions of other questions may have answered in other types.
    st.dataframe(pl.DataFrame(rows, strict=False, infer_schema_length=None), hide_index=True)


def show_card(paths: Paths, version: int) -> None:
    """The model card that is kept with the version."""
    try:
        st.iframe(read_card(paths.root, version))
    except UserError as error:
        st.warning(form.plain(str(error)))


@cache
def read_card(root: Path, version: int) -> str:
    """The card of a version, as HTML; raises UserError where it is not there."""
    from ..tracking import registry as tracking

    paths = Paths(root, root)
    registry = tracking.connect(paths, load_settings(paths))
    card = registry.artifact(registry.find(version), f"card/{paths.model_page.name}")
    return card.read_text(encoding="utf-8")
