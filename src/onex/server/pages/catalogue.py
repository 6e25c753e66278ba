"""The catalogue: search, facets with counts, and a page of nodes; the address is its state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response

from onex.domain.errors import UsageError
from onex.domain.evidence import TrustLevel
from onex.domain.lifecycle import Lifecycle
from onex.domain.metadata import RegisteredNode
from onex.server.pages.site import FACETS, Site
from onex.storage.query import MetadataQuery

PAGE_NODES = 30
SHOWN_VALUES = 12
MAXIMUM_WORDS = 500
SINGLE = ("type", "lifecycle", "trust", "source")


@dataclass(frozen=True, slots=True)
class FacetValue:
    """One value of a facet: how many nodes have it, and where choosing or dropping it leads."""

    value: str
    number: int
    is_chosen: bool
    link: str


@dataclass(frozen=True, slots=True)
class Facet:
    """The values of one label; ``more`` are not shown."""

    name: str
    values: Sequence[FacetValue]
    more: int


def catalogue(site: Site, request: Request) -> Response:
    """The page of the catalogue."""
    caller = site.caller(request)
    registry = site.registry(caller)
    asked = request.query_params
    words = asked.get("q", "").strip()[:MAXIMUM_WORDS]
    query = _query(site, request)
    suggestion = following = None
    if words:
        found = registry.search(words, query)
        nodes: Sequence[RegisteredNode] = [hit.node for hit in found.hits]
        total, suggestion = len(nodes), found.did_you_mean
    else:
        page = registry.query(query)
        nodes, total = page.nodes, page.total
        following = None if page.next is None else _link(asked, "after", page.next)
    counts = dict(site.facets(caller, registry.storage))
    if caller.token is not None:
        sources: dict[str, int] = {}
        for source, number in registry.storage.sources().items():
            sources[source.name] = sources.get(source.name, 0) + number
        counts["source"] = sources
    return site.page(
        request, "catalogue.html", caller,
        words=words, nodes=nodes, total=total, following=following, suggestion=suggestion,
        facets=_facets(counts, asked), chosen=_chosen(asked), is_full=total >= PAGE_NODES,
        is_first="after" not in asked, all_nodes=sum(counts.get("type", {}).values()),
    )  # fmt: skip


def _query(site: Site, request: Request) -> MetadataQuery:
    asked = request.query_params
    caller = site.caller(request)
    try:
        lifecycle = Lifecycle(asked["lifecycle"]) if "lifecycle" in asked else None
        trust = TrustLevel(asked["trust"]) if "trust" in asked else None
    except ValueError as error:
        raise UsageError(f"there is no such filter: {error}", hint="choose one of those") from error
    return MetadataQuery(
        type=asked.get("type"),
        lifecycle=lifecycle,
        trust=trust,
        source=asked.get("source") if caller.token is not None else None,
        tags=tuple(asked.getlist("tag")[:10]),
        capabilities=tuple(asked.getlist("capability")[:10]),
        permissions=tuple(asked.getlist("permission")[:10]),
        limit=PAGE_NODES,
        after=asked.get("after"),
        hidden=site.api.hidden(caller),
    )


def _facets(counts: Mapping[str, Mapping[str, int]], asked: QueryParams) -> list[Facet]:
    facets = []
    for name in (*FACETS, "source"):
        values = sorted(counts.get(name, {}).items(), key=lambda item: (-item[1], item[0]))
        chosen = set(asked.getlist(name))
        first = [v for v in values if v[0] in chosen]
        first += [v for v in values if v[0] not in chosen][: SHOWN_VALUES - len(first)]
        found = [FacetValue(v, n, v in chosen, _toggled(asked, name, v)) for v, n in first]
        if found:
            facets.append(Facet(name, found, len(values) - len(found)))
    return facets


def _chosen(asked: QueryParams) -> list[tuple[str, str, str]]:
    """Each filter that is on: its label, its value, and where dropping it leads."""
    return [
        (name, value, _toggled(asked, name, value))
        for name in (*FACETS, "source")
        for value in asked.getlist(name)
    ]


def _toggled(asked: QueryParams, name: str, value: str) -> str:
    """The address with a value added, or taken away if it is there."""
    kept = [(n, v) for n, v in asked.multi_items() if n not in ("after", "part")]
    pair = (name, value)
    if pair in kept:
        kept.remove(pair)
    else:
        if name in SINGLE:
            kept = [(n, v) for n, v in kept if n != name]
        kept.append(pair)
    return f"/?{urlencode(kept)}" if kept else "/"


def _link(asked: QueryParams, name: str, value: str) -> str:
    kept = [(n, v) for n, v in asked.multi_items() if n not in (name, "part")]
    return f"/?{urlencode([*kept, (name, value)])}"
