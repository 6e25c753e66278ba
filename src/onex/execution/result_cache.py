"""When the result of an earlier run may stand in for a step, and under which key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from onex.domain.json_value import JsonObject, JsonValue, canonical_json, sha256_of
from onex.domain.metadata import NodeMetadata
from onex.execution.artifacts import content_digest

KEY_FORMAT = 2


@dataclass(frozen=True, slots=True)
class InputDigest:
    """What stands for all that goes into a call; ``untracked`` says what it leaves out, if any."""

    digest: str
    untracked: str | None = None


_NO_INPUTS = InputDigest(sha256_of(canonical_json({})))


def input_digest(path_inputs: frozenset[str], inputs: JsonObject) -> InputDigest:
    """The digest of a call's inputs: their values, and for paths the content of the file.

    Args:
        path_inputs: the inputs that are paths of files, which count by their content,
            not by their name and not by their age.
        inputs: the values by name.
    """
    if not inputs:
        return _NO_INPUTS
    untracked: str | None = None
    counted: dict[str, JsonValue] = dict(inputs)
    for name in path_inputs & inputs.keys():
        try:
            counted[name] = f"content:{content_digest(Path(str(inputs[name])))}"
        except IsADirectoryError:
            untracked = f"the input {name} is a folder, whose content is not tracked"
        except OSError:
            untracked = f"the input {name} cannot be read"
    return InputDigest(sha256_of(canonical_json(counted)), untracked)


def path_inputs(metadata: NodeMetadata) -> frozenset[str]:
    """The inputs whose schema has ``format: path``."""
    return frozenset(
        name
        for name, schema in metadata.inputs.items()
        if isinstance(schema, Mapping) and schema.get("format") == "path"
    )


def node_key(digest: str, metadata: NodeMetadata, environment: JsonObject) -> str:
    """What all calls of a node have in common in their keys.

    Args:
        digest: the digest of the node's files.
        metadata: its manifest, with the permissions that are granted.
        environment: the libraries and variables that it declares, with what they are here.
    """
    permissions = sorted(map(str, metadata.permissions))
    return canonical_json([KEY_FORMAT, digest, permissions, environment])


def cache_key(common: str, inputs: InputDigest) -> str:
    """The key of one call: what its node has in common, and everything that goes in."""
    return sha256_of(common + inputs.digest)
