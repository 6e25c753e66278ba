"""VersionResolver: one constraint against the versions of one node, without dependencies."""

from __future__ import annotations

from collections.abc import Iterable

from onex.domain.constraint import VersionConstraint
from onex.domain.metadata import RegisteredNode
from onex.domain.selection import RESERVED, preference


def resolve_version(
    registered: Iterable[RegisteredNode], constraint: VersionConstraint
) -> RegisteredNode | None:
    """The version that ``latest`` or another constraint means, or None where none meets it.

    Archived and yanked versions are found only by an exact constraint.
    """
    ranked = [
        (preference(n.metadata.version, n.metadata.lifecycle, yanked=n.yanked), n)
        for n in registered
        if constraint.allows(n.metadata.version)
    ]
    allowed = [(rank, n) for rank, n in ranked if rank != RESERVED or constraint.is_exact]
    best = max(allowed, key=lambda entry: (entry[0], entry[1].metadata.version), default=None)
    return best[1] if best else None
