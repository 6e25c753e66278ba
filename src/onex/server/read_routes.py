"""The routes that read: nodes, searches, resolutions, and the history of versions."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request

from onex import __version__
from onex.domain.access_control import Role
from onex.domain.errors import UsageError
from onex.domain.event import Event
from onex.domain.host import HostEnvironment
from onex.domain.lifecycle import Lifecycle
from onex.domain.reference import NodeId, NodeRef
from onex.resolver.dependency_resolver import DependencyResolver
from onex.server.gate import Caller
from onex.server.models import (
    About,
    FoundNodes,
    Json,
    NodePage,
    Question,
)
from onex.server.requests import (
    INTERFACE,
    Limit,
    Namespace,
    Requests,
    TypeName,
    VersionText,
    problems,
    version_of,
)
from onex.storage.query import MetadataQuery

FACETS = ("type", "lifecycle", "tag", "capability", "permission")

Word = Annotated[str | None, Query(max_length=500)]
Words = Annotated[list[Annotated[str, Query(max_length=500)]], Query(max_length=20)]


def read_routes(api: Requests) -> APIRouter:
    """The routes that change nothing."""
    router = APIRouter(prefix=INTERFACE)

    @router.get("", responses=problems(), tags=["registry"])
    def about(request: Request) -> About:
        """What this registry is, and how far its log goes."""
        caller = api.caller(request)
        storage = api.registry(caller).storage
        page = storage.query(MetadataQuery(limit=0, hidden=api.hidden(caller)))
        return About(
            registry=storage.identity,
            serial=storage.serial(),
            version=__version__,
            nodes=page.total,
        )

    @router.get("/nodes", responses=problems(422), tags=["nodes"])
    def list_nodes(
        request: Request,
        pattern: Word = None,
        type: Word = None,  # noqa: A002 - the name of the parameter in the interface
        namespace: Word = None,
        lifecycle: Annotated[Lifecycle | None, Query()] = None,
        tag: Words = [],
        capability: Words = [],
        permission: Words = [],
        all_versions: bool = False,
        limit: Limit = 50,
        cursor: Annotated[str | None, Query(max_length=2_000)] = None,
    ) -> NodePage:
        """List nodes, a page at a time, in the order of their namespaces."""
        caller = api.caller(request)
        query = MetadataQuery(
            pattern=pattern,
            type=type,
            namespace=namespace,
            lifecycle=lifecycle,
            tags=tuple(tag),
            capabilities=tuple(capability),
            permissions=tuple(permission),
            all_versions=all_versions,
            limit=limit,
            after=cursor,
            hidden=api.hidden(caller),
        )
        page = api.registry(caller).query(query)
        nodes: Any = [node.summary() for node in page.nodes]
        return NodePage(nodes=nodes, total=page.total, next=page.next)

    @router.get("/search", responses=problems(422), tags=["nodes"])
    def search(
        request: Request,
        q: Annotated[str, Query(min_length=1, max_length=500, examples=["parse python"])],
        limit: Limit = 20,
    ) -> FoundNodes:
        """Search names, tags, capabilities, descriptions and READMEs, best first."""
        caller = api.caller(request)
        query = MetadataQuery(limit=limit, hidden=api.hidden(caller))
        result = api.registry(caller).search(q, query)
        nodes: Any = [hit.node.summary() | {"score": hit.score} for hit in result.hits]
        return FoundNodes(nodes=nodes, total=len(result.hits), did_you_mean=result.did_you_mean)

    @router.get("/facets", responses=problems(), tags=["nodes"])
    def facets(request: Request) -> dict[str, dict[str, int]]:
        """For each kind of label its values, and how many nodes have them."""
        caller = api.caller(request)
        found = api.registry(caller).storage.facets(FACETS, api.hidden(caller))
        return {kind: dict(values) for kind, values in found.items()}

    @router.get("/nodes/{node_type}/{namespace}", responses=problems(404, 422),
                     tags=["nodes"])  # fmt: skip
    def node(request: Request, node_type: TypeName, namespace: Namespace) -> Json:
        """The version of a node that `latest` means, with all its versions."""
        identity = NodeId.parse(f"{node_type}://{namespace}")
        caller = api.caller(request)
        api.require_readable(caller, identity)
        return _details(api, caller, NodeRef.parse(str(identity)))

    @router.get("/nodes/{node_type}/{namespace}/{version}",
                     responses=problems(404, 422), tags=["nodes"])  # fmt: skip
    def node_version(
        request: Request, node_type: TypeName, namespace: Namespace, version: VersionText
    ) -> Json:
        """One version of a node."""
        wanted = version_of(node_type, namespace, version)
        caller = api.caller(request)
        api.require_readable(caller, wanted.node)
        return _details(api, caller, NodeRef.parse(str(wanted)))

    @router.get("/nodes/{node_type}/{namespace}/{version}/history",
                     responses=problems(404, 422), tags=["nodes"])  # fmt: skip
    def history(
        request: Request, node_type: TypeName, namespace: Namespace, version: VersionText
    ) -> dict[str, list[Json]]:
        """What was done with a version, oldest first."""
        wanted = version_of(node_type, namespace, version)
        caller = api.caller(request)
        registry = api.registry_with(caller, wanted)
        events = registry.changes_of(NodeRef.parse(str(wanted)))
        return {"events": [_told(event) for event in events]}

    @router.get("/nodes/{node_type}/{namespace}/{version}/impact",
                     responses=problems(404, 422), tags=["resolution"])  # fmt: skip
    def impact(
        request: Request, node_type: TypeName, namespace: Namespace, version: VersionText
    ) -> Json:
        """What a version does to those who need its node."""
        wanted = version_of(node_type, namespace, version)
        caller = api.caller(request)
        registry = api.registry_with(caller, wanted)
        _, found = registry.impact(NodeRef.parse(str(wanted)), {})
        shown = api.visible(caller).impacts(found)
        return {"node": str(wanted), "dependants": [entry.to_json() for entry in shown]}

    @router.post("/resolve", responses=problems(404, 409, 422), tags=["resolution"])
    def resolve(request: Request, question: Question) -> Json:
        """Choose versions, or explain why none fit; it changes nothing."""
        caller = api.caller(request)
        hidden_ones = api.hidden(caller)
        registry = api.registry(caller)
        if not hidden_ones:
            found = registry.resolve(question.references, as_of=question.as_of)
            return dict(found.to_json())
        if question.as_of is not None:
            raise UsageError(
                "the past is shown to those alone who may see every namespace",
                hint="leave as_of out, or use a token for all private namespaces",
            )
        resolver = DependencyResolver(api.visible(caller), HostEnvironment.current())
        asked = resolver.request(map(NodeRef.parse, question.references))
        return dict(resolver.resolve_dependencies(asked)[0].to_json())

    return router


def _details(api: Requests, caller: Caller, reference: NodeRef) -> Json:
    details = api.registry(caller).details(reference)
    body = dict(details.to_json())
    catalog = api.visible(caller)
    body["dependents"] = [str(d) for d in details.dependents if catalog.shows(d.node)]
    if caller.token is None or caller.token.role < Role.MAINTAINER:
        # Paths of the machine that serves are the business of those who look after it.
        body["origins"] = []
    return body


def _told(event: Event) -> Json:
    """An entry of the log as those may see it who are not admins: without its actor's address."""
    return {
        "serial": event.serial,
        "time": event.time,
        "actor": event.actor.partition("@")[0],
        "action": event.action,
        "node": event.object,
        "outcome": event.outcome,
        "reason": event.facts.get("reason"),
    }
