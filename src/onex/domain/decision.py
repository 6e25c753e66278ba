"""Decisions of the registry about a node version, beside what its manifest says.

They belong to the identity of the version and outlive its absence: a version that is not
offered for a while comes back as it was decided, not as new.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from onex.domain.json_value import JsonObject, canonical_json
from onex.domain.lifecycle import Lifecycle
from onex.domain.metadata import NodeMetadata

NO_DECISION = "null"


@dataclass(frozen=True, slots=True)
class AbsentDecision:
    """What holds for a version that no source offers now.

    ``lifecycle`` is the state its manifest had; ``decision`` is canonical JSON.
    """

    lifecycle: str
    yanked: bool
    yank_reason: str | None
    decision: str

    def on_return(self, lifecycle: str) -> AbsentDecision:
        """What still holds when a manifest with this lifecycle state is back.

        A state that the author changed in the manifest ends what was decided of it.
        """
        return self if lifecycle == self.lifecycle else replace(self, decision=NO_DECISION)

    def in_words(self, state: Lifecycle) -> str:
        """Why the version is not as new, such as ``still yanked: it loses data``."""
        words = []
        if self.yanked:
            words.append("still yanked" + (f": {self.yank_reason}" if self.yank_reason else ""))
        if self.decision != NO_DECISION:
            words.append(f"still {state}")
        return " and ".join(words)


def write_decision(lifecycle: Lifecycle, deprecated_by: str | None, reason: str | None) -> str:
    """A decision as canonical JSON."""
    return canonical_json(
        {
            "lifecycle": lifecycle.value,
            "deprecated_by": deprecated_by,
            "archived_reason": reason,
        }
    )


def decided(metadata: NodeMetadata, decision: JsonObject | None) -> NodeMetadata:
    """Metadata in the lifecycle state that a decision gives it; as it is without one."""
    if not decision:
        return metadata
    deprecated_by, reason = decision.get("deprecated_by"), decision.get("archived_reason")
    return replace(
        metadata,
        lifecycle=Lifecycle(str(decision["lifecycle"])),
        deprecated_by=metadata.deprecated_by if deprecated_by is None else str(deprecated_by),
        archived_reason=metadata.archived_reason if reason is None else str(reason),
    )
