"""Requests: what every route of the interface needs to answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import Path, Query
from starlette.requests import Request

from onex.domain.access_control import EVERYTHING, Action, HiddenNamespaces, covers
from onex.domain.errors import NodeNotFoundError
from onex.domain.reference import NodeId, NodeRef, NodeVersion
from onex.domain.remote_errors import NotAuthenticatedError
from onex.registry import Registry
from onex.server.asgi import client_address
from onex.server.gate import Caller, Gate, hidden, record_refusal
from onex.server.models import Problem
from onex.server.registry_pool import RegistryPool
from onex.server.visible_catalog import VisibleCatalog
from onex.storage.backend import StorageBackend

INTERFACE = "/api/v1"
"""Where the interface for programs is."""

MAXIMUM_PAGE = 1_000

_TYPE = "^[a-z][a-z0-9_-]{0,63}$"
_NAMESPACE = r"^[A-Za-z0-9_][A-Za-z0-9_-]*(\.[A-Za-z0-9_][A-Za-z0-9_-]*)*$"
# SemVer 2.0.0, section "Is there a suggested regular expression", with numbers of bounded length.
_NUMBER, _PART = r"(0|[1-9]\d{0,17})", r"(0|[1-9]\d{0,17}|\d*[a-zA-Z-][0-9a-zA-Z-]*)"
_BUILD = r"(\+[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?"
_VERSION = rf"^{_NUMBER}\.{_NUMBER}\.{_NUMBER}(-{_PART}(\.{_PART})*)?{_BUILD}$"

TypeName = Annotated[str, Path(pattern=_TYPE, examples=["tool"])]
Namespace = Annotated[str, Path(pattern=_NAMESPACE, max_length=255, examples=["atlas.parse"])]
VersionText = Annotated[str, Path(pattern=_VERSION, max_length=128, examples=["1.2.0"])]
Limit = Annotated[int, Query(ge=1, le=MAXIMUM_PAGE)]


class Requests:
    """Finds out who asks, has the gate decide, and hands out the registry in their name."""

    def __init__(self, pool: RegistryPool, gate: Gate, note_change: Callable[[], None]) -> None:
        """``note_change`` is told of every change, so that readers here see it at once."""
        self._pool = pool
        self._gate = gate
        self.note_change = note_change

    @property
    def storage(self) -> StorageBackend:
        """The storage of this thread."""
        return self._pool.here().storage

    def registry(self, caller: Caller) -> Registry:
        return self._pool.here().acting_as(caller.actor)

    def is_owner_key(self, text: str) -> bool:
        """Whether a text is what the owner shows in place of a token."""
        return self._gate.is_owner_key(text)

    def anonymous(self, request: Request) -> Caller:
        """Anybody, at the address of a request."""
        return Caller(None, client_address(request.scope))

    def caller(self, request: Request, authorization: str | None = None) -> Caller:
        """Who makes a request; raises NotAuthenticatedError, TooManyRequestsError.

        ``authorization`` takes the place of the header of the request.
        """
        try:
            return self.authenticated(request, authorization)
        except NotAuthenticatedError as error:
            stranger = self.anonymous(request)
            self._gate.count_refusal(stranger)
            record_refusal(self.storage, stranger, "authenticate", "registry", error.message)
            raise

    def authenticated(self, request: Request, authorization: str | None = None) -> Caller:
        """As ``caller``; that somebody is refused is not recorded."""
        uses = self._gate.take_uses()
        if uses:
            self.storage.write(lambda writer: writer.note_token_uses(uses))
        return self._gate.caller(
            authorization or request.headers.get("authorization"),
            client_address(request.scope),
            self.storage,
            self._gate.interface,
        )

    def hidden_from_strangers(self) -> HiddenNamespaces:
        """What nobody sees without a token."""
        return self._gate.rules.hidden_from(None)

    def hidden(self, caller: Caller) -> HiddenNamespaces:
        return self._gate.rules.hidden_from(caller.token)

    def require(self, caller: Caller, action: Action, node: NodeId | NodeVersion | None) -> None:
        storage = self._pool.here().storage
        identity = node.node if isinstance(node, NodeVersion) else node
        namespace = None if identity is None else identity.namespace
        self._gate.require(caller, action, namespace, storage, "" if node is None else str(node))

    def allows(self, caller: Caller, action: Action) -> bool:
        """Whether a caller may do something with the whole registry; nothing is recorded."""
        token = caller.token
        return self._gate.rules.decide(token, action, None).allowed and (
            token is None or any(covers(pattern, EVERYTHING) for pattern in token.namespaces)
        )

    def require_namespace(self, caller: Caller, action: Action, namespace: str) -> None:
        """As ``require``, about a namespace and all below it."""
        storage = self._pool.here().storage
        self._gate.require(caller, action, namespace, storage, namespace)

    def require_readable(self, caller: Caller, node: NodeId) -> None:
        """Raise NodeNotFoundError if a node has no versions, or the caller may not see it."""
        # First, so that an answer takes no longer for what is there and hidden.
        self.require(caller, Action.READ, node)
        if not self.storage.version_numbers(node):
            raise hidden(str(node))

    def registry_with(self, caller: Caller, wanted: NodeVersion) -> Registry:
        """The registry, if the caller may see a version in it; raises NodeNotFoundError."""
        self.require_readable(caller, wanted.node)
        return self.existing(caller, wanted)

    def visible(self, caller: Caller) -> VisibleCatalog:
        """The registered nodes that a caller may see."""
        return VisibleCatalog(self.storage, self.hidden(caller))

    def require_visible(self, caller: Caller, reference: NodeRef) -> None:
        """Raise NodeNotFoundError if a caller may not see the one node that a reference means."""
        nodes = self.storage.find_nodes(reference.name)
        catalog = self.visible(caller)
        if not nodes or not all(catalog.shows(node) for node in nodes):
            raise hidden(str(reference.node or reference.name))

    def existing(self, caller: Caller, wanted: NodeVersion) -> Registry:
        """The registry, if it has a version; raises NodeNotFoundError."""
        registry = self.registry(caller)
        if registry.storage.node(wanted) is None:
            raise NodeNotFoundError(f"{wanted} is not registered here", hint="see /api/v1/nodes")
        return registry


def version_of(node_type: str, namespace: str, version: str) -> NodeVersion:
    """The version that the path of a request names; raises InvalidReferenceError, VersionError."""
    return NodeVersion.parse(f"{node_type}://{namespace}@{version}")


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The answers with problem details that a route may give, for the OpenAPI document."""
    return {
        status: {"model": Problem, "description": "It is refused; `detail` says why."}
        for status in (400, 401, 421, 429, 503, *statuses)
    }
