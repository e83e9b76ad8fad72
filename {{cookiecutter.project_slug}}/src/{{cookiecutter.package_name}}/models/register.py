"""Stage `register`: the gate. Judges the candidate, registers what passes, moves the aliases.

The only stage that consults the registry. Every step can be repeated: after an interruption the
next run finds what is there and goes on; reports/gate.json is written last.
"""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from textwrap import shorten
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import polars as pl

from ..data.contract import Contract, load_contract
from ..errors import UserError
from ..files import read_json, write_json
from ..params import Params, load_params
from ..paths import PROJECT, Paths
from ..settings import load_settings
from ..stage import run_stage
from . import card, golden
from .metrics import PRIMARY, check_bars, failed_bars, improvement, is_better, outcome, score
from .model import Floats, Model, load

if TYPE_CHECKING:
    from ..tracking import Registry


OVERRULED = "overruled"  # tag of a version that a person replaced as champion: why


@dataclass(frozen=True)
class Verdict:
    """What the gate decides, why, and the figures that it compared."""

    decision: Literal["promote", "hold", "reject"]
    reasons: list[str]
    comparisons: dict[str, Any] = field(default_factory=dict)


def failures(report: dict[str, Any], groups: dict[str, Any], params: Params) -> list[str]:
    """One sentence for each bar that is missed, and one if the baseline is as good.

    `groups` is the content of reports/slices.json.
    """
    failed = failed_bars(params.task, report["test"], params.registration.bars)
    failed += failed_slices(groups, params) + failed_gaps(groups, params)
    if not is_better(params.task, report["test"], report["baseline"]):
        failed.append(f"{PRIMARY[params.task]} is not better than the baseline's")
    return failed


def failed_slices(groups: dict[str, Any], params: Params) -> list[str]:
    """One sentence for each bar that a declared slice misses."""
    bars, sentences = params.registration.slices, []
    for each in groups["declared"]:
        known = {name: bar for name, bar in bars.items() if figure(each, name) is not None}
        failed = failed_bars(params.task, each["metrics"] or {}, known)
        sentences += [f"{each['column']} = {each['group']}: {sentence}" for sentence in failed]
    return sentences


def figure(each: dict[str, Any], name: str) -> float | None:
    """A metric of a slice; None where its rows are too few or leave it undefined."""
    value: float | None = (each["metrics"] or {}).get(name)
    return value


def failed_gaps(groups: dict[str, Any], params: Params) -> list[str]:
    """One sentence for each gap between groups that is above its bar."""
    bars = params.registration.fairness
    return [
        f"{gap['column']}: the gap in {gap['metric']} between {gap['highest']} and "
        f"{gap['lowest']}, {gap['gap']:.4g}, is above the bar of {bars[gap['metric']]:g}"
        for gap in groups["fairness"]
        if gap["gap"] > bars.get(gap["metric"], float("inf"))
    ]


def not_judged(groups: dict[str, Any], params: Params) -> list[str]:
    """A sentence that names what has a bar but too few rows to judge, if there is any."""
    bars = params.registration.slices
    few = [each for each in groups["declared"] if any(figure(each, name) is None for name in bars)]
    named = [f"{each['column']} = {each['group']} ({each['rows']})" for each in few]
    if params.registration.fairness and not groups["fairness"]:
        named.append("fairness (no two groups)")
    return [f"not judged, too few rows: {', '.join(named)}"] if named else []


def check_params(params: Params, contract: Contract) -> None:
    """Raise UserError for a bar on what the task lacks, or that no column is held to."""
    bars = params.registration
    for key in ("bars", "slices", "fairness"):
        check_bars(params.task, getattr(bars, key), key)
    if bars.slices and not any(column.sliced for column in contract.columns):
        raise UserError("params.yaml: register.slices: no column of contract.yaml has slice: true.")
    if bars.fairness and not any(column.sensitive for column in contract.columns):
        raise UserError(
            "params.yaml: register.fairness: no column of contract.yaml has sensitive: true."
        )


def judge(
    report: dict[str, Any],
    groups: dict[str, Any],
    champion: Model | None,
    params: Params,
    paths: Paths,
) -> Verdict:
    """Hold the candidate against the bars, the baseline and the champion on the same rows."""
    failed = failures(report, groups, params)
    if failed:
        return Verdict("reject", failed)
    if champion is None:
        return Verdict("promote", ["first model to pass the bars and beat the baseline"])
    candidate = load(paths.candidate)
    if candidate.question != champion.question:
        ours, theirs = (shorten(model.question, 100) for model in (candidate, champion))
        return Verdict("promote", [f"first model of {ours}; the champion predicts {theirs}"])
    try:
        test = pl.read_parquet(paths.interim / "test" / "*.parquet")
        return compare(test, candidate, np.load(paths.scores), champion, params)
    except (UserError, pl.exceptions.PolarsError) as error:
        return Verdict("hold", [f"the champion cannot be scored on this test split: {error}"])


