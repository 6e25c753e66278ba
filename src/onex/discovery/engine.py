"""DiscoveryEngine: asks every source, merges what they say, and stores what changed."""

from __future__ import annotations

import contextvars
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TypeVar

from onex.discovery.merge import Merge, MergeRules, has_moved_away
from onex.discovery.scan_report import ScanReport, SourceReport, joined_conflicts
from onex.discovery.source import Deadline, Discovery, DiscoverySource, Finding, SourceSnapshot
from onex.domain.errors import (
    Location,
    OnexError,
    Problem,
    Severity,
    SourceError,
    SourceTimeoutError,
)
from onex.domain.metadata import Origin, SourceId
from onex.domain.workspace import Workspace
from onex.storage.backend import StorageBackend, StorageWriter

Item = TypeVar("Item")

DEFAULT_TIMEOUT_SECONDS = 300.0
GRACE_SECONDS = 2.0
BATCH = 2_000
# Others wait for the right to write meanwhile.
TRANSACTION_SECONDS = 0.4
MAXIMUM_CONTESTED = 10_000
ROUNDS = 4


@dataclass(slots=True)
class _Inquiry:
    """A question to one source: what is remembered of it, its deadline, and its answer.

    ``before`` is the token of the scan that stored something last when the memory was
    read, ``token`` that of this one. ``is_overtaken`` is set if another scan stored
    something and there is no time to look again: then nothing is taken for settled, and
    the next scan reads it once more.
    """

    source: DiscoverySource
    memory: SourceSnapshot
    deadline: Deadline
    before: str | None
    token: str = field(default_factory=lambda: uuid.uuid4().hex)
    started: float = field(default_factory=time.perf_counter)
    seconds: float = 0.0
    answer: Discovery | OnexError | None = None
    contested: list[Finding] = field(default_factory=list)
    is_overtaken: bool = False
    is_forced: bool = False

    def ask(self) -> None:
        """Ask the source; what it raises becomes its answer."""
        try:
            self.answer = self.source.discover_nodes(self.memory, self.deadline)
        except OnexError as error:
            self.answer = error
        except Exception as error:  # noqa: BLE001 - a third party's source fails alone
            self.answer = _defect(error)
        self.seconds = time.perf_counter() - self.started

    def outcome(self) -> Discovery | OnexError:
        """The answer, or that there was none in time."""
        if self.answer is None:
            return SourceTimeoutError(
                f"the source did not answer within {self.deadline.limit_seconds:g} seconds",
                hint="it is left to itself; raise timeout in onex.toml if it needs longer",
            )
        return self.answer


class _OvertakenError(Exception):
    """Another scan of the same source stored something since this one read its memory."""


