"""Tool: a node or a workflow as agents see it. What it may do is derived, never claimed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from onex.agents.publisher_text import (
    MAXIMUM_DESCRIPTION,
    MAXIMUM_TITLE,
    clean_schema,
    clean_text,
    has_hidden,
)
from onex.agents.tool_name import name_of_node, name_of_workflow_file
from onex.domain.evidence import TrustLevel
from onex.domain.json_value import JsonObject, JsonValue, canonical_json, sha256_of
from onex.domain.metadata import RegisteredNode
from onex.domain.permission import Permission
from onex.domain.reference import NodeRef
from onex.domain.workflow import Workflow
from onex.schemas.node_schemas import schema_problems
from onex.schemas.object_schema import declared_inputs, object_schema, with_artifacts
from onex.schemas.places import WRITTEN_PATH, MarkingSchemas
from onex.schemas.state_contract import read_state_contract

MAXIMUM_SCHEMA_BYTES = 64 * 1024
META_PREFIX = "onex/"
_CLOSED: dict[str, JsonValue] = {"additionalProperties": False}
_NETWORK = "network.connect"
_CHANGING_KINDS = frozenset(
    {"file.write", "process.execute", "registry.write", "artifact.write", _NETWORK}
)
"""Permissions through which something can be changed; a peer may change what it is asked to."""


class UnofferableError(Exception):
    """A node or a workflow cannot be a tool; the message is the rest of a sentence about it."""


@dataclass(frozen=True, slots=True)
class ToolFacts:
    """What a tool may do, for its annotations.

    ``is_idempotent`` is what the manifest says, of which everything else is independent.
    """

    permissions: tuple[Permission, ...]
    writes_inputs: bool
    is_idempotent: bool

    @property
    def uses_network(self) -> bool:
        """Whether it may connect to others."""
        return any(permission.kind == _NETWORK for permission in self.permissions)

    @property
    def is_read_only(self) -> bool:
        """Whether nothing that it is permitted can change anything."""
        kinds = {permission.kind for permission in self.permissions}
        return not (self.writes_inputs or kinds & _CHANGING_KINDS)

    def in_words(self) -> str:
        """What it may do, for people."""
        kinds = {permission.kind for permission in self.permissions}
        found = [
            *(["change files"] if self.writes_inputs or "file.write" in kinds else []),
            *(["start programs"] if "process.execute" in kinds else []),
            *(["use the network"] if self.uses_network else []),
            *(["change the registry"] if kinds & {"registry.write", "artifact.write"} else []),
        ]
        return ", ".join(found) or "only read"

    def annotations(self) -> JsonObject:
        """The hints of the protocol (ToolAnnotations)."""
        return {
            "readOnlyHint": self.is_read_only,
            "destructiveHint": not self.is_read_only,
            "idempotentHint": self.is_idempotent,
            "openWorldHint": self.uses_network,
        }


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool, and what is run if it is called.

    ``target`` is one version of a node, or the file of a workflow; ``identity`` is what it is
    called without a version. ``digests`` are those of the files of its nodes, by node.
    ``gives_object`` says that what comes out is described and an object.
    """

    name: str
    identity: str
    target: NodeRef | Path
    title: str
    description: str
    input_schema: JsonObject
    output_schema: JsonObject | None
    facts: ToolFacts
    digests: Mapping[str, str]
    meta: JsonObject

    def to_json(self) -> JsonObject:
        """The tool as the protocol lists it."""
        found: dict[str, JsonValue] = {
            "name": self.name,
            "title": self.title,
            "description": self.description,
            "inputSchema": self.input_schema,
            "annotations": self.facts.annotations(),
            "_meta": self.meta,
        }
        return found if self.output_schema is None else found | {"outputSchema": self.output_schema}

    @property
    def fingerprint(self) -> str:
        """What changes if anything does that an agent or its user was told, or that would run."""
        return sha256_of(canonical_json([self.to_json(), dict(self.digests)]))


def tool_of_node(node: RegisteredNode, trust: TrustLevel) -> Tool:
    """The tool that one version of a node is, whose trust is known.

    Raises:
        UnofferableError: its schemas are too large, refer to others, or hold what is not seen.
    """
    metadata = node.metadata
    inputs = list(declared_inputs(node))
    identity, version = str(metadata.node), metadata.node_version
    # What is declared one by one is all that there is.
    closed = _CLOSED if metadata.inputs else {}
    facts = ToolFacts(
        metadata.requests, bool(MarkingSchemas.of(WRITTEN_PATH, *inputs)), metadata.idempotent
    )
    return Tool(
        name=name_of_node(metadata.node),
        identity=identity,
        target=NodeRef.parse(str(version)),
        title=clean_text(metadata.name, MAXIMUM_TITLE),
        description=clean_text(metadata.description, MAXIMUM_DESCRIPTION, keeps_lines=True),
        input_schema=_schema("input", _together(inputs) | closed),
        output_schema=_output_schema(node),
        facts=facts,
        digests={identity: node.digest},
        meta=_meta(identity, str(metadata.version), node.digest, trust, facts),
    )


