"""What the interface takes and gives, as the OpenAPI document describes it."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

_NODE: dict[str, Any] = {
    "type": "tool",
    "namespace": "atlas.parse",
    "name": "parse",
    "version": "1.2.0",
    "lifecycle": "active",
    "description": "Parses Python files.",
    "tags": ["python"],
    "capabilities": ["parsing"],
    "permissions": [],
    "source": "published",
    "digest": "sha256:" + "0" * 64,
    "trust": "unverified",
}

Text = Annotated[str, Field(max_length=2_000)]
Json = dict[str, Any]
"""An object whose members the document describes no further."""


class Problem(BaseModel):
    """Problem details (RFC 9457), with the code that `onex explain` explains."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "example": {
                "type": "urn:onex:RES003",
                "title": "There is no such thing",
                "status": 404,
                "detail": "no node is called 'atlas.pars'",
                "code": "RES003",
                "hint": "did you mean tool://atlas.parse?",
            }
        },
    )

    type: str
    title: str
    status: int
    detail: str
    code: str
    hint: str | None = None


class Node(BaseModel):
    """A node version as listings have it."""

    model_config = ConfigDict(extra="allow", json_schema_extra={"example": _NODE})

    type: str
    namespace: str
    name: str
    version: str
    lifecycle: str
    description: str
    tags: list[str]
    capabilities: list[str]
    permissions: list[str]
    source: str
    digest: str
    trust: str


class NodePage(BaseModel):
    """One page; `next` is the cursor of the page after it."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"nodes": [_NODE], "total": 1, "next": None}}
    )

    nodes: list[Node]
    total: int
    next: str | None


class FoundNodes(BaseModel):
    """What a search found, the best first."""

    nodes: list[Node]
    total: int
    did_you_mean: str | None


class About(BaseModel):
    """What this registry is."""

    registry: str
    serial: int
    version: str
    nodes: int


class Yank(BaseModel):
    """Withdraws a version, or brings it back."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"yanked": True, "reason": "it loses data"}}
    )

    yanked: bool = True
    reason: Text | None = None


class EnvelopeSignature(BaseModel):
    """A signature, and the public key that made it."""

    model_config = ConfigDict(extra="forbid")

    keyid: Annotated[str, Field(max_length=200)]
    sig: Annotated[str, Field(max_length=200)]


class SignedEnvelope(BaseModel):
    """A signed statement: an envelope of DSSE around a statement of in-toto."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {
                "payloadType": "application/vnd.in-toto+json",
                "payload": "e30=",
                "signatures": [],
            }
        },
    )

    payloadType: Annotated[str, Field(max_length=200)]  # noqa: N815 - DSSE names it so
    payload: str
    signatures: Annotated[list[EnvelopeSignature], Field(max_length=16)]


class Transition(BaseModel):
    """Takes a version to another state of its lifecycle."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {"lifecycle": "deprecated", "deprecated_by": "tool://atlas.parse@2.0.0"}
        },
    )

    lifecycle: Annotated[str, Field(pattern="^(draft|active|deprecated|archived)$")]
    deprecated_by: Text | None = None
    reason: Text | None = None


class Question(BaseModel):
    """References to resolve."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"references": ["tool://atlas.parse@^1"]}}
    )

    references: Annotated[list[Text], Field(min_length=1, max_length=200)]
    as_of: Text | None = None


class TokenRequest(BaseModel):
    """A token to be created."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {"name": "ci", "role": "publisher", "namespaces": ["atlas.*"]}
        },
    )

    name: Annotated[str, Field(min_length=1, max_length=200)]
    role: Annotated[str, Field(pattern="^(reader|publisher|maintainer|admin)$")]
    namespaces: Annotated[list[Text], Field(min_length=1, max_length=100)] = ["*"]
    valid_seconds: Annotated[float, Field(gt=0, le=10 * 366 * 86_400)] | None = None
