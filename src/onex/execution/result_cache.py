"""When the result of an earlier run may stand in for a step, and under which key."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from onex.domain.json_value import JsonObject, JsonValue, canonical_json, sha256_of
from onex.domain.metadata import RegisteredNode

KEY_FORMAT = 1


class NotCacheableError(Exception):
    """The step must run; the message says why in words for the user."""


def cache_key(node: RegisteredNode, inputs: JsonObject, *, allowed: bool) -> str:
    """The key of a call: the node's digest, its permissions, and everything that goes in.

    An input whose schema has ``format: path`` counts by the content of the file,
    not by its name and not by its age.

    Args:
        allowed: False where the user or the workflow turned the cache off.

    Raises:
        NotCacheableError: the call's result may depend on more than the key.
    """
    metadata = node.metadata
    if not allowed:
        raise NotCacheableError("the cache is turned off for this step")
    if not metadata.idempotent:
        raise NotCacheableError("the node is not marked idempotent")
    counted: dict[str, JsonValue] = {}
    for name, value in inputs.items():
        schema = metadata.inputs.get(name)
        is_path = isinstance(schema, Mapping) and schema.get("format") == "path"
        counted[name] = _content_hash(name, value) if is_path else value
    return sha256_of(
        canonical_json([KEY_FORMAT, node.digest, sorted(map(str, metadata.permissions)), counted])
    )


def _content_hash(name: str, value: JsonValue) -> str:
    path = Path(str(value))
    if path.is_dir():
        raise NotCacheableError(f"the input {name} is a folder, whose content is not tracked")
    try:
        with path.open("rb") as file:
            return "content:" + hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise NotCacheableError(f"the input {name} cannot be read") from error
