"""The tools of other servers as nodes: what a server lists, what of it was accepted, and the files.

Everything that a server says is hostile: it becomes data in a manifest whose permissions, namespace
and code come from the user alone.
"""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from onex.agents.publisher_text import MAXIMUM_DESCRIPTION, clean_schema, clean_text, has_hidden
from onex.agents.tool import MAXIMUM_SCHEMA_BYTES, external_references
from onex.configuration.mcp_server import McpServer
from onex.domain.errors import DocumentError, UsageError
from onex.domain.json_value import (
    JsonObject,
    JsonValue,
    as_list,
    as_object,
    canonical_json,
    is_deeper,
    sha256_of,
)
from onex.domain.text_difference import json_difference
from onex.schemas.node_schemas import schema_problems

TOOL_FILE, SERVER_FILE, CODE_FILE = "tool.json", "server.json", "node.py"
MANIFEST_FILE = "node.onex.yaml"
_MAXIMUM_DEPTH = 24
_NAME = re.compile(r"[A-Za-z0-9_./-]{1,128}", re.ASCII)
_SEGMENT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,62}", re.ASCII)
_OTHER = re.compile(r"[^A-Za-z0-9_-]", re.ASCII)
_IDENTITIES = uuid.UUID("8a3c9b54-6f0f-4a68-9d0a-3a5f0a7b9f11")


@dataclass(frozen=True, slots=True)
class Listing:
    """What a server lists: its tools by name, and those that cannot be nodes, with the reason."""

    tools: Mapping[str, JsonObject]
    skipped: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ListingChange:
    """How one tool differs from what was accepted: new, changed or gone, and the lines."""

    name: str
    kind: str
    lines: Sequence[str]

    def to_json(self) -> JsonObject:
        return {"tool": self.name, "change": self.kind, "difference": list(self.lines)}


def read_listing(body: JsonValue) -> Listing:
    """Read what the node that lists a server's tools gave."""
    tools: dict[str, JsonObject] = {}
    skipped: dict[str, str] = {}
    for entry in as_list(as_object(body)["tools"]):
        tool = as_object(entry)
        name = str(tool.get("name"))
        shown = clean_text(name, 80) or "a tool without a name"
        if name in tools or name in skipped:
            tools.pop(name, None)
            skipped[shown] = "several tools have this name"
            continue
        reason = _fault_of(name, tool)
        if reason is None:
            tools[name] = tool
        else:
            skipped[shown] = reason
    return Listing(tools, skipped)


def _fault_of(name: str, tool: JsonObject) -> str | None:
    """Why a tool cannot be a node; None if it can."""
    if not _NAME.fullmatch(name):
        return "its name holds what names cannot hold"
    for key in ("inputSchema", "outputSchema"):
        schema = tool.get(key)
        if schema is None and key == "outputSchema":
            continue
        if not isinstance(schema, Mapping) or schema.get("type") != "object":
            return f"its {key} is not that of an object"
        if len(canonical_json(schema)) > MAXIMUM_SCHEMA_BYTES:
            return f"its {key} has more than {MAXIMUM_SCHEMA_BYTES} bytes"
        if is_deeper(schema, _MAXIMUM_DEPTH):
            return f"its {key} is nested more than {_MAXIMUM_DEPTH} levels deep"
        try:
            clean_schema(schema)
        except ValueError as error:
            return str(error)
        outside = next(iter(external_references(schema)), None)
        if outside is not None:
            return f"its {key} refers to {outside[:100]}, which is not in it"
        wrong = next(iter(schema_problems({key: schema})), None)
        if wrong is not None:
            return f"its {key} is not valid: {wrong[1][:200]}"
    description = tool.get("description")
    if isinstance(description, str) and has_hidden(description):
        return "its description holds characters that are not seen"
    return None


def changes_between(
    accepted: Mapping[str, JsonObject], found: Mapping[str, JsonObject]
) -> Sequence[ListingChange]:
    """How what a server lists differs from what was accepted, by the names of the tools."""
    changes = []
    for name in sorted(accepted.keys() | found.keys()):
        before, after = accepted.get(name), found.get(name)
        if before == after:
            continue
        kind = "new" if before is None else "gone" if after is None else "changed"
        lines = json_difference(before, after, ("accepted", "now")) if kind == "changed" else ()
        changes.append(ListingChange(name, kind, lines))
    return changes


def segment_of(name: str) -> str:
    """The last part of the namespace of a tool; no two names have the same."""
    if _SEGMENT.fullmatch(name) and name == name.lower():
        return name
    words = _OTHER.sub("_", name)[:48]
    return f"{'_' if words.startswith('-') else ''}{words}-{sha256_of(name)[:12]}"


