"""Decisions of the gate, and their registration."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from .registry import Registry

OVERRULED = "overruled"  # tag: the reason why a person replaced this version as champion


@dataclass(frozen=True)
class Decision:
    """Decision of the gate with its reasons and the compared metrics."""

    decision: Literal["promote", "hold", "reject"]
    reasons: list[str]
    comparisons: dict[str, Any] = field(default_factory=dict)


def identity(record: dict[str, Any]) -> dict[str, str]:
    """The tags that tell versions apart: the hashes of the model and of its contract."""
    hashes = record["lineage"] | record
    return {name: hashes[name] for name in ("model_hash", "contract_hash")}


def register_version(
    registry: "Registry", run_id: str, record: dict[str, Any], decision: Decision
) -> int:
    """Register the candidate with all its tags, unless it is registered, and move the aliases."""
    version = registry.version_of(identity(record))
    if version is None:
        version = registry.register(run_id, record["lineage"] | identity(record))
    # A champion keeps the reason of its promotion when it is judged once more.
    if registry.aliases().get("champion") != version:
        reasons = "; ".join(decision.reasons)
        decided = {"decision": decision.decision, "reason": reasons, "decided_at": now()}
        registry.tag(version, decided)
    move_aliases(registry, version, decision.decision)
    return version


def move_aliases(registry: "Registry", version: int, decision: str) -> None:
    """Move `champion` and `previous`, or `challenger`, to a version; a champion stays one."""
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
    """The current time in UTC, as tags hold it."""
    return datetime.now(UTC).isoformat(timespec="seconds")
