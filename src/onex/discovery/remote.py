"""RemoteRegistryDiscovery: the nodes of a remote registry, as far as they are needed.

Specification: Remote Registry Discovery. A visit asks which nodes changed since the last one, in
one request, reads the index files of those that are known here again, and reads those of nodes
that are met for the first time, a level of their dependencies at once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from onex.configuration import SourceConfiguration, Sync
from onex.discovery.source import Deadline, Discovery, Finding, SourceSnapshot
from onex.domain.errors import Location, OnexError, Problem, Severity
from onex.domain.lifecycle import preference
from onex.domain.reference import NodeId, NodeRef
from onex.domain.remote_errors import (
    RemoteProtocolError,
    RemoteRefusedError,
    RemoteUnavailableError,
)
from onex.remote.index_line import IndexLine
from onex.remote.remotes import Remotes
from onex.remote.tree import (
    CONFIG_PATH,
    MAXIMUM_CONFIG_BYTES,
    MAXIMUM_INDEX_BYTES,
    Change,
    Tree,
    TreeConfig,
    index_path,
    name_of_path,
    names_path,
    node_of_path,
    read_lines,
    read_names,
)
from onex.storage.backend import SeenFile
from onex.storage.node_record import NodeRecord
from onex.storage.scan_memory import FolderSnapshot

PATHS_AT_ONCE = 500
_OFFLINE_CODES = (RemoteUnavailableError, RemoteRefusedError)


class RemoteRegistryDiscovery:
    """A remote as a source of nodes."""

    kind = "remote"

    def __init__(
        self,
        declared: SourceConfiguration,
        remotes: Remotes,
        wanted: Iterable[str] = (),
        is_elsewhere: Callable[[str], bool] = lambda namespace: False,
    ) -> None:
        """Prepare; nothing is asked yet.

        Args:
            declared: the remote.
            remotes: opens its tree, and remembers if it did not answer.
            wanted: names of nodes that are met, short or whole, beside those known already.
            is_elsewhere: whether a namespace is bound to another source, or supplied by one.
        """
        self._declared = declared
        self._remotes = remotes
        self._wanted = tuple(wanted)
        self._is_elsewhere = is_elsewhere

    @property
    def name(self) -> str:
        return self._declared.name

    def discover_nodes(self, memory: SourceSnapshot, deadline: Deadline) -> Discovery:
        """Say what changed; a remote that does not answer leaves what is known, with its age."""
        try:
            self._remotes.require_promising(self._declared)
            tree = self._remotes.tree(self._declared)
            tree.at_least(self._remotes.published_serial(self._declared))
            visit = _Visit(tree, memory, deadline, self._is_elsewhere)
            discovery = visit.discovery(self._wanted, self._declared.sync)
        except _OFFLINE_CODES as error:
            if isinstance(error, RemoteUnavailableError) and "passed over" not in error.message:
                self._remotes.failed(self._declared, error)
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
    (content,) = tree.read([CONFIG_PATH], MAXIMUM_CONFIG_BYTES)
    if content is None:
        raise RemoteProtocolError(
            f"{tree.place} is not a registry: it has no {CONFIG_PATH}",
            hint="check the URL or the folder",
        )
    return TreeConfig.parse(content, tree.place)


def known_since(memory: SourceSnapshot) -> str:
    """How old what is known of a remote is, in words."""
    seen = memory.folders.get(CONFIG_PATH)
    if seen is None:
        return "nothing is known of it yet"
    age = datetime.now(UTC) - datetime.fromisoformat(seen.folders)
    minutes = max(0, int(age.total_seconds() // 60))
    words = f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"
    return f"what is known of it is {words} old"


@dataclass(slots=True)
class _Visit:
    """One visit to a remote, and what it found."""

    tree: Tree
    memory: SourceSnapshot
    deadline: Deadline
    is_elsewhere: Callable[[str], bool]
    findings: list[Finding] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    folders: dict[str, FolderSnapshot] = field(default_factory=dict)

    def discovery(self, wanted: Iterable[str], sync: Sync) -> Discovery:
        config = read_config(self.tree)
        self.tree.at_least(config.serial)
        known = {*self.memory.folders, *self.memory.known_folders} - {CONFIG_PATH}
        changes = self._changes(config)
        level = self._outdated(known, changes)
        met = [path for name in wanted for path in self._paths_of(NodeRef.parse(name))]
        level += [path for path in met if path not in known]
        if sync is Sync.ALL:
            feed = self.tree.changes(0) if changes is None else changes
            level += [index_path(change.node) for change in feed if change.node is not None]
        self._read(level, known)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        self.folders[CONFIG_PATH] = FolderSnapshot(
            CONFIG_PATH, b"", b"", str(config.serial), now, config.registry.encode()
        )
        return Discovery(
            self.findings,
            self.gone,
            self.problems,
            is_partial=any(p.severity is not Severity.INFORMATION for p in self.problems),
            folders=list(self.folders.values()),
        )

    def _changes(self, config: TreeConfig) -> list[Change] | None:
        """What changed since the last visit; None if that cannot be said."""
        seen = self.memory.folders.get(CONFIG_PATH)
        if seen is None or seen.fingerprint != config.registry.encode():
            return None
        serial = int(seen.files)
        if config.serial < serial:
            self._tell(
                f"the registry went back from entry {serial} to {config.serial} of its log; what"
                " it had published is kept here",
                "ask those who run it whether they restored a backup",
            )
            return None
        return self.tree.changes(serial) if config.serial > serial else []

    def _outdated(self, known: set[str], changes: list[Change] | None) -> list[str]:
        if changes is None:
            return sorted(known)
        nodes = {index_path(change.node) for change in changes if change.node is not None}
        # A node that is new may go by any name that was looked up.
        has_new = bool(nodes - known)
        return sorted(p for p in known if p in nodes or (has_new and name_of_path(p) is not None))

    def _read(self, level: list[str], known: set[str]) -> None:
        """Read files of the index, and then those of the nodes that these lead to."""
        seen = set(level)
        while level:
            self.deadline.check()
            some, level = level[:PATHS_AT_ONCE], level[PATHS_AT_ONCE:]
            for path, content in zip(some, self.tree.read(some, MAXIMUM_INDEX_BYTES), strict=True):
                for found in self._take(path, content or b""):
                    if found not in seen and found not in known:
                        seen.add(found)
                        level.append(found)

    def _take(self, path: str, content: bytes) -> list[str]:
        """Take a file of the index over; returns the paths of those that it leads to."""
        node = node_of_path(path)
        try:
            if node is None:
                return self._take_names(path, content)
            return self._take_node(path, node, content)
        except RemoteProtocolError as error:
            self._tell(error.message, error.hint or "")
            return []

    def _take_names(self, path: str, content: bytes) -> list[str]:
        nodes = read_names(content)
        listed = "\n".join(map(str, nodes))
        self.folders[path] = FolderSnapshot(path, b"", b"", listed, "", _hash(content))
        return [index_path(node) for node in nodes if not self.is_elsewhere(node.namespace)]

    def _take_node(self, path: str, node: NodeId, content: bytes) -> list[str]:
        if self.is_elsewhere(node.namespace):
            return []
        lines: dict[str, IndexLine] = {}
        texts: dict[str, str] = {}
        skipped = 0
        for text in read_lines(content):
            line = IndexLine.parse(text, node)
            if line is None:
                skipped += 1
                continue
            place = str(line.place)
            if place in lines:
                raise RemoteProtocolError(
                    f"the index of {node} lists one archive twice",
                    hint="tell those who run the registry",
                )
            lines[place], texts[place] = line, hashlib.sha256(text.encode()).hexdigest()
        if skipped:
            self._tell(
                f"{skipped} versions of {node} are described in a way too new for this onex",
                "install a newer onex",
                Severity.INFORMATION,
            )
        for place, line in lines.items():
            if self.memory.fingerprints.get(place) != texts[place]:
                record = NodeRecord.of(line.metadata, line.digest)
                seen = SeenFile(place, texts[place], "node")
                self.findings.append(Finding(seen, record, line.state))
        before = self.memory.folders.get(path)
        if before is not None and before.files:
            self.gone += [place for place in before.files.split("\n") if place not in lines]
        listed = "\n".join(lines)
        self.folders[path] = FolderSnapshot(path, b"", b"", listed, "", _hash(content))
        return [path for line in _best(lines.values()) for path in self._needs(line)]

    def _needs(self, line: IndexLine) -> Iterator[str]:
        for dependency in line.metadata.dependencies:
            yield from self._paths_of(dependency.reference)

    def _paths_of(self, reference: NodeRef) -> list[str]:
        if self.is_elsewhere(reference.name):
            return []
        node = reference.node
        return [names_path(reference.name) if node is None else index_path(node)]

    def _tell(self, message: str, hint: str, severity: Severity = Severity.WARNING) -> None:
        self.problems.append(
            Problem(RemoteProtocolError.code, severity, message, Location(self.tree.place), hint)
        )


def _best(lines: Iterable[IndexLine]) -> list[IndexLine]:
    """The version that most constraints choose, if there is one."""
    ranked = [
        (preference(found.version, found.lifecycle, yanked=line.state.yanked), found.version, line)
        for line in lines
        for found in (line.state.applied_to(line.metadata),)
    ]
    return [max(ranked, key=lambda item: item[:2])[2]] if ranked else []


def _hash(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()
