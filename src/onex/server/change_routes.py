"""The routes that change nodes: publishing, yanking, the lifecycle."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Request, Response

from onex.domain.access_control import Action
from onex.domain.envelope import Envelope
from onex.domain.lifecycle import Lifecycle
from onex.domain.metadata import RegisteredNode
from onex.domain.reference import NodeRef
from onex.domain.trust_errors import StatementRefusedError
from onex.registry import Registry
from onex.server.gate import Caller
from onex.server.models import (
    Json,
    Transition,
    Yank,
)
from onex.server.problem import UnsupportedContentError
from onex.server.requests import (
    INTERFACE,
    Namespace,
    Requests,
    TypeName,
    VersionText,
    problems,
    version_of,
)

UPLOADS_AT_ONCE = 8
ARCHIVE_TYPES = ("application/x-tar", "application/octet-stream")
_ARCHIVE_BODY = {
    "requestBody": {
        "required": True,
        "description": "The canonical archive of the node's files.",
        "content": {ARCHIVE_TYPES[0]: {"schema": {"type": "string", "format": "binary"}}},
    }
}


def change_routes(api: Requests) -> APIRouter:
    """The routes of publishers and maintainers."""
    router = APIRouter(prefix=INTERFACE)
    uploads = asyncio.Semaphore(UPLOADS_AT_ONCE)

    def permitted(
        request: Request, node_type: TypeName, namespace: Namespace, version: VersionText
    ) -> Caller:
        """Who publishes, decided before any of the body is taken."""
        caller = api.caller(request)
        api.require(caller, Action.PUBLISH, version_of(node_type, namespace, version))
        return caller

    async def upload(
        request: Request, caller: Caller = Depends(permitted)
    ) -> AsyncIterator[tuple[Caller, bytes]]:
        """The body of a publication, of which only some are there at once."""
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind not in ARCHIVE_TYPES:
            raise UnsupportedContentError(
                f"the body must be {ARCHIVE_TYPES[0]}", hint="publish with onex publish"
            )
        async with uploads:
            yield caller, await request.body()

    @router.put("/nodes/{node_type}/{namespace}/{version}",
                     responses=problems(403, 404, 409, 413, 415, 422),
                     status_code=201, tags=["publishing"], openapi_extra=_ARCHIVE_BODY)  # fmt: skip
    def publish(
        response: Response,
        node_type: TypeName,
        namespace: Namespace,
        version: VersionText,
        uploaded: tuple[Caller, bytes] = Depends(upload),
        onex_manifest: Annotated[
            str, Header(max_length=255, examples=["node.onex.yaml"])
        ] = "node.onex.yaml",
        onex_statement: Annotated[str | None, Header(max_length=48_000)] = None,
        override: Annotated[str | None, Query(min_length=1, max_length=2_000)] = None,
        dry_run: bool = False,
    ) -> Json:
        """Publish a version: the body is its archive.

        `Onex-Statement` is the signed statement about it, an envelope of DSSE as JSON.
        The same bytes again are a success, so a request can be repeated whose answer was lost.
        """
        caller, archive = uploaded
        published = api.registry(caller).published.publish(
            archive,
            onex_manifest,
            expected=version_of(node_type, namespace, version),
            override=override,
            statement=_statement(onex_statement),
            dry_run=dry_run,
            sees=api.visible(caller).shows,
        )
        api.note_change()
        response.status_code = 201 if published.created and not dry_run else 200
        return dict(published.to_json())

    @router.post("/nodes/{node_type}/{namespace}/{version}/yank",
                      responses=problems(403, 404, 422), tags=["decisions"])  # fmt: skip
    def yank(
        request: Request,
        node_type: TypeName,
        namespace: Namespace,
        version: VersionText,
        decision: Yank,
    ) -> Json:
        """Withdraw a version from new resolutions, or bring it back."""
        wanted = version_of(node_type, namespace, version)
        caller = api.caller(request)
        api.require(caller, Action.DECIDE, wanted)
        registry = api.existing(caller, wanted)
        node = registry.yank(
            NodeRef.parse(str(wanted)), yanked=decision.yanked, reason=decision.reason
        )
        api.note_change()
        return _decided(node, registry)

    @router.post("/nodes/{node_type}/{namespace}/{version}/lifecycle",
                      responses=problems(403, 404, 409, 422), tags=["decisions"])  # fmt: skip
    def lifecycle(
        request: Request,
        node_type: TypeName,
        namespace: Namespace,
        version: VersionText,
        transition: Transition,
    ) -> Json:
        """Take a version to another state of its lifecycle."""
        wanted = version_of(node_type, namespace, version)
        caller = api.caller(request)
        api.require(caller, Action.DECIDE, wanted)
        registry = api.existing(caller, wanted)
        if transition.deprecated_by is not None:
            api.require_visible(caller, NodeRef.parse(transition.deprecated_by))
        node = registry.set_lifecycle(
            NodeRef.parse(str(wanted)),
            Lifecycle(transition.lifecycle),
            deprecated_by=transition.deprecated_by,
            reason=transition.reason,
        )
        api.note_change()
        return _decided(node, registry)

    return router


def _statement(text: str | None) -> Envelope | None:
    if text is None:
        return None
    try:
        return Envelope.parse(text)
    except ValueError as error:
        raise StatementRefusedError(
            f"the statement cannot be used: {error}", hint="publish with onex publish"
        ) from error


def _decided(node: RegisteredNode, registry: Registry) -> Json:
    metadata = node.metadata
    return {
        "node": str(metadata.node_version),
        "yanked": node.yanked,
        "yank_reason": node.yank_reason,
        "lifecycle": metadata.lifecycle.value,
        "deprecated_by": metadata.deprecated_by,
        "serial": registry.storage.serial(),
    }
