"""Stage `register`: log the run, apply the gate, register what passes, move the aliases.

The only stage that opens MLflow. Every step may be repeated; reports/gate.json is written last.
"""

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from mlops_loop.data.contract import load_contract
from mlops_loop.files import Content, read_json, write_json
from mlops_loop.lineage import require_commit
from mlops_loop.models import model_card
from mlops_loop.models.slices import check_bars, not_judged, too_good
from mlops_loop.models.summary import print_summary
from mlops_loop.project import Paths, load_settings, run_stage
from mlops_loop.tracking import open_registry
from mlops_loop.tracking.gate import OVERRULED, Decision, identity, log_decision, register_version

from .. import PROJECT
from ..params import Params, load_params
from .gate import judge, judge_champion
from .metrics import SCORING

if TYPE_CHECKING:
    from mlops_loop.tracking.registry import Registry


def gate(
    registry: "Registry", run_id: str, params: Params, paths: Paths, keep_back: str = ""
) -> Content:
    """Judge the candidate, register it unless rejected, and return the content of gate.json.

    One that passes stays challenger where there is a reason to keep it back.
    """
    record, report, groups = map(read_json, (paths.run, paths.metrics, paths.slices))
    champion = registry.aliases().get("champion")
    model = {"model_hash": record["model_hash"]}
    version = registry.version_of(identity(record))  # None: a new model, or another contract
    known = version or registry.version_of(model)
    overruled = registry.find(known).tags.get(OVERRULED) if known else None
    is_champions = champion and model.items() <= registry.find(champion).tags.items()

    if version and version == champion:
        decision = judge_champion(report, groups, params)
    elif is_champions and not (version and overruled):
        decision = Decision("promote", [f"the model of version {champion} with another contract"])
    elif overruled:
        decision = Decision("hold", [f"it was taken back: {overruled}"])
    else:
        load_champion = partial(registry.load, champion) if champion else None
        decision = judge(report, groups, load_champion, params, paths, registry.is_shared)
    by = params.registration
    more = not_judged(groups, by.slices, by.fairness) + too_good(params.task, report["test"])
    decision = replace(decision, reasons=[*decision.reasons, *more])
    if keep_back and decision.decision == "promote" and version != champion:
        kept = [*decision.reasons, keep_back]
        decision = replace(decision, decision="hold", reasons=kept, challenger=True)

    if decision.decision == "reject":
        version = None
    elif decision.decision == "promote" or not overruled:
        version = register_version(registry, run_id, record, decision)
    return log_decision(registry, record, report["test"], decision, version, champion)


def register(registry: "Registry", paths: Paths, keep_back: str = "") -> Content:
    """Log, judge and register what is in `paths`; write reports/gate.json, and return it."""
    params, settings = load_params(paths.params), load_settings(paths)
    scoring, contract = SCORING[params.task], load_contract(paths.contract)
    check_bars(params.task, scoring, contract, params.registration)
    if params.registration.require_commit:
        require_commit(read_json(paths.run)["lineage"], "this model")
    from mlops_loop.tracking import registry as tracking

    run_id = tracking.ensure_run(registry, paths, params)
    tracking.log_evaluation(registry, paths, run_id)
    judged = gate(registry, run_id, params, paths, keep_back)
    model_card.write(paths, settings, params, params.evaluate.confidence, judged)
    tracking.describe(registry, run_id, paths, scoring.primary, judged)
    write_json(paths.gate, judged)
    return judged


def main(paths: Paths) -> None:
    """Write reports/gate.json after the registry agrees with it."""
    register(open_registry(paths), paths)
    print_summary(paths)


if __name__ == "__main__":
    run_stage(main, PROJECT)
