"""The rules by which what a source found becomes changes of the registry.

Specification: Discovery Coordination. One version of a node from two places is one
node with two origins if the files are equal; if not, the trust policy decides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from onex.discovery.source import Finding
from onex.domain.errors import Location, Problem, Severity
from onex.domain.metadata import Origin
from onex.storage.backend import SeenFile, StorageWriter, StoredNode
from onex.storage.node_record import NodeRecord


class TrustPolicy(StrEnum):
    """Which side keeps a version that two sources offer with different content."""

    QUARANTINE = "quarantine"
    LOCAL_PREFER = "local_prefer"
    REMOTE_PREFER = "remote_prefer"


@dataclass(frozen=True, slots=True)
class MergeRules:
    """What the merging goes by.

    ``remote_sources`` are the names of the sources that are not local; ``bindings``
    gives for a namespace the one source that may supply it and all below it.
    """

    trust_policy: TrustPolicy = TrustPolicy.QUARANTINE
    remote_sources: frozenset[str] = frozenset()
    bindings: Mapping[str, str] = field(default_factory=dict)

    def bound_to(self, namespace: str) -> str | None:
        """The source to which a namespace is bound, None where it is free."""
        parts = namespace.split(".")
        for length in range(len(parts), 0, -1):
            source = self.bindings.get(".".join(parts[:length]))
            if source is not None:
                return source
        return None

    def prefers(self, newcomer: str, holder: str) -> bool:
        """Whether the newcomer's source takes a version from the holder's."""
        is_remote = newcomer in self.remote_sources
        if is_remote == (holder in self.remote_sources):
            return False
        preferred = TrustPolicy.REMOTE_PREFER if is_remote else TrustPolicy.LOCAL_PREFER
        return self.trust_policy is preferred


@dataclass(slots=True)
class MergeCounts:
    """What one source changed; counts are of manifests."""

    added: int = 0
    updated: int = 0
    removed: int = 0
    confirmed: int = 0


class Merge:
    """Takes the findings of one source, inside one transaction."""

    def __init__(
        self,
        writer: StorageWriter,
        source: str,
        rules: MergeRules,
        known: Mapping[str, str],
        gone: frozenset[str],
    ) -> None:
        """``known`` are the paths that the source had before, ``gone`` those it has no more."""
        self._writer = writer
        self._source = source
        self._rules = rules
        self._known = known
        self._gone = gone
        self.counts = MergeCounts()

    def take(self, finding: Finding) -> None:
        """Make a finding part of the registry."""
        file = finding.file
        origin = Origin(self._source, file.path)
        if finding.node is None:
            if file.path in self._known and self._writer.remove_origin(origin):
                self.counts.removed += 1
        else:
            file = self._take_node(file, finding.node, origin)
        self._writer.remember(self._source, file)

    def drop(self, path: str) -> None:
        """Forget a manifest that is gone, and its node when no other place offers it."""
        self.counts.removed += self._writer.remove_origin(Origin(self._source, path))
        self._writer.forget(self._source, path)

    def _take_node(self, file: SeenFile, node: NodeRecord, origin: Origin) -> SeenFile:
        identity = node.node_version
        if file.path in self._known:
            before = self._writer.node_at(origin)
            if before is not None and before != identity:
                self.counts.removed += self._writer.remove_origin(origin)
        owner = self._rules.bound_to(identity.node.namespace)
        if owner is not None and owner != self._source:
            self.counts.removed += self._writer.remove_origin(origin)
            return _refused(file, _bound_elsewhere(file, node, owner))
        existing = self._writer.find(identity)
        if existing is None:
            self._writer.insert(node, origin)
            self.counts.added += 1
            return file
        is_known_origin = origin in existing.origins
        if existing.digest == node.digest and existing.body == node.body:
            if not is_known_origin:
                self._writer.add_origin(identity, origin)
            self.counts.confirmed += 1
            return file
        rivals = self._rivals(existing, origin)
        if rivals and not all(self._rules.prefers(self._source, r.source) for r in rivals):
            if is_known_origin:
                self._writer.remove_origin(origin)
            return _refused(file, _conflict(file, node, rivals[0]))
        self._writer.update(node)
        if not is_known_origin:
            self._writer.add_origin(identity, origin)
        for rival in rivals:
            self._writer.remove_origin(rival)
            loser = SeenFile(rival.path, "", "rejected")
            self._writer.remember(rival.source, _refused(loser, _conflict(loser, node, origin)))
        self.counts.updated += 1
        return file

    def _rivals(self, existing: StoredNode, origin: Origin) -> list[Origin]:
        """The other places that still offer the node as it is registered."""
        return [
            other
            for other in existing.origins
            if other != origin and not (other.source == self._source and other.path in self._gone)
        ]


def _refused(file: SeenFile, problem: Problem) -> SeenFile:
    # Without a fingerprint the file is read again at every scan, until the conflict is gone.
    return replace(file, fingerprint="", outcome="rejected", problems=(*file.problems, problem))


def _conflict(file: SeenFile, node: NodeRecord, rival: Origin) -> Problem:
    return Problem(
        "DSC002",
        Severity.ERROR,
        f"{node.label} is registered from {rival.path} with other content",
        Location(file.path, 1, 1),
        "give one of the two another version or namespace, or remove it",
    )


def _bound_elsewhere(file: SeenFile, node: NodeRecord, owner: str) -> Problem:
    return Problem(
        "DSC014",
        Severity.ERROR,
        f"{node.label} is set aside: its namespace may come from {owner} alone",
        Location(file.path, 1, 1),
        "use another namespace, or change namespaces of that source in onex.toml",
    )
