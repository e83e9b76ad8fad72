"""`make history PREDICTION=id`: from one prediction to what made it, and to its truth."""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import sqlalchemy as sql
from rich.console import Console
from rich.markdown import Markdown

from ..console import Arguments, markdown, parse
from ..database import database
from ..page import write_page
from ..project import Paths, UserError
from ..serving.log_tables import connect, feedback, predictions, url
from ..tracking import history, open_registry

if TYPE_CHECKING:
    from ..tracking.registry import Registry

Rows = Sequence[Mapping[str, Any]]


def main(paths: Paths, arguments: Arguments) -> None:
    """Print the story of PREDICTION, and write it as a page below reports/.

    Raises UserError where the log does not answer, or has no such prediction.
    """
    wanted = parse("history", arguments, prediction="").prediction
    registry = open_registry(paths)
    of = sql.select(predictions).where(predictions.c.id == wanted)
    truths = sql.select(feedback).where(feedback.c.prediction_id == wanted)
    with connect(database(url(paths)), create=False) as connection:
        found = connection.execute(of).mappings().one_or_none()
        came = connection.execute(truths.order_by(feedback.c.time)).mappings().all()
    if found is None:
        raise UserError(
            f"PREDICTION={wanted}: the log has no such prediction: it was forgotten after "
            "serving.retention_days, or its service has another DATABASE_URL."
        )
    text = describe(found, came, registry)
    page = paths.root / "reports" / "history" / f"{found['id']}.html"
    write_page(page, title=f"Prediction {found['id']}", text=text)
    Console().print(Markdown(text))
    print(f"The page: {page.relative_to(paths.root)}")


def describe(prediction: Mapping[str, Any], truths: Rows, registry: "Registry") -> str:
    """The story of a prediction as Markdown: request, truths, version, parameters, decisions."""
    version = registry.find(prediction["version"])
    shown = {key: value for key, value in prediction.items() if key not in ("inputs", "output")}
    told = [("time (UTC)", "truth")]
    told += [(str(each["time"]), json.dumps(each["actual"])) for each in truths]
    decided = [("time (UTC)", "event", "by", "reason")]
    for entry in history.read(registry.paths):
        if entry.version == version.number and entry.event not in ("check", "notify"):
            decided.append((f"{entry.time:%F %T}", entry.event, entry.by, entry.reason))
    parts = {
        f"# Prediction {prediction['id']}": table(shown),
        "## Inputs": table(prediction["inputs"]),
        "## Output": table(prediction["output"]),
        "## Truth": markdown(told) if truths else "Not known yet.",
        f"## Model: {version}, `make reproduce VERSION={version.name}`": table(version.tags),
        "## Parameters": table(registry.record(version).params),
        "## Decisions on this version": markdown(decided),
    }
    return "\n\n".join(f"{title}\n\n{body}" for title, body in parts.items())


def table(values: Mapping[str, Any]) -> str:
    """A Markdown table of names and values."""
    return markdown([("name", "value"), *((name, str(values[name])) for name in sorted(values))])
