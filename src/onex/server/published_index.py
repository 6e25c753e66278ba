"""PublishedIndex: the files of the tree as bytes, kept until the log says that they changed."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from onex.domain.access_control import Action, HiddenNamespaces
from onex.domain.archive_place import PUBLISHED_SOURCE
from onex.domain.errors import OnexError
from onex.domain.metadata import SourceId
from onex.domain.remote_errors import NotAuthenticatedError
from onex.registry import Registry
from onex.remote.local_tree import LocalTree, changed_paths, changes_of
from onex.remote.publication import Publications
from onex.remote.tree import CONFIG_PATH, MAXIMUM_TILE_BYTES, Change, name_of_path
from onex.server.gate import Caller, Gate, record_refusal
from onex.trust.index_layout import TIMESTAMP, TIMESTAMP_PATH

LOGGER = logging.getLogger("onex.server")
CHECK_SECONDS = 0.02
MAXIMUM_KEPT_BYTES = 64 * 1024 * 1024
MINIMUM_COMPRESSED_BYTES = 512

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class TreeFile:
    """A file of the tree: its bytes, its strong entity tag, and the same compressed.

    ``namespaces`` are those of the nodes in its lines, by which readers see some lines alone.
    """

    content: bytes
    etag: str
    compressed: bytes | None
    namespaces: tuple[str, ...] = ()

    @classmethod
    def of(cls, content: bytes, namespaces: tuple[str, ...] = ()) -> TreeFile:
        digest = hashlib.sha256(content).hexdigest()[:32]
        smaller = None
        if len(content) >= MINIMUM_COMPRESSED_BYTES:
            # The same bytes every time, so that the entity tag stays true.
            smaller = gzip.compress(content, 6, mtime=0)
        return cls(content, digest, smaller, namespaces)

    @property
    def size_bytes(self) -> int:
        return len(self.content) + len(self.compressed or b"")


class _Worker:
    """A thread with a registry of its own."""

    def __init__(self, open_registry: Callable[[], Registry], name: str) -> None:
        self._open = open_registry
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._registry: Registry | None = None

    async def run(self, work: Callable[[Registry], Result]) -> Result:
        """Have the thread do something, after all that was asked of it before."""

        def do() -> Result:
            if self._registry is None:
                self._registry = self._open()
            return work(self._registry)

        return await asyncio.get_running_loop().run_in_executor(self._thread, do)

    async def close(self) -> None:
        """Release the registry, in the thread that opened it."""

        def close() -> None:
            if self._registry is not None:
                self._registry.close()
                self._registry = None

        await asyncio.get_running_loop().run_in_executor(self._thread, close)
        self._thread.shutdown()


class PublishedIndex:
    """Answers from one registry, read in a thread of its own. For one event loop."""

    def __init__(self, open_registry: Callable[[], Registry], gate: Gate) -> None:
        self._gate = gate
        self._readers = _Worker(open_registry, "onex-index")
        # A writer that waits for the database must hold up no reader.
        self._writers = _Worker(open_registry, "onex-index-log")
        self._kept: OrderedDict[str, TreeFile] = OrderedDict()
        self._kept_bytes = 0
        self._serial = -1
        self._checked = 0.0
        self._checking: asyncio.Task[None] | None = None
        self._changes = self._seen_changes = 0
        self._names: set[str] = set()

    async def file(self, path: str, at_least: int) -> TreeFile | None:
        """A file of the tree at some serial from ``at_least`` on; None if it is not there."""
        await self.serial(at_least)
        if path == TIMESTAMP_PATH:
            return await self._writers.run(_sign)
        if path in self._kept:
            self._kept.move_to_end(path)
            return self._kept[path]
        serial = self._serial
        file = await self._read(lambda registry: self._make(registry, path))
        # What is cut off at the end of the log, and its head, change with every entry.
        is_lasting = not path.startswith("log/") or len(file.content if file else b"") == (
            MAXIMUM_TILE_BYTES
        )
        if file is not None and serial == self._serial and is_lasting:
            self._keep(path, file)
        return file

    def note_change(self) -> None:
        """Have the next reader look for changes, however short the last look was ago."""
        self._changes += 1

    async def serial(self, at_least: int = 0) -> int:
        """The serial of the last entry of the log, looked up again if it is too old."""
        is_old = time.monotonic() - self._checked > CHECK_SECONDS
        if is_old or at_least > self._serial or self._seen_changes != self._changes:
            await self._check()
            if at_least > self._serial or self._seen_changes != self._changes:
                # The look that was waited for may have begun before the change.
                await self._check()
        return self._serial

    async def changes(self, since: int, limit: int, hidden: HiddenNamespaces) -> list[Change]:
        """The entries of the log after a serial, without the names of what is hidden."""

        def read(registry: Registry) -> list[Change]:
            published = Publications(registry.storage, registry.remotes.published)
            events = registry.storage.events(since)
            return list(islice(changes_of(events, hidden, published.has), limit))

        return await self._read(read)

    async def namespaces_of_blob(self, sha256: str) -> list[str]:
        """The namespaces of the nodes that were published with an archive; none without one."""

        def read(registry: Registry) -> list[str]:
            found = registry.storage.nodes_from(SourceId(PUBLISHED_SOURCE), f"archive:{sha256}:")
            return [version.node.namespace for version in found.values()]

        return await self._read(read)

    async def caller(self, authorization: str | None, address: str) -> Caller:
        """Who sends these headers.

        Raises:
            NotAuthenticatedError: the token is good for nothing, which is recorded.
            TooManyRequestsError: that happened too often, or the token made too many requests.
        """
        if not authorization:
            return Caller(None, address)
        try:
            found = await self._read(
                lambda registry: self._gate.caller(
                    authorization, address, registry.storage, self._gate.tree
                )
            )
        except NotAuthenticatedError as error:
            stranger = Caller(None, address)
            self._gate.count_refusal(stranger)
            await self._record(stranger, "authenticate", "registry", error.message)
            raise
        uses = self._gate.take_uses()
        if uses:
            await self._writers.run(lambda r: r.storage.write(lambda w: w.note_token_uses(uses)))
        return found

    async def refused(self, caller: Caller, name: str, reason: str) -> None:
        """Record that a reader was refused, which was counted before."""
        await self._record(caller, Action.READ, name, reason)

    async def _record(self, caller: Caller, action: str, name: str, reason: str) -> None:
        await self._writers.run(
            lambda registry: record_refusal(registry.storage, caller, action, name, reason)
        )

    async def close(self) -> None:
        """Release the registries."""
        await self._readers.close()
        await self._writers.close()

    async def _check(self) -> None:
        """Learn what changed; those who ask at the same time wait for one answer."""
        if self._checking is None or self._checking.done():
            self._checking = asyncio.create_task(self._follow())
        # One who leaves must not end what the others wait for.
        await asyncio.shield(self._checking)

    async def _follow(self) -> None:
        checked, changes = time.monotonic(), self._changes
        serial, paths = await self._read(self._news)
        if paths is None:
            self._kept.clear()
            self._names.clear()
            self._kept_bytes = 0
        elif serial != self._serial:
            self._drop(CONFIG_PATH)
            if paths:
                for path in [*paths, *self._names]:
                    self._drop(path)
        self._serial, self._checked, self._seen_changes = serial, checked, changes

    def _news(self, registry: Registry) -> tuple[int, set[str] | None]:
        """The serial of the log, and the files that changed since the last look; None for all."""
        serial = registry.storage.serial()
        if serial == self._serial:
            return serial, set()
        if self._serial < 0:
            return serial, None
        events = registry.storage.events(self._serial)
        return serial, set(changed_paths(events))

    async def _read(self, question: Callable[[Registry], Result]) -> Result:
        return await self._readers.run(question)

    def _make(self, registry: Registry, path: str) -> TreeFile | None:
        store = registry.remotes.published
        tree = LocalTree(registry.storage, store, log=registry.log_tree, has_interface=True)
        found = tree.make(path)
        return None if found is None else TreeFile.of(found.content, found.namespaces)

    def _keep(self, path: str, file: TreeFile) -> None:
        self._drop(path)
        self._kept[path] = file
        self._kept_bytes += file.size_bytes
        if name_of_path(path) is not None:
            self._names.add(path)
        while self._kept_bytes > MAXIMUM_KEPT_BYTES:
            self._drop(next(iter(self._kept)))

    def _drop(self, path: str) -> None:
        file = self._kept.pop(path, None)
        if file is not None:
            self._kept_bytes -= file.size_bytes
            self._names.discard(path)


def _sign(registry: Registry) -> TreeFile | None:
    """The timestamp of the signed index, brought up to date if the key is at hand."""
    try:
        registry.index_signer.update()
    except OnexError:
        # Readers get what was signed last, until it expires; those who run this are told.
        LOGGER.exception("the index was not signed")
    content = registry.storage.signed_metadata(TIMESTAMP)
    return None if content is None else TreeFile.of(content.encode())
