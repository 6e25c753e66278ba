"""Grants: decisions about what nodes may do, kept in the registry's log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from onex.configuration.settings import Configuration
from onex.domain.archive_place import ArchivePlace
from onex.domain.errors import GrantMissingError, GrantRefusedError, UsageError
from onex.domain.grant import (
    Grant,
    GrantDecision,
    RunAccess,
    RunGrants,
    current_grants,
    decide,
)
from onex.domain.json_value import JsonObject
from onex.domain.metadata import Origin, RegisteredNode
from onex.domain.permission import Permission
from onex.domain.reference import NodeId, NodeRef
from onex.manifests.override import OVERRIDE_SOURCE
from onex.storage.backend import StorageBackend, StorageWriter
from onex.storage.query import MetadataQuery
from onex.trust.grantable import refusal_of
from onex.trust.source_authenticator import SourceAuthenticator

PAGE_NODES = 500


@dataclass(frozen=True, slots=True)
class PendingGrant:
    """A node that asks for more than it is granted; ``former`` is what was granted before."""

    node: RegisteredNode
    missing: tuple[Permission, ...]
    former: Grant | None

    def to_json(self) -> JsonObject:
        """The request in the shape that ``onex grant list`` prints."""
        metadata = self.node.metadata
        return {
            "node": str(metadata.node_version),
            "digest": self.node.digest,
            "requested": [str(permission) for permission in metadata.requests],
            "missing": [str(permission) for permission in self.missing],
        }


class Grants:
    """What nodes are granted in one registry."""

    def __init__(
        self,
        storage: StorageBackend,
        configuration: Configuration,
        workspace: str,
        actor: str | None = None,
    ) -> None:
        """Read and change the grants of a registry.

        Args:
            storage: whose log has them.
            configuration: the declared sources, some of which are trusted.
            workspace: whose sources those are.
            actor: who decides, as the log names them.
        """
        self._storage = storage
        self._sources = {source.name: source for source in configuration.sources}
        self._project = configuration.project
        self._workspace = workspace
        self._protected = configuration.protected
        self._authenticator = SourceAuthenticator(configuration)
        self._actor = actor

    @cached_property
    def _current(self) -> dict[NodeId, Grant]:
        return current_grants(self._storage.grant_events())

    def current(self) -> Sequence[Grant]:
        """Every grant, in the order of the nodes."""
        return [grant for _, grant in sorted(self._current.items())]

    def is_trusted(self, node: RegisteredNode) -> bool:
        """Whether a source that is trusted offers these files of a node.

        The files are named by their digest, so that it does not matter which source is read.
        """
        return any(self._is_trusted(origin) for origin in node.origins)

    def _is_trusted(self, origin: Origin) -> bool:
        if origin.workspace not in ("", self._workspace):
            return False
        if origin.source == OVERRIDE_SOURCE:
            return True
        return self._is_declared_trusted(origin) and self.fault_of(origin) is None

    def fault_of(self, origin: Origin) -> str | None:
        """Why the files of a node may be somebody else's; None if nothing says so."""
        if ArchivePlace.parse(origin.path) is not None:
            return None
        source = self._sources.get(origin.source)
        return self._authenticator.fault_of(Path(origin.path), source)

    def _is_declared_trusted(self, origin: Origin) -> bool:
        source = self._sources.get(origin.source)
        if source is not None:
            return source.trusted
        # A folder that was scanned by name: it may be, or hold, one that is declared.
        path = Path(origin.path)
        declared = [
            source
            for source in self._sources.values()
            if source.path is not None and path.is_relative_to(source.path)
        ]
        if declared:
            return all(source.trusted for source in declared)
        return self._project is not None and path.is_relative_to(self._project)

    def decide(self, node: RegisteredNode, for_run: RunGrants | None = None) -> GrantDecision:
        """What a node is granted, and what it asks for that nobody decided on."""
        metadata = node.metadata
        return decide(
            metadata.requests,
            trusted=self.is_trusted(node),
            grant=self._current.get(metadata.node),
            for_run=for_run,
        )

    def pending_of(self, node: RegisteredNode, missing: Sequence[Permission]) -> PendingGrant:
        """A node with what it is not granted, and what it was granted before."""
        return PendingGrant(node, tuple(missing), self._current.get(node.metadata.node))

    def pending(self) -> Sequence[PendingGrant]:
        """The registered nodes, each in its best version, that ask for more than they have."""
        found: list[PendingGrant] = []
        query: MetadataQuery | None = MetadataQuery(limit=PAGE_NODES)
        while query is not None:
            page = self._storage.query(query)
            for node in page.nodes:
                missing = self.decide(node).missing
                if missing:
                    found.append(self.pending_of(node, missing))
            query = MetadataQuery(limit=PAGE_NODES, after=page.next) if page.next else None
        return found

    def approve(
        self, node: RegisteredNode, permissions: Sequence[Permission] | None = None
    ) -> Grant:
        """Grant a node what it asks for, or some of it, beside what it was granted before.

        Raises:
            UsageError: the node does not ask for one of the permissions.
            GrantRefusedError: one of them can be granted to nobody.
        """
        metadata = node.metadata
        chosen = metadata.requests if permissions is None else tuple(permissions)
        for permission in chosen:
            if not any(request.covers(permission) for request in metadata.requests):
                raise UsageError(
                    f"{metadata.node_version} does not ask for {permission}",
                    hint="it asks for: " + (", ".join(map(str, metadata.requests)) or "nothing"),
                )
            self.require_grantable(permission)

        def add(writer: StorageWriter) -> None:
            # What was decided meanwhile counts.
            before = current_grants(self._storage.grant_events()).get(metadata.node)
            held = (*(before.permissions if before else ()), *chosen)
            kept = [p for p in dict.fromkeys(held) if not any(o != p and o.covers(p) for o in held)]
            writer.approve_grant(metadata.node_version, node.digest, kept)

        self._storage.write(add, self._actor)
        self.__dict__.pop("_current", None)
        return self._current[metadata.node]

    def revoke(self, reference: NodeRef) -> Grant:
        """Take back all that was granted to a node, by its namespace; returns what that was.

        Raises:
            UsageError: nothing is granted to it, or the namespace is that of several nodes.
        """
        found = [
            node
            for node in self._current
            if node.namespace == reference.name and reference.type in (None, node.type)
        ]
        if len(found) != 1:
            among = "nothing was granted to" if not found else "several nodes are called"
            raise UsageError(
                f"{among} {reference.name}",
                hint="onex grant list shows what is granted, by type://namespace; nodes of trusted"
                " sources have what they declare",
            )
        node, grant = found[0], self._current[found[0]]
        self._storage.write(lambda writer: writer.revoke_grant(node, grant), self._actor)
        self.__dict__.pop("_current", None)
        return grant

    def note_run(self, workflow: str, access: RunAccess, pending: Sequence[PendingGrant]) -> None:
        """Write to the log what the user of a run allows or denies, or that it is refused."""
        if access.is_strictest and not pending:
            return

        def note(writer: StorageWriter) -> None:
            if not access.is_strictest:
                writer.note("run.access", workflow, access.to_json())
            for request in pending:
                reason = "not granted: " + ", ".join(map(str, request.missing))
                writer.refused("node.run", str(request.node.metadata.node_version), reason)

        self._storage.write(note, self._actor)

    def require_grantable(self, permission: Permission) -> None:
        """Raise GrantRefusedError for a permission that would open what must stay closed."""
        reason = refusal_of(permission, self._protected)
        if reason is not None:
            raise GrantRefusedError(
                f"{permission} cannot be granted: {reason}",
                hint="name the folder that the node really needs",
            )


