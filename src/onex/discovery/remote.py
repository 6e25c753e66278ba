"""RemoteRegistryDiscovery: the nodes of a remote registry, as far as they are needed.

Specification: Remote Registry Discovery. A visit asks which nodes changed since the last one, in
one request, reads the index files of those that are known here again, and reads those of nodes
that are met for the first time, a level of their dependencies at once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

from onex.configuration.settings import SourceConfiguration, Sync
from onex.discovery.release_judge import ReleaseJudge
from onex.discovery.remembered_index import (
    LastVisit,
    RememberedIndex,
    record_of_names,
    record_of_node,
    record_of_owners,
)
from onex.discovery.source import Deadline, Discovery, Finding, SourceSnapshot
from onex.domain.access_control import covers
from onex.domain.advisory import Advisory, AdvisoryKey
from onex.domain.errors import (
    ConfigurationError,
    Location,
    OnexError,
    Problem,
    Severity,
    SourceError,
)
from onex.domain.known_owners import KnownOwners
from onex.domain.lifecycle import preference
from onex.domain.namespace_owners import NamespaceOwners
from onex.domain.reference import NodeId, NodeRef
from onex.domain.remote_errors import (
    RemoteProtocolError,
    RemoteRefusedError,
    RemoteUnavailableError,
)
from onex.domain.trust_errors import (
    IndexSignatureError,
    LogForkError,
    OwnersRefusedError,
    PolicyRefusedError,
)
from onex.domain.trust_rules import TrustRules
from onex.remote.index_line import IndexLine, parse_advisory
from onex.remote.log_reader import LogReader
from onex.remote.remotes import Remotes
from onex.remote.tree import (
    CONFIG_PATH,
    MAXIMUM_CONFIG_BYTES,
    MAXIMUM_INDEX_BYTES,
    Change,
    FileAnswer,
    Tree,
    TreeConfig,
    fits_paths,
    index_path,
    name_of_path,
    names_path,
    node_of_path,
    owned_of_path,
    owners_path,
    read_file,
    read_lines,
    read_names,
)
from onex.storage.backend import SeenFile
from onex.storage.node_record import NodeRecord
from onex.storage.scan_memory import FolderSnapshot
from onex.trust.signed_index import SignedIndex

PATHS_AT_ONCE = 100
MAXIMUM_FILES = 50_000
MAXIMUM_BYTES = 1024 * 1024 * 1024


class NamespaceOwnership(Protocol):
    """Which namespaces a remote may supply."""

    def belongs_elsewhere(self, namespace: str) -> bool:
        """Whether a namespace is bound to another source, or supplied by one that goes before."""
        ...

    def may_belong_elsewhere(self, namespace: str) -> bool:
        """Whether a source that goes before, and may supply a namespace, did not answer."""
        ...


class RemoteRegistryDiscovery:
    """A remote as a source of nodes.

    ``is_silent`` says, after it was asked, that it could not be asked.
    """

    kind = "remote"

    def __init__(
        self,
        declared: SourceConfiguration,
        remotes: Remotes,
        ownership: NamespaceOwnership,
        owners: KnownOwners,
        rules: TrustRules,
        advisories: Mapping[NodeId, Mapping[AdvisoryKey, Advisory]],
        wanted: Iterable[str] = (),
    ) -> None:
        """Prepare; nothing is asked yet.

        Args:
            declared: the remote.
            remotes: opens its tree, and remembers if it did not answer.
            ownership: which namespaces it may supply.
            owners: whose keys speak for namespaces, as far as that is known here.
            rules: the policy, by which versions may be registered.
            advisories: those that are known here.
            wanted: names of nodes that are met, short or whole, beside those known already.
        """
        self._declared = declared
        self._remotes = remotes
        self._ownership = ownership
        self._owners = owners
        self._rules = rules
        self._advisories = advisories
        self._wanted = tuple(wanted)
        self.is_silent = False

    @property
    def name(self) -> str:
        return self._declared.name

    def discover_nodes(self, memory: SourceSnapshot, deadline: Deadline) -> Discovery:
        """Say what changed; a remote that does not answer leaves what is known, with its age."""
        try:
            self._remotes.raise_if_backing_off(self._declared)
            try:
                tree = self._remotes.tree(self._declared)
                published = self._remotes.published_serial(self._declared)
                tree.at_least(published)
                visit = _Visit(
                    self.name,
                    tree,
                    memory,
                    deadline,
                    self._ownership,
                    ReleaseJudge(self._owners, self._rules),
                    known_advisories=self._advisories,
                    signed=self._remotes.signed_index(self._declared),
                    published=published,
                )
                discovery = visit.discovery(self._wanted, self._declared.sync)
            except RemoteUnavailableError as error:
                self._remotes.failed(self._declared, error)
                raise
        except (SourceError, RemoteRefusedError, ConfigurationError) as error:
            self.is_silent = True
            return Discovery(problems=[self._offline(error, memory)], is_partial=True)
        self._remotes.answered(self._declared)
        return discovery

    def health_check(self) -> None:
        read_config(self._remotes.tree(self._declared))
        self._remotes.answered(self._declared)

    def _offline(self, error: OnexError, memory: SourceSnapshot) -> Problem:
        return Problem(
            error.code,
            Severity.WARNING,
            f"{error.message}; {known_since(memory)}",
            Location(self.name),
            error.hint,
        )


def read_config(tree: Tree) -> TreeConfig:
    """What a tree says of itself.

    Raises:
        RemoteUnavailableError: it does not answer.
        RemoteProtocolError: it is no tree of a registry.
    """
    content = read_file(tree, CONFIG_PATH, MAXIMUM_CONFIG_BYTES)
    if content is None:
        raise RemoteProtocolError(
            f"{tree.place} is not a registry: it has no {CONFIG_PATH}",
            hint="check the URL or the folder",
        )
    return TreeConfig.parse(content, tree.place)


def known_since(memory: SourceSnapshot) -> str:
    """How old what is known of a remote is, in words."""
    last = RememberedIndex(memory.folders).last_visit()
    if last is None:
        return "nothing is known of it yet"
    minutes = int(last.age_seconds // 60)
    words = f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"
    return f"what is known of it is {words} old"


@dataclass(slots=True)
class _Visit:
    """One visit to a remote, and what it found."""

    name: str
    tree: Tree
    memory: SourceSnapshot
    deadline: Deadline
    ownership: NamespaceOwnership
    judge: ReleaseJudge
    known_advisories: Mapping[NodeId, Mapping[AdvisoryKey, Advisory]] = field(default_factory=dict)
    signed: SignedIndex | None = None
    log: LogReader | None = None
    published: int = 0
    lines: list[IndexLine] = field(default_factory=list)
    advisories: dict[NodeId, list[Advisory]] = field(default_factory=dict)
    moved: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    files: dict[str, FolderSnapshot] = field(default_factory=dict)
    dropped: list[str] = field(default_factory=list)
    listed: set[str] = field(default_factory=set)

    @property
    def remembered(self) -> RememberedIndex:
        """What earlier visits left."""
        return RememberedIndex(self.memory.folders)

    def discovery(self, wanted: Iterable[str], sync: Sync) -> Discovery:
        last = self.remembered.last_visit()
        config = self._config(last)
        self.judge.registry = config.registry
        self.tree.at_least(config.serial)
        known = {*self.memory.folders, *self.memory.known_folders} - {CONFIG_PATH}
        known -= self._give_up(known)
        if self.signed is not None:
            self.signed.refresh()
            folder = self.signed.folder
            self.log = LogReader(self.tree, self.signed, folder, config.registry)
        changes = None
        if last is not None and last.basis == self.judge.basis:
            # Otherwise all that was read is judged anew.
            changes = self._changes(config, last.serial)
        level = self._outdated(known, changes)
        signed = 0 if self.signed is None else self.signed.version
        if last is None or signed != last.signed:
            if self.log is not None:
                self.log.refresh()
            level += [path for path in self._otherwise_signed(known) if path not in level]
        met = [path for name in wanted for path in self._paths_of(NodeRef.parse(name))]
        level += [path for path in met if path not in known]
        if sync is Sync.ALL:
            feed = self.tree.changes(0) if changes is None else changes
            nodes = dict.fromkeys(change.node for change in feed if change.node is not None)
            level += [p for node in nodes for p in self._index_of(node) if p not in known]
        self._read(list(dict.fromkeys(level)), known)
        if self.moved and self.signed is not None:
            # The registry went on between what it signed and what was read.
            again, self.moved = self.moved, []
            self.signed.refresh()
            self._read(again, known, is_last=True)
        serial = config.serial
        if changes is not None and last is not None:
            # What the feed has not told yet is asked for again.
            serial = changes[-1].serial if changes else last.serial
        visit = LastVisit(config.registry, serial, datetime.now(UTC), signed, self.judge.basis)
        self.files[CONFIG_PATH] = visit.to_record()
        return Discovery(
            list(self._findings()),
            self.gone,
            self.problems,
            is_partial=any(p.severity is not Severity.INFORMATION for p in self.problems),
            folders=list(self.files.values()),
            gone_folders=self.dropped,
            owners=list(self.judge.news.values()),
            registry=config.registry,
            advisories=self._new_advisories(),
        )

    def _new_advisories(self) -> dict[NodeId, list[Advisory]]:
        """The advisories that were read and are new, or changed, by the nodes they are about."""
        found: dict[NodeId, list[Advisory]] = {}
        for node, advisories in self.advisories.items():
            known = self.known_advisories.get(node, {})
            before = [known.get((self.name, advisory.id)) for advisory in advisories]
            pairs = zip(advisories, before, strict=True)
            if any(old is None or new.is_newer_than(old) for new, old in pairs):
                found[node] = advisories
        return found

    def _config(self, last: LastVisit | None) -> TreeConfig:
        config = read_config(self.tree)
        if last is not None and last.registry != config.registry:
            raise RemoteProtocolError(
                f"{self.tree.place} is another registry than it was",
                hint=f"if that is meant: onex remote remove {self.name}, and add it again",
            )
        if config.serial < self.published:
            self._tell(
                f"it answers as of entry {config.serial} of its log, and you published with entry"
                f" {self.published}",
                "a cache between may be behind, or a backup was restored",
            )
        return config

    def _give_up(self, known: Iterable[str]) -> set[str]:
        """Drop the nodes that this remote does not supply any more."""
        given_up = set()
        for path in known:
            node = node_of_path(path)
            if node is not None and self.ownership.belongs_elsewhere(node.namespace):
                given_up.add(path)
                self.gone += self.remembered.places(path).values()
        self.dropped += sorted(given_up)
        return given_up

    def _changes(self, config: TreeConfig, serial: int) -> list[Change] | None:
        """What changed after an entry of the log; None if that cannot be said."""
        if config.serial < serial:
            self._tell(
                f"the registry went back from entry {serial} to {config.serial} of its log; what"
                " it had published is kept here",
                "ask those who run it whether they restored a backup",
            )
            return None
        if config.serial == serial:
            return []
        changes = self.tree.changes(serial)
        if not changes or changes[-1].serial < config.serial:
            self._tell(
                f"the feed of changes ends before entry {config.serial}, so there may be more",
                "it may be a copy that is not complete yet",
            )
        return changes

    def _outdated(self, known: set[str], changes: list[Change] | None) -> list[str]:
        """The known files that must be read again, and those that known names lead to."""
        nodes: set[str] = set()
        if changes is not None:
            nodes = {index_path(change.node) for change in changes if change.node is not None}
        # A node that is new may go by any name that was looked up.
        has_new = changes is None or bool(nodes - known)
        owned = {change.owners for change in changes or () if change.owners is not None}
        nodes |= set(map(owners_path, owned))
        nodes |= {path for path in known if self._is_below(path, owned)}
        found = []
        for path in sorted(known):
            is_current = (
                changes is not None and path not in nodes and self.remembered.is_current(path)
            )
            if not is_current or (has_new and name_of_path(path) is not None):
                found.append(path)
                continue
            listed = self.remembered.nodes_of(path)
            found += [p for node in listed for p in self._index_of(node) if p not in known]
        return found

    def _is_below(self, path: str, owned: Iterable[str]) -> bool:
        """Whether a file is about a node in one of some namespaces, whose owners changed."""
        node = node_of_path(path)
        return node is not None and any(covers(name, node.namespace) for name in owned)

    def _otherwise_signed(self, known: Iterable[str]) -> list[str]:
        """The known files that are signed in another state than they were read in."""
        found: list[str] = []
        if self.signed is None:
            return found
        for path in known:
            if name_of_path(path) is not None:
                continue
            state = self.signed.state_of(path)
            if state == self.remembered.signed_state(path):
                continue
            if self.signed.digest_of(path) != self.remembered.digest(path):
                found.append(path)
            elif path not in self.files:
                self.files[path] = self.remembered.checked_again(path, state)
        return found

    def _read(self, level: list[str], known: set[str], *, is_last: bool = False) -> None:
        """Read files of the index, and then those of the nodes that these lead to."""
        seen, count, size = set(level), 0, 0
        while level:
            remaining = self.deadline.remaining_seconds
            is_over = count > 0 and remaining < 1
            if is_over or count > MAXIMUM_FILES or size > MAXIMUM_BYTES:
                self._put_off(level)
                return
            count += PATHS_AT_ONCE
            some, level = level[:PATHS_AT_ONCE], level[PATHS_AT_ONCE:]
            self.tree.allow(remaining)
            answers = self.tree.read(some, MAXIMUM_INDEX_BYTES)
            for path, answer in zip(some, answers, strict=True):
                size += len(answer) if isinstance(answer, bytes) else 0
                if not is_last and self._has_moved_on(path, answer):
                    self.moved.append(path)
                    continue
                for found in self._take(path, answer):
                    is_owners = owned_of_path(found) is not None
                    if found not in seen and (is_owners or found not in known):
                        seen.add(found)
                        level.append(found)

    def _has_moved_on(self, path: str, answer: FileAnswer) -> bool:
        """Whether a file is another one than what is signed as far as is known."""
        if self.signed is None or isinstance(answer, SourceError) or name_of_path(path) is not None:
            return False
        try:
            self.signed.require(path, answer)
        except IndexSignatureError:
            return True
        return False

    def _put_off(self, level: Iterable[str]) -> None:
        """Leave files for the next visit."""
        for path in level:
            self.files[path] = self.remembered.read_again(path)
        self._tell(
            "there was more than one visit can read; the rest is read by the next one",
            "run the command again, or raise timeout of the remote",
        )

    def _take(self, path: str, answer: FileAnswer) -> list[str]:
        """Take a file of the index over; returns the paths of those that it leads to."""
        node = node_of_path(path)
        try:
            if isinstance(answer, SourceError):
                raise answer
            if self.signed is not None and name_of_path(path) is None:
                self.signed.require(path, answer)
            owned = owned_of_path(path)
            if owned is not None:
                self._take_owners(path, owned, answer)
                return []
            if node is None:
                return self._take_names(path, answer or b"")
            return self._take_node(path, node, answer)
        except SourceError as error:
            self.files[path] = self.remembered.read_again(path)
            self._tell(error.message, error.hint or "", code=error.code)
            return []

    def _take_names(self, path: str, content: bytes) -> list[str]:
        nodes = read_names(content)
        self.files[path] = record_of_names(path, content, nodes)
        found = [path for node in nodes for path in self._index_of(node)]
        self.listed.update(found)
        return found

    def _take_node(self, path: str, node: NodeId, content: bytes | None) -> list[str]:
        before: Mapping[str, str] = self.remembered.places(path)
        if content is None and path in self.listed:
            raise RemoteProtocolError(
                f"{node} is listed among names, and has no index file",
                hint="tell those who run the registry",
            )
        is_first_signed = self.signed is not None and not self.remembered.signed_state(path)
        held_to = {} if is_first_signed else before
        lines, has_newer, is_whole = self._lines(node, content or b"", held_to)
        places = {version: str(line.place) for version, line in lines.items()}
        vanished = before.keys() - places.keys()
        if is_first_signed:
            # What was taken on faith, before a root was pinned, is held to what is signed.
            self.gone += [place for place in before.values() if place not in places.values()]
            before, vanished = {}, set()
        if vanished and is_whole:
            self._tell(
                f"{node} was published in {min(vanished)} and other versions that are not listed"
                " any more; they are kept here",
                "ask those who run the registry; what is published never goes",
            )
        self.lines += lines.values()
        self.files[path] = record_of_node(
            path,
            content or b"",
            {**before, **places},
            has_newer=has_newer,
            is_whole=is_whole,
            signed=self._state_of(path),
        )
        owners = {line.owner for line in lines.values() if line.owner is not None}
        unseen = [owners_path(name) for name in sorted(owners) if not self.judge.knows(name)]
        return unseen + [path for line in _best(lines.values()) for path in self._needs(line)]

    def _take_owners(self, path: str, namespace: str, content: bytes | None) -> None:
        self.files[path] = record_of_owners(path, content or b"", self._state_of(path))
        try:
            self.judge.take_owners(content, namespace, self._prove_owners)
        except (OwnersRefusedError, LogForkError) as error:
            self.files[path] = self.remembered.read_again(path)
            place = Location(self.name)
            self.problems.append(
                Problem(error.code, Severity.WARNING, error.message, place, error.hint)
            )

    def _state_of(self, path: str) -> str:
        return "" if self.signed is None else self.signed.state_of(path)

    def _prove_owners(self, owners: NamespaceOwners) -> None:
        if self.log is not None:
            self.log.prove_owners(owners)

    def _findings(self) -> Iterator[Finding]:
        """What the lines that were read say, when all that speaks for them is known."""
        if self.log is not None:
            self.log.expect(line.released for line in self.lines)
        for line in self.lines:
            place = str(line.place)
            try:
                logged = None
                if self.log is not None:
                    logged = self.log.prove(line)
                evidence = self.judge.evidence(line, logged)
            except LogForkError as error:
                self._leave_out(line, error.message, error.hint or "", error.code)
                continue
            refusal = self.judge.refusal(line, evidence)
            if refusal is not None:
                version = line.metadata.node_version
                hint = "see onex policy check; change [policy.trust] to have it"
                self._leave_out(line, f"{version} {refusal}", hint, "TRU005")
                continue
            judged = f"{line}{evidence.level}{evidence.reason}{logged is None}"
            fingerprint = hashlib.sha256(judged.encode()).hexdigest()
            if self.memory.fingerprints.get(place) != fingerprint:
                record = NodeRecord.of(line.metadata, line.digest)
                seen = SeenFile(place, fingerprint, "node")
                yield Finding(seen, record, line.state, evidence)

    def _leave_out(self, line: IndexLine, message: str, hint: str, code: str) -> None:
        """Pass a version over, whose file is read again by the next visit."""
        path = index_path(line.metadata.node)
        self.files[path] = self.files[path]._replace(fingerprint=b"")
        severity = Severity.INFORMATION if code == PolicyRefusedError.code else Severity.WARNING
        self._tell(message, hint, severity, code)

    def _lines(
        self, node: NodeId, content: bytes, before: Mapping[str, str]
    ) -> tuple[dict[str, IndexLine], bool, bool]:
        """The lines that can be used, by version; whether there are newer ones; whether all can."""
        lines: dict[str, IndexLine] = {}
        newer, is_whole = 0, True
        for text in read_lines(content):
            try:
                advisory = parse_advisory(text, node)
                if advisory is not None:
                    self.advisories.setdefault(node, []).append(advisory)
                    continue
                line = IndexLine.parse(text, node)
                if line is None:
                    newer += 1
                    continue
                version = str(line.metadata.version)
                _require_unchanged(line, lines.get(version), before.get(version))
            except RemoteProtocolError as error:
                is_whole = False
                self._tell(error.message, error.hint or "")
                continue
            lines[version] = line
        if newer:
            self._tell(
                f"{newer} versions of {node} are described in a way too new for this onex",
                "install a newer onex",
                Severity.INFORMATION,
            )
        return lines, newer > 0, is_whole

    def _needs(self, line: IndexLine) -> Iterator[str]:
        for dependency in line.metadata.dependencies:
            yield from self._paths_of(dependency.reference)

    def _paths_of(self, reference: NodeRef) -> list[str]:
        node = reference.node
        if node is not None:
            return self._index_of(node)
        is_asked = fits_paths(reference.name) and not self.ownership.belongs_elsewhere(
            reference.name
        )
        return [names_path(reference.name)] if is_asked else []

    def _index_of(self, node: NodeId) -> list[str]:
        """The path of the index file of a node; none if this remote is not asked for it."""
        space = node.namespace
        is_asked = not (
            self.ownership.belongs_elsewhere(space) or self.ownership.may_belong_elsewhere(space)
        )
        return [index_path(node)] if is_asked and fits_paths(space) else []

    def _tell(
        self,
        message: str,
        hint: str,
        severity: Severity = Severity.WARNING,
        code: str = RemoteProtocolError.code,
    ) -> None:
        self.problems.append(Problem(code, severity, message, Location(self.name), hint))


def _require_unchanged(line: IndexLine, twin: IndexLine | None, known: str | None) -> None:
    """Refuse a second line of a version, and one that has other files than the version had."""
    version = line.metadata.node_version
    if twin is not None:
        raise RemoteProtocolError(
            f"{version} is listed twice", hint="tell those who run the registry"
        )
    if known is not None and known != str(line.place):
        raise RemoteProtocolError(
            f"{version} has other files now than it was published with; they are not taken",
            hint="ask those who run the registry; what is published never changes",
        )


def _best(lines: Iterable[IndexLine]) -> list[IndexLine]:
    """The version that most constraints choose, if there is one."""
    ranked = [
        (preference(found.version, found.lifecycle, yanked=line.state.yanked), found.version, line)
        for line in lines
        for found in (line.state.applied_to(line.metadata),)
    ]
    return [max(ranked, key=lambda item: item[:2])[2]] if ranked else []
