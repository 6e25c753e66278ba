"""What one version of a node asks of others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from onex.domain.constraint import VersionConstraint

Requirements = tuple[tuple[str, VersionConstraint], ...]


@dataclass(frozen=True, slots=True)
class Dependencies:
    """What one version asks of other nodes, sorted by their names.

    ``unavailable_reason`` is why the version cannot be used at all, None if it can.
    """

    required: Requirements
    optional: Requirements = ()
    unavailable_reason: str | None = None

    @classmethod
    def of(
        cls,
        required: Mapping[str, VersionConstraint],
        optional: Mapping[str, VersionConstraint],
        unavailable_reason: str | None,
    ) -> Dependencies:
        """From dependencies in any order; an optional one on a required node limits that one."""
        if not optional:
            return cls(_sorted(required), (), unavailable_reason)
        both = {
            name: required[name].intersection(optional[name]) for name in required.keys() & optional
        }
        alone = {name: asked for name, asked in optional.items() if name not in required}
        return cls(_sorted({**required, **both}), _sorted(alone), unavailable_reason)

    def constraint_on(self, node: str) -> VersionConstraint:
        """What is asked of a node that is among those asked; raises KeyError for others."""
        return dict(self.optional + self.required)[node]


def _sorted(asked: Mapping[str, VersionConstraint]) -> Requirements:
    """Sorted, so that an answer does not depend on the order in which needs were written."""
    return tuple(sorted(asked.items())) if len(asked) > 1 else tuple(asked.items())