def tool_of_workflow(
    workflow: Workflow, file: Path, path: str, nodes: Sequence[RegisteredNode], trust: TrustLevel
) -> Tool:
    """The tool that a workflow is.

    Args:
        workflow: what its file says.
        file: its file.
        path: that file from the folder of the project.
        nodes: the versions that its steps would run.
        trust: the lowest trust among them.

    Raises UnofferableError as ``tool_of_node``.
    """
    writes = any(MarkingSchemas.of(WRITTEN_PATH, *declared_inputs(node)) for node in nodes)
    permissions = tuple(dict.fromkeys(p for node in nodes for p in node.metadata.requests))
    facts = ToolFacts(permissions, writes, all(node.metadata.idempotent for node in nodes))
    identity = f"workflow:{path}"
    digest = f"sha256:{sha256_of(canonical_json(workflow.to_json()))}"
    return Tool(
        name=name_of_workflow_file(path),
        identity=identity,
        target=file,
        title=clean_text(workflow.name, MAXIMUM_TITLE),
        description=clean_text(workflow.description, MAXIMUM_DESCRIPTION, keeps_lines=True),
        input_schema=_schema("input", object_schema(workflow.inputs) | _CLOSED),
        output_schema=None,
        facts=facts,
        digests={identity: digest, **{str(n.metadata.node): n.digest for n in nodes}},
        meta=_meta(identity, str(workflow.version), digest, trust, facts),
    )


def _meta(
    identity: str, version: str, digest: str, trust: TrustLevel, facts: ToolFacts
) -> JsonObject:
    asked = [str(permission) for permission in facts.permissions]
    hidden = next((text for text in asked if has_hidden(text)), None)
    if hidden is not None:
        raise UnofferableError(f"asks for {hidden!a}, which holds characters that are not seen")
    found: dict[str, JsonValue] = {
        "node": identity,
        "version": version,
        "digest": digest,
        "trust": trust.value,
        "permissions": list(asked),
    }
    return {f"{META_PREFIX}{name}": value for name, value in found.items()}


def _output_schema(node: RegisteredNode) -> JsonObject | None:
    metadata = node.metadata
    contract = read_state_contract(metadata, Path(node.origins[0].path).parent)
    found = [object_schema(metadata.outputs)] if metadata.outputs else []
    # The protocol takes schemas of objects alone, before its revision of 2026.
    if contract.output is not None and contract.output.get("type") == "object":
        found.append(dict(contract.output))
    return _schema("output", with_artifacts(_together(found))) if found else None


def _together(schemas: Sequence[JsonObject]) -> dict[str, JsonValue]:
    """One schema of an object for all that a node declares."""
    if not schemas:
        return {"type": "object"}
    first, *others = schemas
    return {**first, "type": "object", **({"allOf": others} if others else {})}


def _schema(what: str, schema: JsonObject) -> JsonObject:
    try:
        found = clean_schema(schema)
    except ValueError as error:
        raise UnofferableError(str(error)) from error
    if len(canonical_json(found)) > MAXIMUM_SCHEMA_BYTES:
        raise UnofferableError(f"its {what} schema has more than {MAXIMUM_SCHEMA_BYTES} bytes")
    outside = next(iter(external_references(found)), None)
    if outside is not None:
        raise UnofferableError(f"its {what} schema refers to {outside[:100]}, which is not in it")
    # Clients drop the whole list for one schema that is none.
    wrong = next(schema_problems({what: found}), None)
    if wrong is not None:
        raise UnofferableError(f"its {what} schema is not valid: {wrong[1][:200]}")
    return found


def external_references(schema: JsonObject) -> Iterable[str]:
    """The references of a schema that lead out of it."""
    return (name for name in _references(schema) if not name.startswith("#"))


def _references(value: JsonValue) -> Iterable[str]:
    if isinstance(value, Mapping):
        for key, member in value.items():
            if key in ("$ref", "$dynamicRef") and isinstance(member, str):
                yield member
            yield from _references(member)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for member in value:
            yield from _references(member)
