"""JSON Schemas of inputs and outputs, made of those of their members, and what a node declares."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from onex.domain.json_value import ARTIFACT_KEY, JsonObject, JsonValue
from onex.domain.metadata import RegisteredNode
from onex.schemas.state_contract import read_state_contract


def is_required(schema: JsonObject) -> bool:
    """Whether a member must be given: it has no default and is not marked as optional."""
    return "default" not in schema and schema.get("required") is not False


def object_schema(members: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """The JSON Schema of an object whose members' schemas are given by name."""
    properties: dict[str, JsonValue] = {}
    required: list[JsonValue] = []
    for name, schema in members.items():
        body = schema if isinstance(schema, Mapping) else {}
        if is_required(body):
            required.append(name)
        properties[name] = without_boolean_required(body)
    return {"type": "object", "properties": properties, "required": required}


_ARTIFACT_SCHEMA: JsonObject = {"type": "object", "required": [ARTIFACT_KEY]}


def with_artifacts(schema: JsonObject) -> dict[str, JsonValue]:
    """A schema that takes an artifact wherever ``format: path`` asks for a path."""
    changed = {
        key: value if key in ("enum", "const", "default") else _with_artifacts_in(value)
        for key, value in schema.items()
    }
    if schema.get("format") == "path":
        return {"anyOf": [changed, _ARTIFACT_SCHEMA]}
    return changed


def _with_artifacts_in(value: JsonValue) -> JsonValue:
    if isinstance(value, Mapping):
        return with_artifacts(value)
    if isinstance(value, list | tuple):
        return [_with_artifacts_in(member) for member in value]
    return value


def without_boolean_required(schema: JsonObject) -> dict[str, JsonValue]:
    """In a manifest ``required`` may be a boolean of one member; in JSON Schema it is a list."""
    return {
        key: member
        for key, member in schema.items()
        if not (key == "required" and isinstance(member, bool))
    }


def declared_inputs(node: RegisteredNode) -> Iterator[JsonObject]:
    """The schemas of a node's inputs: of its manifest, and of its contract as it lies there."""
    metadata = node.metadata
    if metadata.inputs:
        yield object_schema(metadata.inputs)
    contract = read_state_contract(metadata, Path(node.origins[0].path).parent)
    if contract.inputs is not None:
        yield contract.inputs
