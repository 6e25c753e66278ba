"""LocalTree: what was published to a registry, as the tree that others read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from onex.domain.access_control import NOTHING_HIDDEN, HiddenNamespaces
from onex.domain.advisory import ADVISORY_PUBLISHED
from onex.domain.event import ALLOWED, Event
from onex.domain.json_value import canonical_json
from onex.domain.log_leaf import RELEASED
from onex.domain.namespace_owners import OWNERS_CHANGED
from onex.domain.reference import NodeId, NodeVersion
from onex.domain.release_trust import SIGNED
from onex.domain.remote_errors import RemoteProtocolError
from onex.remote.archive_store import ArchiveStore
from onex.remote.index_line import advisory_line
from onex.remote.publication import Publications
from onex.remote.tree import (
    CONFIG_PATH,
    LOG_HEAD_PATH,
    Change,
    FileAnswer,
    Progress,
    TreeConfig,
    name_of_path,
    node_of_path,
    owned_of_path,
    tile_of_path,
    write_lines,
)
from onex.storage.backend import StorageBackend
from onex.trust.advisories import Advisories
from onex.trust.index_layout import LOG_HEAD, metadata_of_path
from onex.trust.index_signer import IndexSigner
from onex.trust.log_tree import LogTree
from onex.trust.owners import PublishedOwners


@dataclass(frozen=True, slots=True)
class TreeContent:
    """A file of the tree; ``namespaces`` are those of the nodes in its lines, a name each."""

    content: bytes
    namespaces: tuple[str, ...] = ()


class LocalTree:
    """Makes each file of the tree when it is asked for. One object serves one thread."""

    def __init__(
        self,
        storage: StorageBackend,
        store: ArchiveStore,
        *,
        hidden: HiddenNamespaces = NOTHING_HIDDEN,
        log: LogTree | None = None,
        has_interface: bool = False,
    ) -> None:
        """``hidden`` are the namespaces that are left out; ``log`` is the log's Merkle tree.

        What is signed of the tree is read as it was stored; ``signer`` brings it up to date.
        """
        self._log = log or LogTree(storage)
        self._storage = storage
        self._store = store
        self._published = Publications(storage, store)
        self._hidden = hidden
        self._has_interface = has_interface

    @property
    def place(self) -> str:
        return self._storage.place

    def allow(self, seconds: float) -> None:
        """Nothing is waited for."""

    def at_least(self, serial: int) -> None:
        """The registry itself is never behind."""

    def read(self, paths: Sequence[str], maximum_bytes: int) -> list[FileAnswer]:
        found = [self.make(path) for path in paths]
        return [None if file is None else file.content for file in found]

    def make(self, path: str) -> TreeContent | None:
        """One file of the tree; None if there is no such file."""
        if path == CONFIG_PATH:
            serial = self._storage.serial()
            config = TreeConfig(self._storage.identity, serial, self._has_interface)
            return TreeContent(config.content())
        signed = metadata_of_path(path)
        if signed is not None:
            content = self._storage.signed_metadata(*signed)
            return None if content is None else TreeContent(content.encode())
        if path.startswith("log/"):
            return self._of_log(path)
        owned = owned_of_path(path)
        if owned is not None:
            return self._owners(owned)
        node, name = node_of_path(path), name_of_path(path)
        if node is not None:
            lines = self._published.lines(node) if self._shows(node) else []
            if not lines:
                return None
            found = Advisories(self._storage).published(node)
            advisories = map(advisory_line, found)
            return TreeContent(write_lines([*lines, *advisories]), (node.namespace,))
        if name is not None:
            nodes = [
                found
                for found in self._storage.find_nodes(name)
                if self._shows(found) and self._published.has(found)
            ]
            spaces = tuple(found.namespace for found in nodes)
            return TreeContent(write_lines(nodes), spaces) if nodes else None
        return None

    def signer(self, key_file: Path) -> IndexSigner:
        """What signs this tree, with the key in a file."""

        def changed(since: int) -> Iterator[str]:
            return iter(dict.fromkeys(changed_paths(self._storage.events(since))))

        def content(path: str) -> bytes | None:
            found = self.make(path)
            return None if found is None else found.content

        return IndexSigner(self._storage, key_file, changed, content, self._log)

    def _of_log(self, path: str) -> TreeContent | None:
        if path == LOG_HEAD_PATH:
            head = self._storage.signed_metadata(LOG_HEAD)
            return None if head is None else TreeContent(head.encode())
        tile = tile_of_path(path)
        content = None if tile is None else self._log.current().tile(*tile)
        return None if content is None else TreeContent(content)

    def _owners(self, namespace: str) -> TreeContent | None:
        if self._hidden.hides(namespace):
            return None
        found = PublishedOwners(self._storage).of(namespace)
        if found is None:
            return None
        lines = (canonical_json(link.to_json()) for link in found.links)
        return TreeContent(write_lines(lines), (namespace,))

    def changes(self, since: int) -> list[Change]:
        return list(changes_of(self._storage.events(since), self._hidden, self._published.has))

    def blob(self, sha256: str, size_bytes: int, told: Progress) -> bytes:
        content = self._store.read(sha256)
        if content is None:
            raise RemoteProtocolError(
                f"the archive {sha256[:16]}... is not in {self._store.folder}, or is damaged",
                hint="restore it from a backup or a mirror",
            )
        told(len(content))
        return content

    def close(self) -> None:
        """The storage belongs to whoever opened it."""

    def _shows(self, node: NodeId) -> bool:
        return not self._hidden.hides(node.namespace)


def changed_paths(events: Iterable[Event]) -> Iterator[str]:
    """The files of the tree that entries of the log change, but for those of names."""
    for change in changes_of(events, NOTHING_HIDDEN):
        if change.path is not None:
            yield change.path


def changes_of(
    events: Iterable[Event],
    hidden: HiddenNamespaces,
    is_published: Callable[[NodeId], bool] = lambda node: True,
) -> Iterator[Change]:
    """Entries of the log as the feed tells them: those about published nodes by name."""
    published = cache(is_published)
    for event in events:
        if event.action == OWNERS_CHANGED and event.outcome == ALLOWED:
            shown = None if hidden.hides(event.object) else event.object
            yield Change(event.serial, action=event.action, time=event.time, owners=shown)
            continue
        if event.action == ADVISORY_PUBLISHED and event.outcome == ALLOWED:
            node = NodeId.parse(event.object)
            if hidden.hides(node.namespace) or not published(node):
                yield Change(event.serial)
            else:
                yield Change(event.serial, node, action=event.action, time=event.time)
            continue
        version = _version_of(event)
        if version is None or hidden.hides(version.node.namespace) or not published(version.node):
            yield Change(event.serial)
        else:
            number = str(version.version)
            yield Change(event.serial, version.node, number, event.action, event.time)


def _version_of(event: Event) -> NodeVersion | None:
    if event.outcome != ALLOWED or not event.action.startswith(("node.", RELEASED, SIGNED)):
        return None
    return NodeVersion.parse(event.object)