def compare(
    test: pl.DataFrame, candidate: Model, scores: Floats, champion: Model, params: Params
) -> Verdict:
    """Promote only what is significantly better than the champion (paired bootstrap).

    `scores` are the candidate's, of the same rows.
    """
    ours = outcome(candidate, test[candidate.target], scores)
    theirs = outcome(champion, test[champion.target], champion.score(test))
    options, metric = params.registration, PRIMARY[params.task]
    gain, low, high = improvement(
        params.task, ours, theirs, options.resamples, options.confidence, params.seed
    )
    comparisons = {
        "metric": metric,
        "improvement": gain,
        "interval": [low, high],
        "champion": score(params.task, theirs),
    }
    text = f"{metric} improves by {gain:.4g} on the champion's ({low:.4g} to {high:.4g})"
    if low > 0:
        return Verdict("promote", [text], comparisons)
    return Verdict("hold", [f"not significantly better: {text}"], comparisons)


def judge_champion(report: dict[str, Any], groups: dict[str, Any], params: Params) -> Verdict:
    """It stays the champion until a better one comes, but whatever it misses is said."""
    failed = failures(report, groups, params)
    if failed:
        return Verdict("hold", ["the champion no longer passes", *failed])
    return Verdict("promote", ["it is the champion already"])


def enter(registry: "Registry", run_id: str, record: dict[str, Any], verdict: Verdict) -> int:
    """Make sure that the candidate is a version with all its tags, and the aliases follow."""
    version = registry.version_of(record["model_hash"])
    if version is None:
        tags = {**record["lineage"], "model_hash": record["model_hash"]}
        version = registry.register(run_id, tags)
    # Judged again, a champion keeps the reason of its promotion.
    if registry.aliases().get("champion") != version:
        reasons = "; ".join(verdict.reasons)
        decided = {"decision": verdict.decision, "reason": reasons, "decided_at": now()}
        registry.tag(version, decided)
    move_aliases(registry, version, verdict.decision)
    return version


def move_aliases(registry: "Registry", version: int, decision: str) -> None:
    """Point `champion` and `previous`, or `challenger`, at a version; a champion stays one."""
    aliases = registry.aliases()
    champion = aliases.get("champion")
    if decision == "hold" and champion != version:
        registry.point("challenger", version)
    elif champion != version:
        # `previous` first: killed between the two, the old champion is still the champion.
        if champion is not None:
            registry.point("previous", champion)
        registry.point("champion", version)
    if decision == "promote" and aliases.get("challenger") == version:
        registry.unpoint("challenger")


def now() -> str:
    """The time of a decision, in UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def main(paths: Paths = PROJECT) -> None:
    """Write reports/gate.json after the registry agrees with it."""
    params, settings = load_params(paths.params), load_settings(paths)
    contract = load_contract(paths.contract)
    check_params(params, contract)
    from .. import tracking

    registry = tracking.connect(paths, settings)
    run_id = tracking.ensure_run(paths, settings, params)
    tracking.log_evaluation(paths, settings, run_id)
    tracking.log_lock(registry, run_id, paths)
    tracking.log_golden(registry, run_id, golden.make(paths, contract))
    judged = gate(registry, run_id, params, paths)
    card.write(paths, card.read_facts(paths, settings.project, params, judged))
    tracking.log_card(registry, run_id, judged["version"], paths)
    write_json(paths.gate, judged)


def gate(registry: "Registry", run_id: str, params: Params, paths: Paths) -> dict[str, Any]:
    """Judge the candidate, register it if it passes, and return the content of gate.json."""
    record, report, groups = map(read_json, (paths.run, paths.metrics, paths.slices))
    champion = registry.aliases().get("champion")
    known = registry.version_of(record["model_hash"])
    taken_back = registry.find(known).tags.get(OVERRULED) if known else None
    if champion is not None and known == champion:
        verdict = judge_champion(report, groups, params)
    elif taken_back:
        verdict = Verdict("hold", [f"a person took this version back: {taken_back}"])
    else:
        theirs = registry.load(champion) if champion else None
        verdict = judge(report, groups, theirs, params, paths)
    verdict = replace(verdict, reasons=[*verdict.reasons, *not_judged(groups, params)])
    version = known if taken_back else None
    if not taken_back and verdict.decision != "reject":
        version = enter(registry, run_id, record, verdict)
    aliases = registry.aliases()
    names = [alias for alias in ("champion", "challenger") if aliases.get(alias) == version]
    return {
        "decision": verdict.decision,
        "reasons": verdict.reasons,
        "version": version,
        "alias": names[0] if version and names else None,
        "champion_version": champion,
        "comparisons": verdict.comparisons,
    }


if __name__ == "__main__":
    run_stage(main)
