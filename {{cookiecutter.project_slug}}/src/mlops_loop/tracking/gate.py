"""What the gate decided, entered into the registry."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from .registry import Registry

OVERRULED = "overruled"  # tag of a version that a person replaced as champion: why


@dataclass(frozen=True)
class Decision:
    """What the gate decides, why, and the figures that it compared."""

    decision: Literal["promote", "hold", "reject"]
    reasons: list[str]
    comparisons: dict[str, Any] = field(default_factory=dict)


def register_version(
    registry: "Registry", run_id: str, record: dict[str, Any], verdict: Decision
) -> int:
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
