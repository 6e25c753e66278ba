"""The versions of a node against everyone who asks for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from onex.domain.constraint import VersionConstraint
from onex.domain.json_value import JsonValue
from onex.domain.version import Version
from onex.resolver.version_table import VersionTable, indexes


@dataclass(frozen=True, slots=True)
class Demand:
    """One dependent, such as ``tool://app@1.0.0`` or a workflow, and what it asks."""

    dependent: str
    constraint: VersionConstraint


@dataclass(frozen=True, slots=True)
class VersionCompatibility:
    """One version, and who would take it and who would not."""

    version: Version
    lifecycle: str
    allowed_by: tuple[str, ...]
    refused_by: tuple[str, ...]

    def to_json(self) -> dict[str, JsonValue]:
        """The version in the shape that ``compat`` prints."""
        return {
            "version": str(self.version),
            "lifecycle": self.lifecycle,
            "allowed_by": list(self.allowed_by),
            "refused_by": list(self.refused_by),
        }


def compatibility(
    table: VersionTable, lifecycles: Mapping[Version, str], demands: Iterable[Demand]
) -> list[VersionCompatibility]:
    """Every version of a node, newest first, against every demand for the node."""
    masks = [(demand, table.mask_of(demand.constraint)) for demand in demands]
    found = []
    for index in reversed(list(indexes(table.full))):
        bit = 2 << index
        version = table.versions[index]
        found.append(
            VersionCompatibility(
                version,
                lifecycles[version],
                tuple(_shown(demand) for demand, mask in masks if mask & bit),
                tuple(_shown(demand) for demand, mask in masks if not mask & bit),
            )
        )
    return found


def _shown(demand: Demand) -> str:
    return f"{demand.dependent} ({demand.constraint})"
