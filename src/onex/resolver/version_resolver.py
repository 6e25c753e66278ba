"""VersionResolver: one constraint against the versions of one node, without dependencies."""

from __future__ import annotations

from onex.domain.constraint import VersionConstraint
from onex.domain.version import Version
from onex.resolver.compatibility_matrix import VersionMatrix


def resolve_version(
    matrix: VersionMatrix, node: str, constraint: VersionConstraint
) -> Version | None:
    """The version that ``latest`` or another constraint means, or None where none meets it.

    Archived and yanked versions are found only by an exact constraint.
    """
    table = matrix.table(node)
    mask = table.mask_of(constraint)
    return table.versions[table.preferred(mask).bit_length() - 2] if mask else None