@dataclass(slots=True)
class DiscoveryEngine:
    """Scans sources into a storage. A source that fails does not stop the others.

    ``roots`` are the folders of sources, None for those that are not in one folder; ``actor`` is
    who scans, as the log names them.
    """

    storage: StorageBackend
    rules: MergeRules = field(default_factory=MergeRules)
    workspace: Workspace = field(default_factory=Workspace)
    actor: str | None = None
    roots: Mapping[str, Path | None] = field(default_factory=dict)
    sources: list[DiscoverySource] = field(default_factory=list)
    timeouts: dict[str, float] = field(default_factory=dict)

    def register_discovery_source(
        self, source: DiscoverySource, timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS
    ) -> None:
        """Add a source to those that ``scan`` asks, and how long it may take."""
        self.sources.append(source)
        self.timeouts[source.name] = timeout_seconds

    def scan(self, *, force: bool = False) -> ScanReport:
        """Ask every source, all at once, and store what changed, in short transactions.

        A source that another scan stored meanwhile is asked again, so that scans which
        overlap leave what one of them alone would leave.

        Args:
            force: read every manifest, even those that look unchanged.

        Raises:
            OnexError: the only source there is cannot be read.
            StorageError: the storage fails.
        """
        adopt_sources(self.storage, self.workspace, self.roots, self.actor)
        reports = {s.name: SourceReport(s.name, s.kind) for s in self.sources}
        outcomes: dict[str, Discovery | OnexError] = {}
        asked = list(self.sources)
        for round_ in range(1, ROUNDS + 1):
            inquiries = [self._inquiry(source, force=force) for source in asked]
            _ask_all(inquiries)
            overtaken = self._store(inquiries, reports, outcomes, is_last=round_ == ROUNDS)
            asked = [source for source in asked if source.name in overtaken]
            if not asked:
                break
        if len(self.sources) == 1:
            (outcome,) = outcomes.values()
            if isinstance(outcome, OnexError):
                raise outcome
        problems: list[Problem] = []
        # Only now, since a source may have taken a version from one that was stored before it.
        for source in self.sources:
            outcome, report = outcomes[source.name], reports[source.name]
            if isinstance(outcome, Discovery):
                problems += self._report(outcome, report)
            else:
                report.status = "failed"
                problems.append(_source_problem(source, outcome))
        problems += self._shared_uuids()
        problems += self._ambiguous_names()
        return ScanReport(list(reports.values()), joined_conflicts(problems), self.storage.count())

    def _source_id(self, name: str) -> SourceId:
        return SourceId(name, self.workspace.name)

    def _inquiry(self, source: DiscoverySource, *, force: bool) -> _Inquiry:
        # First, so that what is stored while the memory is read counts as stored after it.
        source_id = self._source_id(source.name)
        before = self.storage.scan_token(source_id)
        memory = SourceSnapshot(
            self.storage.fingerprints(source_id), self.storage.folders(source_id)
        )
        deadline = Deadline.after(self.timeouts[source.name])
        return _Inquiry(
            source,
            memory.without_fingerprints() if force else memory,
            deadline,
            before,
            is_forced=force,
        )

    def _store(
        self,
        inquiries: Sequence[_Inquiry],
        reports: Mapping[str, SourceReport],
        outcomes: dict[str, Discovery | OnexError],
        *,
        is_last: bool,
    ) -> set[str]:
        """Store the findings of sources; returns those that another scan stored meanwhile.

        What is new is stored before what is gone, so that a node which moved is never
        missing; a place that is gone holds no version against one that is there.
        """
        gone = frozenset(
            Origin(inquiry.source.name, path, self.workspace.name)
            for inquiry in inquiries
            if isinstance(inquiry.answer, Discovery)
            for path in inquiry.answer.gone
        )
        incomplete = self.storage.incomplete_scans()
        overtaken: set[str] = set()
        for stage in (self._take_findings, self._take_contested, self._finish):
            for inquiry in inquiries:
                name, outcome = inquiry.source.name, inquiry.outcome()
                outcomes[name] = outcome
                if name in overtaken or not isinstance(outcome, Discovery):
                    continue
                started = time.perf_counter()
                try:
                    stage(_Storing(inquiry, outcome, reports[name], gone, is_last=is_last,
                                   was_incomplete=self._source_id(name) in incomplete))  # fmt: skip
                except _OvertakenError:
                    overtaken.add(name)
                except SourceError as error:
                    inquiry.answer = outcomes[name] = error
                inquiry.seconds += time.perf_counter() - started
        for inquiry in inquiries:
            reports[inquiry.source.name].seconds += inquiry.seconds
        return overtaken

    def _take_findings(self, storing: _Storing) -> None:
        for batch in _batches(storing.findings()):
            self._take(storing, batch)

    def _take_contested(self, storing: _Storing) -> None:
        """Take the refused findings again, now that every source has been heard."""
        contested, storing.inquiry.contested = storing.inquiry.contested, []
        self._take(storing, contested)

    def _take(self, storing: _Storing, findings: Sequence[Finding]) -> None:
        def take(merge: Merge, pending: Sequence[Finding]) -> Iterator[None]:
            merge.expect(pending)
            for finding in pending:
                merge.take(storing.stored(finding))
                yield

        self._in_parts(storing, findings, take)

    def _in_parts(
        self,
        storing: _Storing,
        items: Sequence[Item],
        work: Callable[[Merge, Sequence[Item]], Iterator[None]],
    ) -> None:
        """Process items one by one, in transactions of limited length.

        ``work`` yields after each item.
        """
        inquiry, done = storing.inquiry, 0

        def some(merge: Merge) -> int:
            until = time.monotonic() + TRANSACTION_SECONDS
            count = 0
            for _ in work(merge, items[done:]):
                count += 1
                if time.monotonic() > until:
                    break
            return count

        while done < len(items):
            merge, count = self._merge(storing, some, is_complete=False)
            inquiry.contested += merge.contested[: MAXIMUM_CONTESTED - len(inquiry.contested)]
            done += count

    def _finish(self, storing: _Storing) -> None:
        """Drop what is gone, and last of all remember the folders.

        So a scan which breaks off half-way is taken up by the next one.
        """
        discovery = storing.discovery
        self._release_moved(storing)
        folders = discovery.folders or discovery.gone_folders
        has_more = discovery.gone or folders or discovery.owners or discovery.advisories
        has_stored = storing.inquiry.before == storing.inquiry.token
        if not (has_more or has_stored or storing.was_incomplete):
            return

        def drop(merge: Merge, paths: Sequence[str]) -> Iterator[None]:
            merge.expect_at(paths[:BATCH])
            for path in paths:
                merge.drop(path)
                yield

        def remember(merge: Merge) -> None:
            folders = () if storing.inquiry.is_overtaken else discovery.folders
            merge.remember_folders(folders, discovery.gone_folders)
            merge.remember_owners(discovery.owners, discovery.registry)
            merge.remember_advisories(discovery.advisories)

        self._in_parts(storing, sorted(discovery.gone), drop)
        self._merge(storing, remember, is_complete=True)

    def _release_moved(self, storing: _Storing) -> None:
        """Remove origins of a source of this name elsewhere on this machine that are gone.

        So a project that moved takes its nodes along, however they changed meanwhile.
        """
        own = self._source_id(storing.inquiry.source.name)
        for source, path in self.storage.scanned_sources(own.name).items():
            is_seen = source != own and self.workspace.sees_files_of(source.workspace)
            if path is None or not is_seen or not has_moved_away([path]):
                continue
            paths = list(self.storage.fingerprints(source))
            if has_moved_away(paths):
                for batch in _batches(iter(paths)):
                    self._merge(storing, partial(_release, source, batch), is_complete=False)
                self.storage.write(partial(_forget, source), self.actor)

    def _merge(
        self, storing: _Storing, work: Callable[[Merge], Item], *, is_complete: bool
    ) -> tuple[Merge, Item]:
        """Merge some of what one source found, in one transaction.

        Raises:
            _OvertakenError: another scan stored something of the source, and this one can
                still look again.
        """
        inquiry, source = storing.inquiry, self._source_id(storing.inquiry.source.name)

        def change(writer: StorageWriter) -> tuple[Merge, Item]:
            if writer.scan_token(source) != inquiry.before:
                if not storing.is_last:
                    raise _OvertakenError
                inquiry.is_overtaken = True
            writer.note_scan(source, inquiry.token, is_complete=is_complete)
            merge = Merge(
                writer,
                source,
                self.rules,
                self.workspace,
                storing.gone,
                reads_anew=inquiry.is_forced,
            )
            return merge, work(merge)

        merge, result = self.storage.write(change, self.actor)
        inquiry.before = inquiry.token
        storing.report.count(merge.counts)
        return merge, result

    def _report(self, discovery: Discovery, report: SourceReport) -> list[Problem]:
        """Complete the report of a source; returns its problems."""
        source = self._source_id(report.name)
        outcomes = self.storage.outcomes(source)
        report.status = "degraded" if discovery.is_partial else "ok"
        report.found = outcomes.get("node", 0)
        report.rejected = outcomes.get("rejected", 0)
        report.skipped = outcomes.get("skipped", 0)
        report.unchanged = max(0, report.found - report.added - report.updated)
        problems = list(discovery.problems)
        for file in self.storage.files_with_problems(source):
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

    def _ambiguous_names(self) -> list[Problem]:
        return [
            Problem(
                "DSC016",
                Severity.WARNING,
                f"the name {name} is the namespace of one node and the short name of another: "
                + ", ".join(map(str, nodes[:5]))
                + (" and more" if len(nodes) > 5 else ""),
                hint="whoever writes the short name is refused; write type://namespace in full",
            )
            for name, nodes in self.storage.ambiguous_names().items()
        ]


