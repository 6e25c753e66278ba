"""The routes by which statements are added to releases, and owners to namespaces."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body, Path, Request

from onex.domain.access_control import Action
from onex.domain.advisory import Advisory
from onex.domain.envelope import Envelope
from onex.domain.json_value import JsonObject
from onex.domain.statement import OwnersStatement
from onex.domain.trust_errors import StatementRefusedError
from onex.server.models import Json, SignedEnvelope
from onex.server.requests import (
    INTERFACE,
    Namespace,
    Requests,
    TypeName,
    VersionText,
    problems,
    version_of,
)

_ADVISORY = "^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
_EXAMPLE: Json = {
    "id": "ONEX-2026-1",
    "modified": "2026-05-01T00:00:00Z",
    "summary": "It loses data.",
    "affected": [
        {
            "package": {"ecosystem": "onex", "name": "tool://atlas.parse"},
            "ranges": [{"type": "SEMVER", "events": [{"introduced": "0"}, {"fixed": "1.2.1"}]}],
        }
    ],
}


def read_envelope(body: JsonObject) -> Envelope:
    """The envelope in a request; raises StatementRefusedError if it is none."""
    try:
        return Envelope.from_json(body)
    except ValueError as error:
        raise StatementRefusedError(str(error), hint="make it with onex sign") from error


def _namespace_of(envelope: Envelope) -> str | None:
    try:
        return OwnersStatement.parse(envelope.payload).namespace
    except ValueError as error:
        raise StatementRefusedError(str(error), hint="make it with onex trust") from error


def trust_routes(api: Requests) -> APIRouter:
    """The routes of those who sign."""
    router = APIRouter(prefix=INTERFACE)

    @router.post("/nodes/{node_type}/{namespace}/{version}/statements",
                 responses=problems(403, 404, 413, 422), tags=["trust"])  # fmt: skip
    def sign(
        request: Request,
        node_type: TypeName,
        namespace: Namespace,
        version: VersionText,
        envelope: SignedEnvelope,
    ) -> Json:
        """Add a signed statement to a release."""
        wanted = version_of(node_type, namespace, version)
        caller = api.caller(request)
        api.require(caller, Action.PUBLISH, wanted)
        registry = api.existing(caller, wanted)
        serial = registry.published.sign(wanted, read_envelope(envelope.model_dump()))
        api.note_change()
        return {"node": str(wanted), "serial": serial}

    @router.put("/owners/{namespace}", responses=problems(403, 413, 422), tags=["trust"])
    def change_owners(
        request: Request, namespace: Namespace, envelope: Annotated[SignedEnvelope, Body()]
    ) -> Json:
        """Set the first owners of a namespace, or change those that it has."""
        caller = api.caller(request)
        api.require_namespace(caller, Action.PUBLISH, namespace)
        found = read_envelope(envelope.model_dump())
        if _namespace_of(found) != namespace:
            raise StatementRefusedError(
                f"the statement is not about {namespace}", hint="make it with onex trust"
            )
        sees = api.visible(caller).shows
        owners = api.registry(caller).published.change_owners(found, sees)
        api.note_change()
        return {**owners.to_json(), "serial": owners.links[-1].serial}

    @router.put("/advisories/{advisory}", responses=problems(403, 404, 413, 422), tags=["trust"])
    def publish_advisory(
        request: Request,
        advisory: Annotated[str, Path(pattern=_ADVISORY, examples=["ONEX-2026-1"])],
        body: Annotated[Json, Body(examples=[_EXAMPLE])],
    ) -> Json:
        """Publish an advisory about nodes that you may decide about, in the format of OSV."""
        caller = api.caller(request)
        try:
            found = Advisory.from_json(body)
            if found.id != advisory:
                raise ValueError(f"its id is not {advisory}")  # noqa: TRY301
        except ValueError as error:
            raise StatementRefusedError(
                str(error), hint="write it in the Open Source Vulnerability format (OSV)"
            ) from error
        for node in found.nodes:
            api.require(caller, Action.DECIDE, node)
        registry = api.registry(caller)
        registry.published.require_published(found.nodes)
        serial = registry.advisories.publish(found)
        api.note_change()
        return {"id": found.id, "serial": serial}

    return router
