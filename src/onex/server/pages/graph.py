"""The graph of what a node needs, to a depth, drawn here; it says what it leaves out."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response

from onex.domain.errors import OnexError, ResolutionError
from onex.domain.host import HostEnvironment
from onex.domain.reference import NodeId, NodeRef
from onex.resolver.dependency_graph import DependencyGraph
from onex.resolver.dependency_resolver import DependencyResolution, DependencyResolver
from onex.resolver.graph_drawing import to_svg
from onex.resolver.layered_layout import size_of
from onex.server.gate import Caller
from onex.server.pages.site import Site, whole_number

MAXIMUM_DEPTH, DEFAULT_DEPTH = 8, 3
MAXIMUM_BOXES = 150
MAXIMUM_LINES = 600
SHOWN_OTHERS = 12


def resolve_for(site: Site, caller: Caller, references: list[str]) -> DependencyResolution:
    """Choose versions from what a caller may see; raises as ``Registry.resolve``."""
    registry = site.registry(caller)
    if not site.api.hidden(caller):
        return registry.resolve(references)
    resolver = DependencyResolver(site.api.visible(caller), HostEnvironment.current())
    return resolver.resolve_dependencies(resolver.request(map(NodeRef.parse, references)))[0]


def graph_page(site: Site, request: Request) -> Response:
    """What one version needs, and what one asks about it: why, and why not another version."""
    path = request.path_params
    identity = NodeId.parse(f"{path['type']}://{path['namespace']}")
    caller = site.caller(request)
    site.api.require_readable(caller, identity)
    asked = request.query_params
    depth = min(MAXIMUM_DEPTH, max(1, whole_number(asked.get("depth", ""), DEFAULT_DEPTH)))
    version = asked.get("version", "")
    reference = f"{identity}@{version}" if version else str(identity)
    values: dict[str, Any] = {
        "identity": identity, "version": version, "depth": depth, "maximum_depth": MAXIMUM_DEPTH,
        "why": asked.get("why", ""), "why_not": asked.get("why_not", ""),
    }  # fmt: skip
    try:
        resolution = resolve_for(site, caller, [reference])
    except ResolutionError as error:
        explanation = error.explanation
        return site.page(
            request, "graph.html", caller, drawing=None, explanation=explanation, hidden_nodes=0,
            chains=[], refusal="", nodes=[], versions=[], **values,
        )  # fmt: skip
    whole = DependencyGraph.of(resolution)
    shown, hidden = _cut(whole, str(identity), depth)
    query = f"?version={quote(version)}&depth={depth}" if version else f"?depth={depth}"
    own = f"{request.url.path}{query}"
    links = {node: f"{own}&why={quote(node, safe='')}" for node in shown.versions}
    drawing = None
    if size_of(shown.versions, shown.needs) <= MAXIMUM_LINES:
        # Escaped where it is drawn.
        drawing = Markup(to_svg(shown, links, hidden))  # noqa: S704
    why = asked.get("why", "")
    chains = whole.paths_to(why) if why in whole.versions else []
    return site.page(
        request, "graph.html", caller, drawing=drawing, explanation="",
        hidden_nodes=len(whole.versions) - len(shown.versions), chains=chains,
        refusal=_why_not(site, caller, reference, asked.get("why_not", "")),
        versions=_other_versions(site, caller, whole, why),
        nodes=sorted(whole.label(node) for node in whole.versions), **values,
    )  # fmt: skip


def _cut(graph: DependencyGraph, root: str, depth: int) -> tuple[DependencyGraph, dict[str, int]]:
    """The part of a graph within a depth, and how many needs of each node are outside of it."""
    level, reached = [root], {root}
    for _ in range(depth):
        following = []
        for node in level:
            for needed in sorted(graph.needs.get(node, {})):
                if needed not in reached and len(reached) < MAXIMUM_BOXES:
                    reached.add(needed)
                    following.append(needed)
        level = following
    outside = {node: graph.needs.get(node, {}).keys() - reached for node in reached}
    hidden = {node: len(needs) for node, needs in outside.items() if needs}
    kept = {
        node: {needed: c for needed, c in graph.needs.get(node, {}).items() if needed in reached}
        for node in reached
    }
    versions = {node: graph.versions[node] for node in reached}
    return DependencyGraph(versions, kept, graph.requirements), hidden


def _other_versions(site: Site, caller: Caller, graph: DependencyGraph, node: str) -> list[str]:
    """The latest versions of a node that are not chosen."""
    if node not in graph.versions:
        return []
    numbers = site.registry(caller).storage.version_numbers(NodeId.parse(node))
    others = [str(number) for number in reversed(numbers) if number != graph.versions[node]]
    return others[:SHOWN_OTHERS]


def _why_not(site: Site, caller: Caller, reference: str, wanted: str) -> str:
    """Why a version is not chosen together with a reference; empty if nothing was asked."""
    if not wanted:
        return ""
    try:
        resolve_for(site, caller, [reference, wanted])
    except ResolutionError as error:
        return error.explanation
    except OnexError as error:
        return error.message
    return f"{wanted} can be chosen together with it; it is not, since a newer one is preferred."
