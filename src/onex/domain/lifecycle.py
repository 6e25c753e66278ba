"""The states a node version passes through, and the rules of passing."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from onex.domain.errors import LifecycleError
from onex.domain.reference import NodeVersion
from onex.domain.version import Version


class Lifecycle(StrEnum):
    """The state of one node version."""

    DRAFT = "draft"
    ACTIVE = "active"
    DEPRECATED = "deprecated"
    ARCHIVED = "archived"


ALLOWED_TRANSITIONS: Mapping[Lifecycle, frozenset[Lifecycle]] = {
    Lifecycle.DRAFT: frozenset({Lifecycle.ACTIVE, Lifecycle.ARCHIVED}),
    Lifecycle.ACTIVE: frozenset({Lifecycle.DEPRECATED, Lifecycle.ARCHIVED}),
    Lifecycle.DEPRECATED: frozenset({Lifecycle.ARCHIVED}),
    Lifecycle.ARCHIVED: frozenset(),
}


def check_transition(
    before: Lifecycle,
    after: Lifecycle,
    *,
    deprecated_by: str | None = None,
    archived_reason: str | None = None,
) -> None:
    """Allow or refuse one change of state.

    Raises:
        LifecycleError: LC001 no change, LC002 leaving archived, LC003 a change
            that is not in ``ALLOWED_TRANSITIONS``, LC004 deprecation without a
            replacement, LC005 archiving without a reason.
    """
    if before is after:
        raise LifecycleError("LC001", f"the node is {before} already", hint="nothing needs doing")
    if before is Lifecycle.ARCHIVED:
        raise LifecycleError(
            "LC002", "an archived node never comes back", hint="publish a new version instead"
        )
    if after not in ALLOWED_TRANSITIONS[before]:
        allowed = ", ".join(sorted(ALLOWED_TRANSITIONS[before]))
        raise LifecycleError(
            "LC003",
            f"a node cannot go from {before} to {after}",
            hint=f"from {before} it can go to {allowed}",
        )
    if after is Lifecycle.DEPRECATED and not deprecated_by:
        raise LifecycleError(
            "LC004", "a deprecated node must name its replacement", hint="set deprecated_by"
        )
    if after is Lifecycle.ARCHIVED and before is Lifecycle.ACTIVE and not archived_reason:
        raise LifecycleError(
            "LC005", "archiving an active node needs a reason", hint="set archived_reason"
        )


def check_replacement(node: NodeVersion, replacement: NodeVersion) -> None:
    """Refuse a replacement that is the replaced version itself; raises LifecycleError LC006."""
    if node == replacement:
        raise LifecycleError(
            "LC006", f"{node} cannot be replaced by itself", hint="name another node or version"
        )


RESERVED = -1

_OF_STABLE = {Lifecycle.ACTIVE: 3, Lifecycle.DEPRECATED: 2, Lifecycle.DRAFT: 0}


def preference(version: Version, lifecycle: Lifecycle, *, yanked: bool = False) -> int:
    """Rank a version for selection; among equal ranks the newest is chosen.

    Stable active versions come first, then stable deprecated ones, then
    prereleases, then drafts. Archived and yanked versions are ``RESERVED``: only
    a lock or an exact constraint may choose them.
    """
    if yanked or lifecycle is Lifecycle.ARCHIVED:
        return RESERVED
    if lifecycle is not Lifecycle.DRAFT and version.is_prerelease:
        return 1
    return _OF_STABLE[lifecycle]
