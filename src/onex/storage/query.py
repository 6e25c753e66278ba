"""MetadataQuery: filters that combine, and pages that stay stable under writes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from onex.domain.access_control import NOTHING_HIDDEN, HiddenNamespaces
from onex.domain.constraint import VersionConstraint
from onex.domain.evidence import TrustLevel
from onex.domain.json_value import JsonObject
from onex.domain.lifecycle import Lifecycle
from onex.domain.metadata import RegisteredNode


@dataclass(frozen=True, slots=True)
class MetadataQuery:
    """What to list. Filters left at their default do not filter; the others must all hold.

    ``pattern`` is a glob over namespace and short name, or a part of either.
    ``tags`` must all be there, of ``any_tags`` one. ``version`` is a constraint.
    Without ``all_versions`` the best version of each node is listed: the one that
    ``latest`` means, or where ``lifecycle``, ``version`` or ``source`` is given, the best
    that fits, unless ``among_best`` says that only the best of all may be listed; archived
    versions are hidden unless ``lifecycle`` asks for them.
    ``after`` is the ``next`` of the page before; ``with_total`` asks for the number
    of all that match, on every page. Nodes in ``hidden`` namespaces are left out.
    """

    pattern: str | None = None
    namespace: str | None = None
    type: str | None = None
    version: VersionConstraint | None = None
    tags: tuple[str, ...] = ()
    any_tags: tuple[str, ...] = ()
    capabilities: tuple[str, ...] = ()
    permissions: tuple[str, ...] = ()
    lifecycle: Lifecycle | None = None
    author: str | None = None
    source: str | None = None
    trust: TrustLevel | None = None
    all_versions: bool = False
    among_best: bool = False
    limit: int | None = None
    after: str | None = None
    with_total: bool = True
    hidden: HiddenNamespaces = NOTHING_HIDDEN


EVERY_NODE = MetadataQuery()


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a listing; ``next`` is None on the last page, ``total`` -1 if not asked for."""

    nodes: Sequence[RegisteredNode]
    total: int
    next: str | None

    def __iter__(self) -> Iterator[RegisteredNode]:
        return iter(self.nodes)

    def __len__(self) -> int:
        return len(self.nodes)

    def _repr_html_(self) -> str:
        """The page as a notebook shows it: a table."""
        from onex.domain.notebook_view import nodes_html

        return nodes_html(self.nodes, self.total)


@dataclass(frozen=True, slots=True)
class SearchHit:
    """One node that a text was found in.

    ``score`` is 1 for the name itself, 0.8 for a name that begins so, 0.6 for a tag, and for
    words of names, descriptions and READMEs up to 0.5, by comparison with the best of them.
    """

    node: RegisteredNode
    score: float


@dataclass(frozen=True, slots=True)
class SearchResult:
    """What a text was found in, the best first.

    ``did_you_mean`` is another spelling that was searched for instead, since the given
    one is found nowhere; None if it was not needed.
    """

    hits: Sequence[SearchHit]
    did_you_mean: str | None = None

    def __iter__(self) -> Iterator[SearchHit]:
        return iter(self.hits)

    def __len__(self) -> int:
        return len(self.hits)

    def _repr_html_(self) -> str:
        """The result as a notebook shows it: a table, the best first."""
        from onex.domain.notebook_view import nodes_html

        return nodes_html([hit.node for hit in self.hits], len(self.hits))

    def to_json(self) -> JsonObject:
        """The result in the shape that ``search`` prints."""
        return {
            "nodes": [hit.node.summary() | {"score": hit.score} for hit in self.hits],
            "total": len(self.hits),
            "next": None,
            "did_you_mean": self.did_you_mean,
        }
