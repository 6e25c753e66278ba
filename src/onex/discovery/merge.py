"""Merging the findings of sources into the registry.

Specification: Discovery Coordination. One version of a node from two places is one
node with two origins if the files are equal; if not, the trust policy decides, and
between equals the place that was first. What a place offered before is asked of the
storage inside the transaction, never of what was known when the scan began.
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from onex.configuration.settings import TrustPolicy
from onex.discovery.source import Finding
from onex.domain.access_control import enclosing_namespaces
from onex.domain.advisory import Advisory
from onex.domain.archive_place import PUBLISHED_SOURCE, ArchivePlace
from onex.domain.errors import Location, Problem, Severity
from onex.domain.evidence import Evidence
from onex.domain.metadata import Origin, SourceId, VersionState
from onex.domain.namespace_owners import NamespaceOwners
from onex.domain.reference import NodeId, NodeVersion
from onex.domain.workspace import Workspace
from onex.storage.backend import SeenFile, StorageWriter, StoredNode
from onex.storage.node_record import NodeRecord
from onex.storage.scan_memory import FolderSnapshot
from onex.trust.advisories import note_seen_advisories
from onex.trust.owners import note_seen

CONFLICT_CODE = "DSC002"


@dataclass(frozen=True, slots=True)
class MergeRules:
    """Policy for merging sources.

    ``remote_sources`` are the names of the sources that are not local; ``bindings``
    gives for a namespace the one source that may supply it and all below it;
    ``active_sources`` are those that are declared or scanned now, None for all.
    """

    trust_policy: TrustPolicy = TrustPolicy.QUARANTINE
    remote_sources: frozenset[str] = frozenset()
    bindings: Mapping[str, str] = field(default_factory=dict)
    active_sources: frozenset[str] | None = None

    def bound_to(self, namespace: str) -> str | None:
        """The source to which a namespace is bound, None if it is free."""
        names = reversed(enclosing_namespaces(namespace))
        return next((self.bindings[name] for name in names if name in self.bindings), None)

    def prefers(self, newcomer: str, holder: str) -> bool:
        """Whether the newcomer's source takes a version from the holder's."""
        is_remote = newcomer in self.remote_sources
        if is_remote == (holder in self.remote_sources):
            return False
        preferred = TrustPolicy.REMOTE_PREFER if is_remote else TrustPolicy.LOCAL_PREFER
        return self.trust_policy is preferred

    def is_active(self, source: str) -> bool:
        """Whether a source is declared, scanned now, or a folder that was scanned by its path."""
        return (
            self.active_sources is None
            or source in self.active_sources
            or Path(source).is_absolute()
        )


@dataclass(slots=True)
class MergeCounts:
    """What one source changed; counts are of manifests."""

    added: int = 0
    updated: int = 0
    removed: int = 0


class Merge:
    """Takes the findings of one source, inside one transaction.

    ``contested`` collects the findings that were refused because another place holds the
    version: they are taken once more when every source has been heard.
    """

    def __init__(
        self,
        writer: StorageWriter,
        source: SourceId,
        rules: MergeRules,
        workspace: Workspace,
        gone: frozenset[Origin] = frozenset(),
        *,
        reads_anew: bool = False,
    ) -> None:
        """``workspace`` is the one that merges, and ``source`` mostly one of its own.

        ``gone`` are the places, of any source of this scan, that are there no more. With
        ``reads_anew`` the words of unchanged nodes are stored too, which the log does not hold.
        """
        self._reads_anew = reads_anew
        self._writer = writer
        self._source = source
        self._rules = rules
        self._workspace = workspace
        self._gone = gone
        self._others = [o for o in writer.sources(source.workspace) if o != source]
        self.counts = MergeCounts()
        self.contested: list[Finding] = []

    def expect(self, findings: Iterable[Finding]) -> None:
        """Read at once what the storage knows of findings that will be taken."""
        found = list(findings)
        self._writer.expect(
            [f.node.node_version for f in found if f.node is not None],
            [
                _origin(source, f.file.path)
                for source in (self._source, *self._others)
                for f in found
            ],
        )

    def expect_at(self, paths: Iterable[str]) -> None:
        """Read at once what the storage knows of paths that will be dropped."""
        self._writer.expect([], [_origin(self._source, path) for path in paths])

    def take(self, finding: Finding) -> None:
        """Make a finding part of the registry."""
        file = finding.file
        origin = _origin(self._source, file.path)
        self._correct_others(file.path, finding.node.node_version if finding.node else None)
        if finding.node is None:
            self._leave(origin, None)
        else:
            file = self._take_node(finding, finding.node, origin)
        self._writer.remember(self._source, file)

    def drop(self, path: str) -> None:
        """Forget a manifest that its source does not give, and its node if no other place does."""
        self._leave(_origin(self._source, path), None, is_left_out=True)
        self._writer.forget(self._source, path)

    def release(self, source: SourceId, paths: Iterable[str]) -> None:
        """Take what is gone from a source of another workspace.

        That workspace looks at it again when it is scanned, if it ever is.
        """
        origins = [_origin(source, path) for path in paths]
        self._writer.expect([], origins)
        for origin in origins:
            if self._writer.node_at(origin) is not None and self._is_gone(origin):
                self.counts.removed += self._look_again(origin)

    def remember_folders(self, changed: Iterable[FolderSnapshot], gone: Iterable[str]) -> None:
        """Note what the walk of the source saw of folders."""
        self._writer.remember_folders(self._source, changed, gone)

    def remember_owners(self, owners: Iterable[NamespaceOwners], registry: str) -> None:
        """Note owners of namespaces that a registry showed."""
        for found in owners:
            note_seen(self._writer, found, registry)

    def remember_advisories(self, advisories: Mapping[NodeId, Sequence[Advisory]]) -> None:
        """Note advisories about nodes that the source showed."""
        for node, found in advisories.items():
            note_seen_advisories(self._writer, node, found, self._source.name)

    def _take_node(self, finding: Finding, node: NodeRecord, origin: Origin) -> SeenFile:
        file = finding.file
        identity = node.node_version
        holder = self._writer.node_at(origin)
        if holder not in (None, identity) and ArchivePlace.parse(origin.path) is not None:
            return _refused(file, _other_archive(file, identity, holder))
        self._leave(origin, identity)
        owner = self._rules.bound_to(identity.node.namespace)
        if owner is not None and owner != self._source.name:
            self._leave(origin, None)
            return _refused(file, _bound_elsewhere(file, node, owner))
        existing = self._writer.find(identity)
        if existing is None:
            self._writer.insert(node, origin, finding.evidence)
            self._follow(identity, finding.state)
            self.counts.added += 1
            return file
        rivals: list[Origin] = []
        if existing.digest != node.digest or existing.body != node.body:
            rivals = self._rivals(existing, origin)
            if not self._prevails(existing, origin, rivals):
                self._leave(origin, None)
                self.contested.append(finding)
                return _refused(file, _conflict(file, node, rivals[0], origin.workspace))
            self._writer.update(node)
            self.counts.updated += 1
        elif self._reads_anew:
            self._writer.put_words(node)
        # Before any other place goes, since a version without one would go with it.
        if origin not in existing.origins:
            self._writer.add_origin(identity, origin)
        for rival in rivals:
            self._set_aside(rival, node, origin)
        self._follow(identity, finding.state)
        self._take_evidence(identity, existing, finding.evidence)
        self._drop_left_behind(identity, origin)
        return file

    def _follow(self, node: NodeVersion, state: VersionState | None) -> None:
        """Decide of a version what its source decided, which holds until one of them changes it."""
        if state is not None and self._writer.follow(node, state):
            self.counts.updated += 1

    def _take_evidence(
        self, node: NodeVersion, existing: StoredNode, evidence: Evidence | None
    ) -> None:
        """Store what this source shows for a version.

        What was known is kept if another registry shows more, or if this one has left a statement
        out since, which would lower the trust in it.
        """
        if evidence is None:
            return
        known = existing.evidence
        if known is not None:
            is_other = evidence.registry != known.registry
            is_stripped = not set(known.statements) <= set(evidence.statements)
            if (is_other or is_stripped) and not evidence.level.reaches(known.level):
                return
        self._writer.set_evidence(node, evidence)

    def _leave(self, origin: Origin, now: NodeVersion | None, *, is_left_out: bool = False) -> None:
        """Remove a place from the version that it offered, unless it still offers that version.

        Places that are not there any more go with it, and other names of the same file, unless
        the file was only left out of this source: it may still be what it was.
        """
        before = self._writer.node_at(origin)
        if before is None or before == now:
            return
        self.counts.removed += self._writer.remove_origin(origin)
        left = self._writer.find(before)
        for other in left.origins if left is not None else ():
            if other in self._gone:
                continue
            if self._is_gone(other) or (not is_left_out and self._is_same_file(other, origin)):
                self._look_again(other)

    def _correct_others(self, path: str, now: NodeVersion | None) -> None:
        """Remove what other sources registered from this file, if it has another version now."""
        for source in self._others:
            other = _origin(source, path)
            if self._writer.node_at(other) not in (None, now):
                self._look_again(other)

    def _rivals(self, existing: StoredNode, origin: Origin) -> list[Origin]:
        """The other files that still offer the node as it is registered."""
        return [
            other
            for other in existing.origins
            if other != origin
            and other not in self._gone
            and self._is_active(other)
            and not self._is_gone(other)
            and not self._is_same_file(other, origin)
        ]

    def _prevails(self, existing: StoredNode, origin: Origin, rivals: list[Origin]) -> bool:
        """Whether an origin supplies the registered content from now on.

        The rules of this workspace speak of its own sources, and of nobody else's.
        """
        if any(rival.source == PUBLISHED_SOURCE for rival in rivals):
            return False
        name = self._source.name
        own = [rival.source for rival in rivals if rival.workspace == origin.workspace]
        is_preferred = all(self._rules.prefers(name, rival) for rival in own)
        if is_preferred and (len(own) == len(rivals) or self._owns(existing)):
            return True
        return existing.origins[:1] == (origin,) and not any(
            self._rules.prefers(rival, name) for rival in own
        )

    def _owns(self, existing: StoredNode) -> bool:
        """Whether the namespace of a node is bound to this source."""
        namespace = str(json.loads(existing.body)["namespace"])
        return self._rules.bound_to(namespace) == self._source.name

    def _set_aside(self, loser: Origin, node: NodeRecord, winner: Origin) -> None:
        self._writer.remove_origin(loser)
        file = SeenFile(loser.path, "", "rejected")
        self._writer.remember(
            loser.source_id, _refused(file, _conflict(file, node, winner, loser.workspace))
        )

    def _drop_left_behind(self, node: NodeVersion, origin: Origin) -> None:
        """Drop the origins of a node that are gone, or whose source was renamed."""
        existing = self._writer.find(node)
        if existing is None or len(existing.origins) < 2:
            return
        for other in existing.origins:
            if other == origin or other in self._gone:
                continue
            if self._is_gone(other) or not self._is_active(other):
                self._look_again(other)

    def _is_active(self, origin: Origin) -> bool:
        """Whether the source of an origin may be scanned again, seen from this workspace."""
        if origin.source == PUBLISHED_SOURCE:
            return True
        is_own = origin.workspace == self._source.workspace
        return not is_own or self._rules.is_active(origin.source)

    def _is_gone(self, origin: Origin) -> bool:
        """Whether an origin is missing on this machine."""
        return self._workspace.sees_files_of(origin.workspace) and _names_nothing(origin.path)

    def _is_same_file(self, one: Origin, other: Origin) -> bool:
        """Whether two origins are names of one file that can be seen from here."""
        sees = self._workspace.sees_files_of
        return (
            sees(one.workspace)
            and sees(other.workspace)
            and (one.path == other.path or _is_one_file(one.path, other.path))
        )

    def _look_again(self, origin: Origin) -> bool:
        """Drop an origin of any source, which is read again at that source's next scan.

        Returns whether its node went with it.
        """
        was_last = self._writer.remove_origin(origin)
        self._writer.remember(origin.source_id, SeenFile(origin.path, "", "plain"))
        return was_last


def _origin(source: SourceId, path: str) -> Origin:
    return Origin(source.name, path, source.workspace)


def has_moved_away(paths: Sequence[str]) -> bool:
    """Whether nothing is at any of these paths, and not because a file system is absent.

    The folder on which one would be mounted is there and empty.
    """
    if not all(Path(path).is_absolute() and _names_nothing(path) for path in paths):
        return False
    there = next(folder for folder in Path(paths[0]).parents if os.path.lexists(folder))
    try:
        return any(there.iterdir())
    except OSError:
        return False


def _names_nothing(path: str) -> bool:
    """Whether a path of this machine names nothing; one that may not be looked at is there."""
    if not Path(path).is_absolute():
        return False
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except (OSError, ValueError):
        return False
    return False


def _is_one_file(path: str, other: str) -> bool:
    """Whether two paths are names of one file."""
    try:
        return Path(path).samefile(other)
    except (OSError, ValueError):
        return False


def _refused(file: SeenFile, problem: Problem) -> SeenFile:
    # Without a fingerprint the file is read again at every scan, until the conflict is gone.
    return replace(file, fingerprint="", outcome="rejected", problems=(*file.problems, problem))


def _other_archive(file: SeenFile, node: NodeVersion, holder: NodeVersion | None) -> Problem:
    return Problem(
        CONFLICT_CODE,
        Severity.ERROR,
        f"{node} is listed with the archive of {holder}, which holds that alone",
        Location(file.path),
        "tell those who run the registry",
    )


def _conflict(file: SeenFile, node: NodeRecord, rival: Origin, workspace: str) -> Problem:
    hint = "give one of the two another version or namespace, or remove it"
    where = rival.path
    if rival.source == PUBLISHED_SOURCE:
        where = "what was published to this registry"
    elif rival.workspace != workspace:
        named = f"the workspace {rival.workspace}" if rival.workspace else "another workspace"
        where = f"{rival.path} in {named}"
        hint += (
            ", or take the other out if it is left over: onex sources forget"
            f" {shlex.quote(rival.source)} --workspace {shlex.quote(rival.workspace)}"
        )
    return Problem(
        CONFLICT_CODE,
        Severity.ERROR,
        f"{node.label} is registered from {where} with other content",
        Location(file.path, 1, 1),
        hint,
    )


def _bound_elsewhere(file: SeenFile, node: NodeRecord, owner: str) -> Problem:
    return Problem(
        "DSC014",
        Severity.ERROR,
        f"{node.label} is set aside: its namespace may come from {owner} alone",
        Location(file.path, 1, 1),
        "use another namespace, or change namespaces of that source in onex.toml",
    )
