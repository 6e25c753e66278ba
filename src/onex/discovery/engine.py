"""DiscoveryEngine: asks every source, merges what they say, and stores what changed."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice

from onex.discovery.deadline import Deadline
from onex.discovery.merge import Merge, MergeCounts, MergeRules
from onex.discovery.source import Discovery, DiscoverySource, SourceMemory
from onex.domain.errors import (
    Location,
    OnexError,
    Problem,
    Severity,
    SourceError,
    SourceTimeoutError,
)
from onex.domain.json_value import JsonValue
from onex.storage.backend import StorageBackend

DEFAULT_TIMEOUT_SECONDS = 300.0
GRACE_SECONDS = 2.0
BATCH = 2_000


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

    def count(self, counts: MergeCounts) -> None:
        """Add what one transaction changed."""
        self.added += counts.added
        self.updated += counts.updated
        self.removed += counts.removed

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
class _Inquiry:
    """One source being asked: with what memory, until when, and what it answered."""

    source: DiscoverySource
    memory: SourceMemory
    deadline: Deadline
    started: float = field(default_factory=time.perf_counter)
    seconds: float = 0.0
    answer: Discovery | OnexError | None = None

    def ask(self) -> None:
        """Ask the source; what it raises becomes its answer."""
        try:
            self.answer = self.source.discover_nodes(self.memory, self.deadline)
        except OnexError as error:
            self.answer = error
        except Exception as error:  # noqa: BLE001 - a third party's source fails alone
            self.answer = SourceError(
                f"the source failed: {type(error).__name__}: {error}",
                hint="this is a defect of the source; the others were scanned",
            )
        self.seconds = time.perf_counter() - self.started

    def outcome(self) -> Discovery | OnexError:
        """The answer, or that there was none in time."""
        if self.answer is None:
            return SourceTimeoutError(
                f"the source did not answer within {self.deadline.limit_seconds:g} seconds",
                hint="it is left to itself; raise timeout in onex.toml if it needs longer",
            )
        return self.answer


@dataclass(slots=True)
class DiscoveryEngine:
    """Scans sources into a storage. A source that fails does not stop the others."""

    storage: StorageBackend
    rules: MergeRules = field(default_factory=MergeRules)
    sources: list[DiscoverySource] = field(default_factory=list)
    timeouts: dict[str, float] = field(default_factory=dict)

    def register_discovery_source(
        self, source: DiscoverySource, timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS
    ) -> None:
        """Add a source to those that ``scan`` asks, and how long it may take."""
        self.sources.append(source)
        self.timeouts[source.name] = timeout_seconds

    def scan(self, *, force: bool = False) -> ScanReport:
        """Ask every source, all at once, and store what changed, a transaction for each.

        Args:
            force: read every manifest, even those that look unchanged.

        Raises:
            OnexError: the only source there is cannot be read.
            StorageError: the storage fails.
        """
        inquiries = [self._inquiry(source, force=force) for source in self.sources]
        _ask_all(inquiries)
        outcomes: list[Discovery | OnexError] = []
        reports: list[SourceReport] = []
        for inquiry in inquiries:
            report = SourceReport(inquiry.source.name, inquiry.source.kind)
            started = time.perf_counter()
            outcome = self._take(inquiry, report)
            if isinstance(outcome, OnexError) and len(inquiries) == 1:
                raise outcome
            report.seconds = inquiry.seconds + time.perf_counter() - started
            reports.append(report)
            outcomes.append(outcome)
        problems: list[Problem] = []
        # Only now, since a source may have taken a version from one that was stored before it.
        for inquiry, outcome, report in zip(inquiries, outcomes, reports, strict=True):
            if isinstance(outcome, Discovery):
                problems += self._report(outcome, report)
            else:
                report.status = "failed"
                problems.append(_source_problem(inquiry.source, outcome))
        problems += self._shared_uuids()
        return ScanReport(reports, problems, self.storage.count())

    def _inquiry(self, source: DiscoverySource, *, force: bool) -> _Inquiry:
        memory = SourceMemory(
            self.storage.fingerprints(source.name), self.storage.folders(source.name)
        )
        deadline = Deadline.after(self.timeouts[source.name])
        return _Inquiry(source, memory.forgetful() if force else memory, deadline)

    def _take(self, inquiry: _Inquiry, report: SourceReport) -> Discovery | OnexError:
        """What a source answered, stored; or why there is nothing, or not all of it."""
        outcome = inquiry.outcome()
        if isinstance(outcome, Discovery):
            try:
                self._store(inquiry, outcome, report)
            except SourceError as error:
                return error
        return outcome

    def _store(self, inquiry: _Inquiry, discovery: Discovery, report: SourceReport) -> None:
        """Make what a source found part of the registry, a transaction for each batch.

        What is remembered of folders comes last, so that a scan which breaks off half-way
        is taken up by the next one.
        """
        name, known = inquiry.source.name, inquiry.memory.fingerprints
        gone = frozenset(discovery.gone)
        findings = iter(discovery.findings)
        while batch := list(islice(findings, BATCH)):
            with self.storage.writing() as writer:
                merge = Merge(writer, name, self.rules, known, gone)
                writer.expect(f.node.node_version for f in batch if f.node is not None)
                for finding in batch:
                    merge.take(finding)
            report.count(merge.counts)
        if gone or discovery.folders or discovery.gone_folders:
            with self.storage.writing() as writer:
                merge = Merge(writer, name, self.rules, known, gone)
                for path in sorted(gone):
                    merge.drop(path)
                writer.remember_folders(name, discovery.folders, discovery.gone_folders)
            report.count(merge.counts)

    def _report(self, discovery: Discovery, report: SourceReport) -> list[Problem]:
        """Complete the report of a source; returns what is to be said of it."""
        outcomes = self.storage.outcomes(report.name)
        report.status = "degraded" if discovery.is_partial else "ok"
        report.found = outcomes.get("node", 0)
        report.rejected = outcomes.get("rejected", 0)
        report.skipped = outcomes.get("skipped", 0)
        report.unchanged = max(0, report.found - report.added - report.updated)
        problems = list(discovery.problems)
        for file in self.storage.files_with_problems(report.name):
            problems += file.problems
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


def _ask_all(inquiries: Sequence[_Inquiry]) -> None:
    """Ask one source here, several at once in threads; those that hang are left behind."""
    if len(inquiries) == 1:
        inquiries[0].ask()
        return
    threads = [
        threading.Thread(target=inquiry.ask, name=f"onex-scan-{inquiry.source.name}", daemon=True)
        for inquiry in inquiries
    ]
    for thread in threads:
        thread.start()
    for thread, inquiry in zip(threads, inquiries, strict=True):
        thread.join(max(0.0, inquiry.deadline.remaining_seconds) + GRACE_SECONDS)


def _source_problem(source: DiscoverySource, error: OnexError) -> Problem:
    return Problem(error.code, Severity.ERROR, error.message, Location(source.name), error.hint)
