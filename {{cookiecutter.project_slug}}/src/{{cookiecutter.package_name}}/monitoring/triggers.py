"""The triggers of a retraining: each gives its reason, or an empty text; combine them below.

Above them stand the freeze, a version that waits, the cool-down and the budget (`retrain`).
"""

import polars as pl

from mlops_loop.models.model import load
from mlops_loop.monitoring.evidence import Evidence
from mlops_loop.project import SPLITS, Paths, UserError

from ..params import load_params


def performance(evidence: Evidence) -> str:
    """The loss stays above the expected one, for days enough to learn from."""
    page = evidence.page
    if not page or (page.last - page.onset).days < evidence.options.wait_days:
        return ""
    return f"the loss is {page.ratio - 1:+.0%} against the expected one since {page.onset}"


def schedule(evidence: Evidence) -> str:
    """The newest data of the last training are old."""
    days, known = evidence.options.schedule_days, evidence.known_until
    is_old = days and known and (evidence.today - known).days >= days
    return f"the last training knows nothing after {known}" if is_old else ""


def volume(evidence: Evidence) -> str:
    """Many outcomes have become known since the last training."""
    rows, limit = evidence.new_rows, evidence.options.new_rows
    return f"{rows} new rows" if limit and rows >= limit else ""


def data(evidence: Evidence) -> str:
    """The source has new files."""
    return f"new data: {', '.join(evidence.new_files)}" if evidence.new_files else ""


def drift(evidence: Evidence) -> str:
    """Columns have drifted; that may be harmless, so it is no trigger below."""
    drifted = [each["column"] for each in evidence.check["columns"] if each["alarm_days"]]
    return f"drift of {', '.join(drifted)}" if drifted else ""


TRIGGERS = (performance, schedule, volume, data)


def decide(evidence: Evidence) -> dict[str, str]:
    """The triggers that fire, with their reasons: any of them starts a retraining."""
    reasons = {trigger.__name__: trigger(evidence) for trigger in TRIGGERS}
    return {name: reason for name, reason in reasons.items() if reason}


def check_base(copy: Paths) -> None:
    """Raise UserError unless the trees of models/base can be continued on data/processed."""
    train, base = load_params(copy.params).train, load(copy.base)
    ours, theirs = ((f / "features.json").read_text() for f in (copy.processed, copy.base))
    alike = {train.model, *base.estimator.libraries} == {"lightgbm"} and ours == theirs
    if not alike or train.class_weight or base.weights or train.lightgbm.linear_start is not None:
        what = "of the same features, without class weights or linear start"
        raise UserError(f"only LightGBM's trees go on, {what}.")
    rows = pl.concat(pl.read_parquet(copy.processed / s / "*.parquet") for s in SPLITS[:2])
    for name, known in {**base.encoder.categories, base.target: base.classes}.items():
        new = rows.filter(~pl.col(name).is_in(known)).height / rows.height if known else 0
        if new > (0 if name == base.target else 0.05):  # fewer are taken as missing
            raise UserError(f"{new:.1%} of the rows have a {name} that the champion does not know.")
