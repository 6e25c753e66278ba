"""Which versions of a node come first when several will do."""

from __future__ import annotations

from onex.domain.lifecycle import Lifecycle
from onex.domain.version import Version

_RANK = {Lifecycle.ACTIVE: 3, Lifecycle.DEPRECATED: 2, Lifecycle.ARCHIVED: 0, Lifecycle.DRAFT: 0}


def preference(version: Version, lifecycle: Lifecycle) -> int:
    """How good a choice a version is; among equals the newest is chosen.

    Stable active versions come first, then stable deprecated ones, then
    prereleases, then drafts.
    """
    if lifecycle in (Lifecycle.ACTIVE, Lifecycle.DEPRECATED) and version.is_prerelease:
        return 1
    return _RANK[lifecycle]


def is_reserved(lifecycle: Lifecycle, *, yanked: bool) -> bool:
    """Whether only a lock or an exact constraint may choose the version."""
    return yanked or lifecycle is Lifecycle.ARCHIVED
