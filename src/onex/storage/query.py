"""MetadataQuery: filters that combine, and pages that stay stable under writes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from onex.domain.lifecycle import Lifecycle
from onex.domain.metadata import RegisteredNode


@dataclass(frozen=True, slots=True)
class MetadataQuery:
    """What to list. Filters left at their default do not filter; the others must all hold.

    ``pattern`` is a glob over namespace and short name. Without ``all_versions``
    only the newest version of each node is listed, and archived ones are hidden
    unless ``lifecycle`` asks for them. ``after`` is the ``next`` of the page before.
    """

    pattern: str | None = None
    type: str | None = None
    tags: tuple[str, ...] = ()
    capabilities: tuple[str, ...] = ()
    lifecycle: Lifecycle | None = None
    source: str | None = None
    all_versions: bool = False
    limit: int | None = None
    after: str | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a listing; ``next`` is None on the last page."""

    nodes: Sequence[RegisteredNode]
    total: int
    next: str | None
