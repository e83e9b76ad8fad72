"""Stage `register`: log the run, ask the gate, register what passes, move the aliases.

The only stage that opens MLflow. Every step can be repeated: after an interruption the next run
finds what is there and goes on; reports/gate.json is written last.
"""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mlops_loop.data.contract import load_contract
from mlops_loop.files import read_json, write_json
from mlops_loop.models import golden, model_card
from mlops_loop.models.summary import print_summary
from mlops_loop.project import Paths, load_settings, run_stage
from mlops_loop.tracking.gate import OVERRULED, Decision, register_version

from .. import PROJECT
from ..params import Params, load_params
from .gate import check_params, judge, judge_champion, not_judged

if TYPE_CHECKING:
    from mlops_loop.tracking.registry import Registry


def gate(registry: "Registry", run_id: str, params: Params, paths: Paths) -> dict[str, Any]:
    """Judge the candidate, register it if it passes, and return the content of gate.json."""
    record, report, groups = map(read_json, (paths.run, paths.metrics, paths.slices))
    champion = registry.aliases().get("champion")
    known = registry.version_of(record["model_hash"])
    taken_back = registry.find(known).tags.get(OVERRULED) if known else None
    if champion is not None and known == champion:
        verdict = judge_champion(report, groups, params)
    elif taken_back:
        verdict = Decision("hold", [f"a person took this version back: {taken_back}"])
    else:
        theirs = registry.load(champion) if champion else None
        verdict = judge(report, groups, theirs, params, paths)
    verdict = replace(verdict, reasons=[*verdict.reasons, *not_judged(groups, params)])
    version = known if taken_back else None
    if not taken_back and verdict.decision != "reject":
        version = register_version(registry, run_id, record, verdict)
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


def main(paths: Paths) -> None:
    """Write reports/gate.json after the registry agrees with it."""
    params, settings = load_params(paths.params), load_settings(paths)
    contract = load_contract(paths.contract)
    check_params(params, contract)
    from mlops_loop.tracking import registry as tracking

    registry = tracking.connect(paths, settings)
    run_id = tracking.ensure_run(registry, paths, params)
    tracking.log_evaluation(registry, paths, run_id)
    tracking.log_lock(registry, run_id, paths)
    tracking.log_golden(registry, run_id, golden.make(paths, contract))
    judged = gate(registry, run_id, params, paths)
    confidence = params.evaluate.confidence
    facts = model_card.read_facts(paths, settings.project, params, confidence, judged)
    model_card.write(paths, facts)
    tracking.log_card(registry, run_id, judged["version"], paths)
    write_json(paths.gate, judged)
    print_summary(paths)


if __name__ == "__main__":
    run_stage(main, PROJECT)
