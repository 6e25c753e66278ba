"""Decisions of the registry about a node version's lifecycle, beside what its manifest says."""

from __future__ import annotations

from dataclasses import replace

from onex.domain.json_value import JsonObject, canonical_json
from onex.domain.lifecycle import Lifecycle
from onex.domain.metadata import NodeMetadata

NO_DECISION = "null"


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
