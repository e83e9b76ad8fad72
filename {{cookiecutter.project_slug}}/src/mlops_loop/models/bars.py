"""Bars of metrics, and what else a reader of the gate must know, in words."""

from collections.abc import Mapping
from typing import Any

from ..console import figure
from .bootstrap import Scores, Scoring

TOO_GOOD = 0.9995  # of a metric that is 1 at best
BEST_IS_1 = {"regression": "r2", "binary": "roc_auc", "multiclass": "accuracy"}


def failed_bars(scoring: Scoring, scores: Scores, bars: Mapping[str, float]) -> list[str]:
    """One sentence for each bar that the scores miss."""
    sentences = []
    for name, bar in bars.items():
        value, higher = scores[name], scoring.metrics[name].higher_is_better
        if value is None:
            sentences.append(f"{name} has a bar, but these test rows leave it undefined")
        elif (value < bar) if higher else (value > bar):
            side = "below" if higher else "above"
            sentences.append(f"{name} {value:.4g} is {side} the bar of {bar:g}")
    return sentences


def not_judged(
    groups: Mapping[str, Any], bars: Mapping[str, float], fairness: Mapping[str, float]
) -> list[str]:
    """A sentence that names slices and gaps with a bar and too few rows, if there are any."""
    few = [
        f"{each['column']} = {each['group']} ({each['rows']})"
        for each in groups["declared"]
        if any((each["metrics"] or {}).get(name) is None for name in bars)
    ]
    if fairness and not groups["fairness"]:
        few.append("fairness (no two groups)")
    return [f"not judged, too few rows: {', '.join(few)}"] if few else []


def too_good(task: str, scores: Scores) -> list[str]:
    """A sentence on a test almost without error, which is rather a leak than a model."""
    name = BEST_IS_1[task]
    if (scores.get(name) or 0) <= TOO_GOOD:
        return []
    doubt = "hardly an error in the test is rather a leak than a model"
    return [f"{name} {figure(scores[name])}: {doubt}; is every input known beforehand?"]
