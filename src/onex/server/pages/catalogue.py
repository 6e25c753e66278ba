"""The catalogue: search, facets with counts, and a page of nodes; the address is its state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlencode

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response

from onex.domain.access_control import Action, HiddenNamespaces
from onex.domain.errors import UsageError
from onex.domain.evidence import TrustLevel
from onex.domain.lifecycle import Lifecycle
from onex.domain.metadata import RegisteredNode
from onex.registry import Registry
from onex.server.pages.facets import FACETS, Counts, Facets, counts_of
from onex.server.pages.site import Site
from onex.storage.query import MetadataQuery

PAGE_NODES = 30
COUNTED_NODES = 300
"""Of so many found nodes the facets are counted; beyond, they are those of all nodes."""

MORE = -1
"""The total of more than ``COUNTED_NODES``."""

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


def catalogue(site: Site, request: Request, facets: Facets) -> Response:
    """The page of the catalogue."""
    caller = site.caller(request)
    registry, hidden = site.registry(caller), site.api.hidden(caller)
    asked = request.query_params
    words = asked.get("q", "").strip()[:MAXIMUM_WORDS]
    may_see_sources = site.may(caller, Action.DECIDE)
    names = (*FACETS, "source") if may_see_sources else FACETS
    query = _query(asked, hidden, with_source=may_see_sources)
    whole, chosen = dict(facets.of(registry, hidden)), _chosen(asked, names)
    if may_see_sources:
        whole["source"] = _sources(registry)
    every = sum(whole.get("type", {}).values())
    suggestion = following = None
    counts: Counts = whole
    nodes: Sequence[RegisteredNode]
    total = every
    if words:
        found = registry.search(words, replace(query, limit=COUNTED_NODES))
        suggestion, matching = found.did_you_mean, [hit.node for hit in found.hits]
        counts, total, nodes = counts_of(matching), len(matching), matching[:PAGE_NODES]
    else:
        page = registry.query(query)
        nodes, following = page.nodes, page.next and _link(asked, "after", page.next)
        if chosen:
            # Counting all that match would take longer than anybody waits.
            first = registry.query(replace(query, limit=COUNTED_NODES, after=None))
            total = len(first.nodes) if first.next is None else MORE
            counts = counts_of(first.nodes) if first.next is None else whole
    return site.page(
        request, "catalogue.html", caller, words=words, nodes=nodes, total=total,
        following=following, suggestion=suggestion, chosen=chosen,
        facets=_facets(counts, asked, names),
        are_of_all=counts is whole, is_narrowed=bool(words or chosen),
        is_cut=bool(words) and total > PAGE_NODES,
        counted=COUNTED_NODES, is_first="after" not in asked, all_nodes=every,
    )  # fmt: skip


def _sources(registry: Registry) -> dict[str, int]:
    """How many versions each source has."""
    found: dict[str, int] = {}
    for source, number in registry.storage.sources().items():
        found[source.name] = found.get(source.name, 0) + number
    return found


def _query(asked: QueryParams, hidden: HiddenNamespaces, *, with_source: bool) -> MetadataQuery:
    try:
        lifecycle = Lifecycle(asked["lifecycle"]) if "lifecycle" in asked else None
        trust = TrustLevel(asked["trust"]) if "trust" in asked else None
    except ValueError as error:
        raise UsageError(f"there is no such filter: {error}", hint="choose one of those") from error
    return MetadataQuery(
        type=asked.get("type"),
        lifecycle=lifecycle,
        trust=trust,
        source=asked.get("source") if with_source else None,
        tags=tuple(asked.getlist("tag")[:10]),
        capabilities=tuple(asked.getlist("capability")[:10]),
        permissions=tuple(asked.getlist("permission")[:10]),
        limit=PAGE_NODES,
        after=asked.get("after"),
        hidden=hidden,
        with_total=False,
        # Facets count the best versions, and so they are what a filter leaves.
        among_best=True,
    )


def _facets(counts: Counts, asked: QueryParams, names: Sequence[str]) -> list[Facet]:
    facets = []
    for name in names:
        values = sorted(counts.get(name, {}).items(), key=lambda item: (-item[1], item[0]))
        chosen = set(asked.getlist(name))
        first = [v for v in values if v[0] in chosen]
        first += [v for v in values if v[0] not in chosen][: SHOWN_VALUES - len(first)]
        found = [FacetValue(v, n, v in chosen, _toggled(asked, name, v)) for v, n in first]
        if found:
            facets.append(Facet(name, found, len(values) - len(found)))
    return facets


def _chosen(asked: QueryParams, names: Sequence[str]) -> list[tuple[str, str, str]]:
    """Each filter that is on: its label, its value, and where dropping it leads."""
    return [
        (name, value, _toggled(asked, name, value))
        for name in names
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
