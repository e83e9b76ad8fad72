"""`make monitor`: whether the champion is still right, on the terminal, as JSON and as a page."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
from rich.console import Console
from rich.table import Table

from ..console import figure, parse, working
from ..files import read_json, rounded, write_json
from ..models import profile
from ..models.bootstrap import Scoring
from ..project import Paths, UserError, load_settings
from .batch import Champion
from .check import check
from .page import write_page
from .params import Monitoring

COLOURS = {"healthy": "green", "watch": "yellow", "act": "red"}
PROFILE, EXPLANATIONS = "models/profile", "reports/explanations.json"  # of a version
SHOWN = 14  # days and columns of the table


class NothingToCheck(UserError):
    """There is no row to check yet."""


def main(
    paths: Paths,
    options: Monitoring,
    scoring: Scoring,
    target: pl.Expr,
    keep: Sequence[pl.Expr],
    arguments: Sequence[str],
) -> dict[str, Any]:
    """Check the rows of BATCH, a file or a folder of files; returns what latest.json holds.

    Raises UserError where there is nothing to check, or nothing to compare it with.
    """
    given = parse("monitor", arguments, batch="", version="champion")
    if not given.batch:
        raise UserError("name the rows to check: make monitor BATCH=file, with their outcomes.")
    from ..tracking import registry as tracking

    with working("monitor"):
        registry = tracking.connect(paths, load_settings(paths))
        version = registry.find(given.version)
        model, contract = registry.load(version.run_id), registry.contract(version)
        try:
            reference = profile.load(registry.artifact(version, PROFILE))
        except UserError as error:
            raise UserError(
                f"{version} carries no reference profile, as it was trained by an older template; "
                "run `make train` and promote the new version."
            ) from error
        explained = read_json(registry.artifact(version, EXPLANATIONS))
        champion = Champion(model, contract, reference, scoring, target, keep)
        watched = champion.watch_file(Path(given.batch))
        content = check(reference, watched, options, model, explained["importance"])
    about = {
        "model": registry.name,
        "version": version.name,
        "loss_is": f"root of {scoring.primary}'s loss" if scoring.root else scoring.primary,
        "source": given.batch,
        "checked_at": datetime.now(UTC).isoformat(timespec="seconds"),
        **options.model_dump(),
    }
    content = rounded(about | content)
    write_json(paths.monitoring / "latest.json", content)
    write_page(paths.monitoring / "index.html", content)
    show(content)
    print(f"The page: {paths.monitoring.relative_to(paths.root) / 'index.html'}")
    return dict(content)


def show(content: dict[str, Any]) -> None:
    """Print the verdict and the latest days."""
    console, status = Console(highlight=False), content["status"]
    console.print(f"[bold {COLOURS[status]}]{status}[/]: {content['model']} {content['version']}")
    for sentence in content["sentences"]:
        print(f"  {sentence}")
    if "loss" in content:
        table = Table("day", "rows", "observed", "expected", "ratio", "seen from", box=None)
        for day in content["loss"]["by_day"][-SHOWN:]:
            figures = (day[name] for name in ("observed", "expected", "ratio"))
            seen = f"+{day['could_see']:.0%}"
            table.add_row(day["day"], str(day["rows"]), *map(figure, figures), seen)
        console.print(table)
