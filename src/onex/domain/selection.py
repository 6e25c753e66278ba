"""Which versions of a node come first when several will do."""

from __future__ import annotations

from onex.domain.lifecycle import Lifecycle
from onex.domain.version import Version

RESERVED = -1

_OF_STABLE = {Lifecycle.ACTIVE: 3, Lifecycle.DEPRECATED: 2, Lifecycle.DRAFT: 0}


def preference(version: Version, lifecycle: Lifecycle, *, yanked: bool = False) -> int:
    """How good a choice a version is; among equals the newest is chosen.

    Stable active versions come first, then stable deprecated ones, then
    prereleases, then drafts. Archived and yanked versions are ``RESERVED``: only
    a lock or an exact constraint may choose them.
    """
    if yanked or lifecycle is Lifecycle.ARCHIVED:
        return RESERVED
    if lifecycle is not Lifecycle.DRAFT and version.is_prerelease:
        return 1
    return _OF_STABLE[lifecycle]