def digest_of_files(files: Iterable[str]) -> str:
    """The digest that pins the command of a server; raises UsageError if a file is not there."""
    whole = hashlib.sha256()
    for name in files:
        try:
            whole.update(hashlib.sha256(Path(name).read_bytes()).digest())
        except OSError as error:
            raise UsageError(
                f"{name} cannot be read: {error.strerror}", hint="correct command of the source"
            ) from error
    return f"sha256:{whole.hexdigest()}"


def files_of_lister(server: McpServer) -> Mapping[str, str]:
    """The files of the node that lists the tools of a server."""
    manifest = {
        **_common(server, "list-tools", f"List the tools of {server.name}.", "1.0.0"),
        "lifecycle": "draft",
        "entrypoint": f"python@{CODE_FILE}:list_tools",
    }
    return _files(server, manifest)


def files_of_tool(server: McpServer, tool: JsonObject, revision: int) -> Mapping[str, str]:
    """The files of the node that a tool is; the revision counts how often it was accepted."""
    name = str(tool["name"])
    description = clean_text(
        str(tool.get("description") or tool.get("title") or f"{name} of {server.name}."),
        MAXIMUM_DESCRIPTION,
        keeps_lines=True,
    )
    schema = _object(tool.get("inputSchema"))
    contract: dict[str, JsonValue] = {"input_state": schema}
    if "outputSchema" in tool:
        contract["output_state"] = _object(tool["outputSchema"])
    manifest = {
        **_common(server, segment_of(name), description, f"1.0.{revision}"),
        "lifecycle": "active",
        "entrypoint": f"python@{CODE_FILE}:call_tool",
        "inputs": _members(schema),
        "state_contract": contract,
    }
    return _files(server, manifest) | {TOOL_FILE: _json(tool)}


def accepted_in(folder: Path) -> Mapping[str, tuple[JsonObject, int]]:
    """The accepted tools below a folder by name, each with its revision.

    Raises:
        UsageError: a file among them is not what onex wrote.
    """
    found: dict[str, tuple[JsonObject, int]] = {}
    for place in sorted(folder.glob(f"*/{TOOL_FILE}")):
        try:
            tool = as_object(json.loads(place.read_text(encoding="utf-8")))
            manifest = (place.parent / MANIFEST_FILE).read_text(encoding="utf-8")
            version = re.search(r'^version: "1\.0\.(\d+)"$', manifest, re.MULTILINE)
            found[str(tool["name"])] = (tool, int(version[1]) if version else 0)
        except (OSError, ValueError, TypeError, KeyError, DocumentError) as error:
            raise UsageError(
                f"{place} is not what onex wrote: {error}",
                hint="remove its folder, and accept it",
            ) from error
    return found


def _common(
    server: McpServer, segment: str, description: str, version: str
) -> dict[str, JsonValue]:
    namespace = f"{server.namespace}.{segment}"
    return {
        "name": segment,
        "namespace": namespace,
        "version": version,
        "meta_type": "tool",
        "uuid": str(uuid.uuid5(_IDENTITIES, namespace)),
        "author": f"the server {server.name}",
        "owner": f"the server {server.name}",
        "description": description,
        "tags": ["mcp"],
        "dependencies": ["mcp>=2.3"],
        "capabilities": [str(permission) for permission in server.asked],
    }


def _members(schema: JsonObject) -> JsonObject:
    """The inputs one by one, unless they refer to what the whole schema holds."""
    properties = _object(schema.get("properties"))
    if "$ref" in canonical_json(properties):
        return {}
    required = schema.get("required")
    needed = set(required) if isinstance(required, list) else set()
    return {
        name: {**_object(member), **({} if name in needed else {"required": False})}
        for name, member in properties.items()
    }


def _files(server: McpServer, manifest: JsonObject) -> dict[str, str]:
    lines = "".join(
        f"{key}: {json.dumps(value, sort_keys=True)}\n" for key, value in manifest.items()
    )
    code = resources.files("onex") / "templates" / "mcp" / CODE_FILE
    return {
        MANIFEST_FILE: lines,
        CODE_FILE: code.read_text(encoding="utf-8"),
        SERVER_FILE: _json(server.to_json()),
    }


def _object(value: JsonValue) -> JsonObject:
    return value if isinstance(value, Mapping) else {}


def _json(value: JsonValue) -> str:
    return json.dumps(value, indent=1, sort_keys=True) + "\n"
