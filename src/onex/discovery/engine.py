"""DiscoveryEngine: asks every source, merges what they say, and stores what changed."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from onex.discovery.source import Discovery, DiscoverySource, Finding
from onex.domain.errors import Location, OnexError, Problem, Severity
from onex.domain.json_value import JsonValue
from onex.domain.metadata import Origin, RegisteredNode
from onex.manifests.local_node import LocalNode
from onex.storage.backend import SeenFile, StorageBackend, StorageWriter
from onex.storage.query import MetadataQuery


@dataclass(slots=True)
class SourceReport:
    """What one scan of one source found and changed; counts are of manifests."""

    name: str
    kind: str
    status: str = "ok"
    found: int = 0
    added: int = 0
    updated: int = 0
    removed: int = 0
    unchanged: int = 0
    rejected: int = 0
    skipped: int = 0
    seconds: float = 0.0

    def to_json(self) -> dict[str, JsonValue]:
        """The report in the shape that ``scan`` prints under ``sources``."""
        return {
            "name": self.name,
            "kind": self.kind,
            "status": self.status,
            "found": self.found,
            "added": self.added,
            "updated": self.updated,
            "removed": self.removed,
            "unchanged": self.unchanged,
            "rejected": self.rejected,
            "skipped": self.skipped,
            "seconds": round(self.seconds, 6),
        }


@dataclass(frozen=True, slots=True)
class ScanReport:
    """What a scan of all sources found; ``nodes`` counts node versions in the registry now."""

    sources: Sequence[SourceReport]
    problems: Sequence[Problem]
    nodes: int

    @property
    def has_failed_source(self) -> bool:
        """Whether a source gave nothing because it could not be read."""
        return any(source.status == "failed" for source in self.sources)


@dataclass(slots=True)
class DiscoveryEngine:
    """Scans sources into a storage. A source that fails does not stop the others."""

    storage: StorageBackend
    sources: list[DiscoverySource] = field(default_factory=list)

    def register_discovery_source(self, source: DiscoverySource) -> None:
        """Add a source to those that ``scan`` asks."""
        self.sources.append(source)

    def scan(self, *, force: bool = False) -> ScanReport:
        """Ask every source and store what changed, one transaction for each source.

        Args:
            force: read every manifest, even those that look unchanged.

        Raises:
            OnexError: the only source there is cannot be read.
            StorageError: the storage fails.
        """
        reports: list[SourceReport] = []
        problems: list[Problem] = []
        for source in self.sources:
            started = time.perf_counter()
            report = SourceReport(source.name, source.kind)
            known = self.storage.seen_files(source.name)
            try:
                discovery = source.discover_nodes({} if force else known)
            except OnexError as error:
                if len(self.sources) == 1:
                    raise
                report.status = "failed"
                problems.append(_source_problem(source, error))
            else:
                problems += self._store(source, discovery, known, report)
            report.seconds = time.perf_counter() - started
            reports.append(report)
        problems += self._shared_uuids()
        total = self.storage.query(MetadataQuery(all_versions=True, limit=0)).total
        return ScanReport(reports, problems, total)

    def _store(
        self,
        source: DiscoverySource,
        discovery: Discovery,
        known: Mapping[str, SeenFile],
        report: SourceReport,
    ) -> list[Problem]:
        present = {finding.file.path for finding in discovery.findings}
        unreadable = tuple(discovery.unreadable)
        gone = {
            path
            for path in known
            if path not in present and not any(path.startswith(f"{u}/") for u in unreadable)
        }
        problems = list(discovery.problems)
        if unreadable:
            report.status = "degraded"
        changed = [finding for finding in discovery.findings if not finding.is_unchanged]
        outcomes = [finding.file for finding in discovery.findings if finding.is_unchanged]
        report.unchanged += sum(file.outcome == "node" for file in outcomes)
        if changed or gone:
            with self.storage.writing() as writer:
                merge = _Merge(writer, source.name, gone, report)
                outcomes += [merge.take(finding) for finding in changed]
                for path in sorted(gone):
                    merge.drop(path)
        for file in sorted(outcomes, key=lambda file: file.path):
            problems += file.problems
            report.found += file.outcome == "node"
            report.rejected += file.outcome == "rejected"
            report.skipped += file.outcome == "skipped"
        return problems

    def _shared_uuids(self) -> list[Problem]:
        return [
            Problem(
                "DSC003",
                Severity.WARNING,
                f"the UUID {uuid} belongs to {len(nodes)} nodes: "
                + ", ".join(map(str, nodes[:5]))
                + (" and more" if len(nodes) > 5 else ""),
                hint="give each node a UUID of its own; only its versions share it",
            )
            for uuid, nodes in self.storage.nodes_sharing_uuid().items()
        ]


class _Merge:
    """The rules by which findings of one source become changes of the registry."""

    def __init__(
        self, writer: StorageWriter, source: str, gone: set[str], report: SourceReport
    ) -> None:
        self._writer = writer
        self._source = source
        self._gone = gone
        self._report = report

    def take(self, finding: Finding) -> SeenFile:
        file = finding.file
        origin = Origin(self._source, file.path)
        if finding.node is None:
            if self._writer.remove_origin(origin):
                self._report.removed += 1
        else:
            file = self._take_node(file, finding.node, origin)
        self._writer.remember(self._source, file)
        return file

    def _take_node(self, file: SeenFile, node: LocalNode, origin: Origin) -> SeenFile:
        identity = node.metadata.node_version
        before_at_path = self._writer.node_at(origin)
        if before_at_path is not None and before_at_path != identity:
            self._report.removed += self._writer.remove_origin(origin)
        existing = self._writer.find(identity)
        if existing is None:
            self._writer.insert(node.metadata, node.digest, origin)
            self._report.added += 1
            return file
        is_known_origin = origin in existing.origins
        if existing.digest == node.digest and existing.metadata == node.metadata:
            if not is_known_origin:
                self._writer.add_origin(identity, origin)
            self._report.unchanged += 1
            return file
        rivals = self._rivals(existing, origin)
        if rivals:
            if is_known_origin:
                self._writer.remove_origin(origin)
            return _conflict(file, node, rivals[0])
        self._writer.update(node.metadata, node.digest)
        if not is_known_origin:
            self._writer.add_origin(identity, origin)
        self._report.updated += 1
        return file

    def _rivals(self, existing: RegisteredNode, origin: Origin) -> list[Origin]:
        """The other places that still offer the node as it is registered."""
        return [
            other
            for other in existing.origins
            if other != origin and not (other.source == self._source and other.path in self._gone)
        ]

    def drop(self, path: str) -> None:
        """Forget a manifest that is gone, and its node when no other place offers it."""
        self._report.removed += self._writer.remove_origin(Origin(self._source, path))
        self._writer.forget(self._source, path)


def _conflict(file: SeenFile, node: LocalNode, rival: Origin) -> SeenFile:
    problem = Problem(
        "DSC002",
        Severity.ERROR,
        f"{node.metadata.node_version} is registered from {rival.path} with other content",
        Location(file.path, 1, 1),
        "give one of the two another version or namespace, or remove it",
    )
    # Without a fingerprint the file is read again at every scan, until the conflict is gone.
    return replace(file, fingerprint="", outcome="rejected", problems=(*file.problems, problem))


def _source_problem(source: DiscoverySource, error: OnexError) -> Problem:
    return Problem(error.code, Severity.ERROR, error.message, Location(source.name), error.hint)
