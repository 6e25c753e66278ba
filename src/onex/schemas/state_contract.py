"""The state contract of a node: JSON Schemas of what goes in and comes out, inline or in a file.

A contract has ``input_state`` and ``output_state``, or is one schema of the result.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from onex.domain.errors import DocumentError
from onex.domain.json_value import JsonObject, JsonValue
from onex.domain.metadata import NodeMetadata
from onex.manifests.yaml_document import read_yaml

REFERENCE_PREFIX = "state_contract://"
_NO_CONTRACT = frozenset({"", "default", "none", "inline"})
_SCHEMA_KEYS = frozenset({"$schema", "type", "properties", "required", "anyOf", "oneOf", "allOf"})


@dataclass(frozen=True, slots=True)
class StateContract:
    """The schemas of a node's inputs and result, None if there is none.

    ``warning`` says why a contract that is named cannot be checked.
    """

    inputs: JsonObject | None = None
    output: JsonObject | None = None
    warning: str | None = field(default=None, compare=False)


def read_state_contract(metadata: NodeMetadata, folder: Path) -> StateContract:
    """The contract that a manifest names or holds.

    Args:
        metadata: the manifest.
        folder: the node's own files, among which a contract's file is looked up.
    """
    inline = metadata.extra.get("state_contract")
    if isinstance(inline, Mapping):
        return _contract(inline)
    name = (metadata.state_contract or "").removeprefix(REFERENCE_PREFIX)
    if name in _NO_CONTRACT:
        return StateContract()
    file = (folder / name).resolve()
    if not file.is_relative_to(folder.resolve()) or not file.is_file():
        return StateContract(
            warning=f"the state contract {name} of {metadata.node_version} is not among its files,"
            " so it is not checked"
        )
    try:
        return _contract(read_yaml(file).data)
    except DocumentError as error:
        return StateContract(
            warning=f"the state contract of {metadata.node_version} cannot be read, so it is not"
            f" checked: {error.message}"
        )


def _contract(body: JsonObject) -> StateContract:
    inputs = _schema(body.get("input_state"))
    output = _schema(body.get("output_state"))
    if inputs is None and output is None and _SCHEMA_KEYS & body.keys():
        output = body
    return StateContract(inputs, output)


def _schema(value: JsonValue) -> JsonObject | None:
    return value if isinstance(value, Mapping) and value else None