def adopt_sources(
    storage: StorageBackend,
    workspace: Workspace,
    roots: Mapping[str, Path | None],
    actor: str | None = None,
) -> None:
    """Adopt what was registered under a former name of the workspace.

    Others may have, or have had, a source and a workspace of the same names, so it must lie
    where the source is: below its folder, or for one without a folder at all on this machine.
    """
    known = storage.sources() if workspace.former_names and roots else {}
    for former in (SourceId(n, w) for n in roots for w in workspace.former_names):
        if known.get(former) and _lies_below(storage.fingerprints(former), roots[former.name]):
            adopted = SourceId(former.name, workspace.name)
            storage.write(partial(_adopt, adopted, former), actor)


def _lies_below(paths: Iterable[str], root: Path | None) -> bool:
    if root is None:
        return any(os.path.lexists(path) for path in paths)
    return any(Path(path).is_relative_to(root) for path in paths)


def _adopt(source: SourceId, former: SourceId, writer: StorageWriter) -> None:
    # Another machine may have been first.
    is_there = former in writer.sources(former.workspace)
    if is_there and source not in writer.sources(source.workspace):
        writer.adopt(source, former.workspace)


def _forget(source: SourceId, writer: StorageWriter) -> None:
    writer.forget_source(source)


def _release(source: SourceId, paths: Sequence[str], merge: Merge) -> None:
    merge.release(source, paths)


