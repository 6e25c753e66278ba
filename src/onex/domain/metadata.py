"""NodeMetadata: the validated manifest of one node version."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from onex.domain.archive_place import ArchivePlace
from onex.domain.evidence import Evidence, TrustLevel
from onex.domain.example import NodeExample, examples_in
from onex.domain.json_value import (
    JsonObject,
    JsonValue,
    as_list,
    as_object,
    as_optional_text,
    as_text,
    as_texts,
    canonical_json,
)
from onex.domain.lifecycle import Lifecycle
from onex.domain.path_text import read_path, stored_path
from onex.domain.permission import Permission
from onex.domain.reference import NodeId, NodeRef, NodeVersion
from onex.domain.version import Version


@dataclass(frozen=True, slots=True)
class Entrypoint:
    """What starts a node: ``python`` code, a ``cli`` program, or a document of another type.

    ``target`` is a file path relative to the manifest, or a dotted module;
    ``callable_name`` is what to call in it.
    """

    type: str
    target: str
    callable_name: str = "execute"

    @property
    def is_file(self) -> bool:
        """Whether the target is a file rather than an importable module."""
        return self.type != "python" or self.target.endswith(".py") or "/" in self.target

    def to_json(self) -> JsonObject:
        return {"type": self.type, "target": self.target, "callable": self.callable_name}


@dataclass(frozen=True, slots=True)
class Dependency:
    """Another node that this one needs."""

    reference: NodeRef
    optional: bool = False

    def to_json(self) -> JsonObject:
        return {"reference": str(self.reference), "optional": self.optional}


_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class NodeMetadata:
    """Everything a manifest says about one version of one node.

    ``libraries`` are Python requirements, checked when the node is loaded and
    never resolved here. ``extra`` keeps every other key of the manifest.
    """

    node: NodeId
    name: str
    version: Version
    lifecycle: Lifecycle
    entrypoint: Entrypoint
    description: str = ""
    author: str = ""
    owner: str = ""
    license: str = ""
    uuid: str | None = None
    tags: tuple[str, ...] = ()
    capabilities: tuple[str, ...] = ()
    permissions: tuple[Permission, ...] = ()
    dependencies: tuple[Dependency, ...] = ()
    libraries: tuple[str, ...] = ()
    inputs: JsonObject = field(default_factory=dict)
    outputs: JsonObject = field(default_factory=dict)
    state_contract: str | None = None
    idempotent: bool = False
    deprecated_by: str | None = None
    archived_reason: str | None = None
    extra: JsonObject = field(default_factory=dict)

    @property
    def node_version(self) -> NodeVersion:
        """The identity under which this metadata is stored."""
        return NodeVersion(self.node, self.version)

    @property
    def requests(self) -> tuple[Permission, ...]:
        """Every permission that it asks for, the variables under ``environment`` among them."""
        declared = self.extra.get("environment")
        names = declared if isinstance(declared, list | tuple) else ()
        variables = [
            Permission("environment.read", name)
            for name in names
            if isinstance(name, str) and _VARIABLE.fullmatch(name)
        ]
        return tuple(dict.fromkeys((*self.permissions, *variables)))

    @property
    def examples(self) -> tuple[NodeExample, ...]:
        """Calls with what must come of them."""
        return examples_in(self.extra)

    def to_json(self) -> dict[str, JsonValue]:
        """The metadata as JSON; ``from_json`` reads it back unchanged."""
        return {
            "type": self.node.type,
            "namespace": self.node.namespace,
            "name": self.name,
            "version": str(self.version),
            "lifecycle": self.lifecycle.value,
            "entrypoint": self.entrypoint.to_json(),
            "description": self.description,
            "author": self.author,
            "owner": self.owner,
            "license": self.license,
            "uuid": self.uuid,
            "tags": list(self.tags),
            "capabilities": list(self.capabilities),
            "permissions": [str(permission) for permission in self.permissions],
            "dependencies": [dependency.to_json() for dependency in self.dependencies],
            "libraries": list(self.libraries),
            "inputs": self.inputs,
            "outputs": self.outputs,
            "state_contract": self.state_contract,
            "idempotent": self.idempotent,
            "deprecated_by": self.deprecated_by,
            "archived_reason": self.archived_reason,
            "extra": self.extra,
        }

    @classmethod
    def from_json(cls, body: Mapping[str, JsonValue]) -> NodeMetadata:
        """Read back what ``to_json`` wrote."""
        entrypoint = as_object(body["entrypoint"])
        return cls(
            node=NodeId(as_text(body["type"]), as_text(body["namespace"])),
            name=as_text(body["name"]),
            version=Version.parse(as_text(body["version"])),
            lifecycle=Lifecycle(as_text(body["lifecycle"])),
            entrypoint=Entrypoint(
                as_text(entrypoint["type"]),
                as_text(entrypoint["target"]),
                as_text(entrypoint["callable"]),
            ),
            description=as_text(body["description"]),
            author=as_text(body["author"]),
            owner=as_text(body["owner"]),
            license=as_text(body["license"]),
            uuid=as_optional_text(body["uuid"]),
            tags=as_texts(body["tags"]),
            capabilities=as_texts(body["capabilities"]),
            permissions=tuple(map(Permission.parse, as_texts(body["permissions"]))),
            dependencies=tuple(
                Dependency(NodeRef.parse(as_text(item["reference"])), bool(item["optional"]))
                for item in map(as_object, as_list(body["dependencies"]))
            ),
            libraries=as_texts(body["libraries"]),
            inputs=as_object(body["inputs"]),
            outputs=as_object(body["outputs"]),
            state_contract=as_optional_text(body["state_contract"]),
            idempotent=bool(body["idempotent"]),
            deprecated_by=as_optional_text(body["deprecated_by"]),
            archived_reason=as_optional_text(body["archived_reason"]),
            extra=as_object(body["extra"]),
        )


Outcome = Literal["node", "rejected", "skipped", "listing", "plain"]
"""What became of a file that a scan read.

