"""VersionResolver: one constraint against the versions of one node, without dependencies."""

from __future__ import annotations

from collections.abc import Iterable

from onex.domain.constraint import VersionConstraint
from onex.domain.metadata import RegisteredNode
from onex.domain.selection import is_reserved, preference


def resolve_version(
    registered: Iterable[RegisteredNode], constraint: VersionConstraint
) -> RegisteredNode | None:
    """The version that ``latest`` or another constraint means, or None where none meets it.

    Archived and yanked versions are found only by an exact constraint.
    """
    allowed = [
        node
        for node in registered
        if constraint.allows(node.metadata.version)
        and (constraint.is_exact or not is_reserved(node.metadata.lifecycle, yanked=node.yanked))
    ]
    return max(
        allowed,
        key=lambda node: (
            preference(node.metadata.version, node.metadata.lifecycle),
            node.metadata.version,
        ),
        default=None,
    )