@dataclass(slots=True)
class _Storing:
    """What is needed to store what one source found.

    ``gone`` are the places that no source of this scan offers any more; ``was_incomplete``
    says that an earlier scan of this source broke off.
    """

    inquiry: _Inquiry
    discovery: Discovery
    report: SourceReport
    gone: frozenset[Origin]
    is_last: bool
    was_incomplete: bool

    def findings(self) -> Iterator[Finding]:
        """What was found; a defect of the source on the way is a failure of this source."""
        try:
            yield from self.discovery.findings
        except OnexError:
            raise
        except Exception as error:
            raise _defect(error) from error

    def stored(self, finding: Finding) -> Finding:
        """The finding as it is remembered."""
        if not self.inquiry.is_overtaken:
            return finding
        return replace(finding, file=replace(finding.file, fingerprint=""))


def _batches(items: Iterator[Item]) -> Iterator[list[Item]]:
    while batch := list(islice(items, BATCH)):
        yield batch


def _defect(error: Exception) -> SourceError:
    return SourceError(
        f"the source failed: {type(error).__name__}: {error}",
        hint="this is a defect of the source; the others were scanned",
    )


def _ask_all(inquiries: Sequence[_Inquiry]) -> None:
    """Ask sources, several at once in threads; a source that hangs is abandoned."""
    if len(inquiries) == 1:
        inquiries[0].ask()
        return
    threads = [
        threading.Thread(
            # What the scan is part of goes along.
            target=contextvars.copy_context().run,
            args=(inquiry.ask,),
            name=f"onex-scan-{inquiry.source.name}",
            daemon=True,
        )
        for inquiry in inquiries
    ]
    for thread in threads:
        thread.start()
    for thread, inquiry in zip(threads, inquiries, strict=True):
        thread.join(max(0.0, inquiry.deadline.remaining_seconds) + GRACE_SECONDS)


def _source_problem(source: DiscoverySource, error: OnexError) -> Problem:
    return Problem(error.code, Severity.ERROR, error.message, Location(source.name), error.hint)