Templates are skipped; a ``listing`` is an ``.onextree``; a ``plain`` file turned out to
carry no metadata.
"""


@dataclass(frozen=True, slots=True, order=True)
class SourceId:
    """A source of nodes: its name in a workspace, and the name of that workspace."""

    name: str
    workspace: str = ""


@dataclass(frozen=True, slots=True)
class Origin:
    """One place a node version was found: a source, the manifest's path, and the workspace.

    ``workspace`` is empty if the registry belongs to one workspace alone.
    """

    source: str
    path: str
    workspace: str = ""

    @property
    def source_id(self) -> SourceId:
        """The source that gave it."""
        return SourceId(self.source, self.workspace)

    def to_json(self) -> JsonObject:
        body = {"source": stored_path(self.source), "path": stored_path(self.path)}
        return body | ({"workspace": self.workspace} if self.workspace else {})

    @classmethod
    def from_json(cls, body: JsonObject) -> Origin:
        """Read back what ``to_json`` wrote."""
        workspace = as_optional_text(body.get("workspace"))
        source, path = as_text(body["source"]), as_text(body["path"])
        return cls(read_path(source), read_path(path), workspace or "")


def trust_of(origins: Iterable[Origin], evidence: Evidence | None) -> TrustLevel:
    """How far a version can be trusted that these places offer."""
    if any(ArchivePlace.parse(origin.path) is None for origin in origins):
        return TrustLevel.LOCAL
    return TrustLevel.UNVERIFIED if evidence is None else evidence.level


@dataclass(frozen=True, slots=True)
class RegisteredNode:
    """Metadata as the registry holds it: with its digest, origins and time of registration.

    ``registered_at`` is an RFC 3339 timestamp in UTC; ``origins`` are in the order in
    which they were found; ``evidence`` is what a registry shows for it, None without one.
    """

    metadata: NodeMetadata
    digest: str
    origins: tuple[Origin, ...]
    registered_at: str
    yanked: bool = False
    yank_reason: str | None = None
    evidence: Evidence | None = None

    @property
    def trust(self) -> TrustLevel:
        """How far it can be trusted; what lies in a folder here is ``local``."""
        return trust_of(self.origins, self.evidence)

    def summary(self) -> dict[str, JsonValue]:
        """The node version in the shape that ``list`` prints."""
        metadata = self.metadata
        return {
            "type": metadata.node.type,
            "namespace": metadata.node.namespace,
            "name": metadata.name,
            "version": str(metadata.version),
            "lifecycle": metadata.lifecycle.value,
            "description": metadata.description,
            "tags": list(metadata.tags),
            "capabilities": list(metadata.capabilities),
            "permissions": [str(permission) for permission in metadata.requests],
            "source": self.source,
            "digest": self.digest,
            "trust": self.trust.value,
        }

    def origins_from(self, workspace: str) -> list[Origin]:
        """The places that give the node, those of a workspace first."""
        return sorted(self.origins, key=lambda origin: origin.workspace != workspace)

    @property
    def source(self) -> str:
        """The source that gave the node first; empty if none gives it."""
        return self.origins[0].source if self.origins else ""


@dataclass(frozen=True, slots=True)
class VersionState:
    """What was decided of a version beside its manifest.

    ``decision`` is what ``write_decision`` wrote, read; None without one.
    """

    yanked: bool = False
    yank_reason: str | None = None
    decision: JsonObject | None = None

    def applied_to(self, metadata: NodeMetadata) -> NodeMetadata:
        """Metadata in the lifecycle state that was decided; raises ValueError if it is none."""
        return decided(metadata, self.decision)


NOTHING_DECIDED = VersionState()
NO_DECISION = "null"


@dataclass(frozen=True, slots=True)
class AbsentDecision:
    """Decisions about a version that no source offers now.

    ``lifecycle`` is the state its manifest had; ``decision`` is canonical JSON.
    """

    lifecycle: str
    yanked: bool
    yank_reason: str | None
    decision: str

    def on_return(self, lifecycle: str) -> AbsentDecision:
        """The decisions that still hold when a manifest with this lifecycle state is back.

        A state that the author changed in the manifest ends what was decided of it.
        """
        return self if lifecycle == self.lifecycle else replace(self, decision=NO_DECISION)

    def in_words(self, state: Lifecycle) -> str:
        """Why the version is not as new, such as ``still yanked: it loses data``."""
        words = []
        if self.yanked:
            words.append("still yanked" + (f": {self.yank_reason}" if self.yank_reason else ""))
        if self.decision != NO_DECISION:
            words.append(f"still {state}")
        return " and ".join(words)


def write_decision(lifecycle: Lifecycle, deprecated_by: str | None, reason: str | None) -> str:
    """A decision as canonical JSON."""
    return canonical_json(
        {
            "lifecycle": lifecycle.value,
            "deprecated_by": deprecated_by,
            "archived_reason": reason,
        }
    )


def decided(metadata: NodeMetadata, decision: JsonObject | None) -> NodeMetadata:
    """Metadata in the lifecycle state that a decision gives it; as it is without one."""
    if not decision:
        return metadata
    deprecated_by, reason = decision.get("deprecated_by"), decision.get("archived_reason")
    return replace(
        metadata,
        lifecycle=Lifecycle(str(decision["lifecycle"])),
        deprecated_by=metadata.deprecated_by if deprecated_by is None else str(deprecated_by),
        archived_reason=metadata.archived_reason if reason is None else str(reason),
    )
