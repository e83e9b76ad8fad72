"""What `make tune` searches: tune.space of params.yaml, checked before anything is done."""

from typing import Self

from pydantic import model_validator

from ...config import Section, changed, validated
from ...models.bootstrap import Scoring
from ...project import UserError
from ...sections import Tune

Number = int | float

# They say how a fit is done or used, not how well it can be.
NOT_SEARCHED = ("model", "threads", "class_weight", "threshold", "lightgbm.folds")


class Range(Section):
    """Numbers from low to high: evenly by their logarithm with `log`, only every `step` with it."""

    low: Number
    high: Number
    log: bool = False
    step: Number | None = None

    @model_validator(mode="after")
    def something_is_in_it(self) -> Self:
        """Refuse a range that holds nothing, or that its logarithm or steps do not divide."""
        if self.low >= self.high:
            raise ValueError("low must be below high")
        if self.log and (self.low <= 0 or self.step is not None):
            raise ValueError("log needs a low above 0 and no step")
        if self.step is not None and self.step <= 0:
            raise ValueError("step must be above 0")
        return self


Space = dict[str, Range | list[object]]


def metric_name(asked: str | None, task: str, scoring: Scoring) -> str:
    """The metric that is searched by; raises UserError for one that the task does not have."""
    known = scoring.metrics
    if asked not in (None, *known):
        raise UserError(
            f"params.yaml: tune.metric: {task} has no {asked}; name one of "
            f"{', '.join(known)}, or null for {scoring.primary}."
        )
    return asked or scoring.primary


def searched(params: Section, tune: Tune, model: str) -> Space:
    """The space of `train.model` by key below train.

    Raises UserError for an empty one, and for an entry that no search or training could use.
    """
    space = tune.space.get(model)
    if not space:
        raise UserError(
            f"params.yaml: tune.space.{model} is empty, so there is nothing to search; name a key "
            "below train with {low, high} or a list of choices."
        )
    return {key: _entry(params, tune, model, key, entry) for key, entry in space.items()}


def _entry(
    params: Section, tune: Tune, model: str, key: str, entry: object
) -> Range | list[object]:
    where = ("tune", "space", model, key)
    name = f"params.yaml: {'.'.join(where)}"
    if key in NOT_SEARCHED:
        raise UserError(f"{name}: this is decided, not searched; remove it.")
    if entry == []:
        raise UserError(f"{name}: no choice is left; list some, or remove the key.")
    found = entry if isinstance(entry, list) else validated(Range, entry, "params.yaml", *where)
    for value in found if isinstance(found, list) else (found.low, found.high):
        try:
            changed(params, {f"train.{key}": value})
        except UserError as error:
            raise UserError(f"{name}: training would refuse {value!r}: {error}") from error
    if tune.sampler == "grid" and isinstance(found, Range) and found.step is None:
        raise UserError(f"{name}: a grid needs a step here, or a list of choices.")
    return found
