"""Decisions of the gate, their registration, and the history of champions."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from ..files import Content
from . import history
from .scoring_code import code_hash

if TYPE_CHECKING:
    from ..models.bootstrap import Scores
    from .registry import Registry

ARCHIVED = "archived"  # tag: since when this version is champion no longer
OVERRULED = "overruled"  # tag: the reason why a person replaced this version as champion


@dataclass(frozen=True)
class Decision:
    """Decision of the gate with its reasons and the compared metrics.

    A held candidate becomes the challenger only where `challenger` is true.
    """

    decision: Literal["promote", "hold", "reject"]
    reasons: list[str]
    comparisons: Content = field(default_factory=dict)
    challenger: bool = False


def identity(record: Content) -> dict[str, str]:
    """The tags that tell versions apart: the hashes of the model and of its contract."""
    hashes = record["lineage"] | record
    return {name: hashes[name] for name in ("model_hash", "contract_hash")}


def register_version(registry: "Registry", run_id: str, record: Content, decision: Decision) -> int:
    """Register the candidate with all its tags, unless it is registered, and move the aliases.

    A version of code that was not committed gets the lineage of the same model from a commit.
    """
    version, lineage = registry.version_of(identity(record)), record["lineage"]
    if version is None:
        tags = lineage | identity(record) | {"code_hash": code_hash()}
        version = registry.register(run_id, tags)
    elif lineage["git_dirty"] == "false" != registry.find(version).tags["git_dirty"]:
        registry.tag(version, lineage)
    reason = "; ".join(decision.reasons)
    # A champion keeps the reason of its promotion when it is judged once more.
    if registry.aliases().get("champion") != version:
        decided = {"decision": decision.decision, "reason": reason, "decided_at": now()}
        registry.tag(version, decided)
        if decision.challenger:
            registry.point("challenger", version)
    if decision.decision == "promote":
        make_champion(registry, version, "gate", reason)
    return version


def log_decision(
    registry: "Registry",
    record: Content,
    metrics: "Scores",
    decision: Decision,
    version: int | None,
    champion: int | None,
) -> Content:
    """Append a decision to the history; returns what gate.json holds of it.

    `version` is the candidate's, if it is registered; `champion` was champion before.
    """
    aliases = registry.aliases()
    named = [alias for alias in ("champion", "challenger") if aliases.get(alias) == version]
    judged = {
        "decision": decision.decision,
        "reasons": decision.reasons,
        "version": version,
        "alias": named[0] if version and named else None,
        "champion_version": champion,
        "comparisons": decision.comparisons,
    }
    reason = f"{decision.decision}: {'; '.join(decision.reasons)}"
    about = record["lineage"] | identity(record) | judged | {"metrics": metrics}
    history.append(registry.paths, "gate", by="gate", reason=reason, **about)
    return judged


def make_champion(
    registry: "Registry", version: int, by: str, reason: str, event: str = "promote"
) -> None:
    """Append the move to the history, then move `previous` and `champion`.

    The event `rollback` takes back every champion since. Repeated, it changes nothing.
    """
    if registry.champions()[-1:] != [version]:
        history.append(registry.paths, event, by=by, reason=reason, version=version)
        registry.append_history(event=event, version=version, by=by, reason=reason, at=now())
    # `previous` first: killed between the two, the old champion is still the champion.
    _, *earlier = reversed(registry.champions())
    if earlier:
        registry.point("previous", earlier[0])
    else:
        registry.unpoint("previous")
    aliases = registry.aliases()
    registry.tag(aliases.get("champion", version), {ARCHIVED: now()})
    registry.tag(version, {ARCHIVED: ""})  # last: it may be the champion already
    registry.point("champion", version)
    if aliases.get("challenger") == version:
        registry.unpoint("challenger")


def now() -> str:
    """The current time in UTC, as tags hold it."""
    return datetime.now(UTC).isoformat(timespec="seconds")