def missing_grants(pending: Sequence[PendingGrant]) -> GrantMissingError:
    """The error for nodes that ask for permissions that nobody granted."""
    first = pending[0]
    node = first.node.metadata.node_version
    words = "; ".join(permission.in_words() for permission in first.missing)
    others = f" (and {len(pending) - 1} more nodes ask, too)" if len(pending) > 1 else ""
    more = "more than it was granted" if first.former else "permissions"
    return GrantMissingError(
        f"{node} asks for {more}: {words}{others}",
        hint="look at its code; then: "
        + " && ".join(f"onex grant approve {p.node.metadata.node_version}" for p in pending),
        details={"pending": [p.to_json() for p in pending]},
    )


def told_of_request(request: PendingGrant) -> str:
    """What a node asks for, in plain words; for a known node what it asks for beside that."""
    metadata = request.node.metadata
    lines = [f"{metadata.node_version} is from {request.node.source}, which is not trusted."]
    if request.former is None:
        lines.append("With the permissions that it asks for, it")
    else:
        lines.append(f"It asks for more than its version {request.former.version} was granted. It")
    lines += [f"  + {permission.in_words()}" for permission in request.missing]
    if request.former is not None:
        lines += [
            f"    {permission.in_words()} (granted before)"
            for permission in request.former.permissions
        ]
    return "\n".join(lines)
