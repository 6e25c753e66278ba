"""ArchivedFiles: brings the files of nodes that have no folder on this machine.

An archive is taken from the user's store, or else from the remote that offers it, and proved: the
archive against the index by its digest, its files against the node's digest, and the manifest
among them against what the index said of it, so that no index can make a node look tamer than it
is.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from onex.domain.archive_place import ArchivePlace
from onex.domain.errors import DocumentError, NodeLoadError
from onex.domain.metadata import Origin, RegisteredNode
from onex.domain.remote_errors import ArchiveRefusedError, RemoteUnavailableError
from onex.manifests.node_files import NodeFiles, NodeFilesError, read_node_files
from onex.remote.archive import unpack
from onex.remote.archive_store import ArchiveStore
from onex.remote.archived_node import files_of, read_files
from onex.remote.deadline_calls import call_all
from onex.remote.tree import Progress, Tree

WORKERS = 8
FETCH_SECONDS = 1800.0


class ArchivedFiles:
    """The files of archived nodes."""

    def __init__(self, store: ArchiveStore, tree_of: Callable[[str], Tree | None]) -> None:
        """``tree_of`` gives the tree of a source by its name, None if it is no remote."""
        self._store = store
        self._tree_of = tree_of

    def files_of(self, origin: Origin, node: RegisteredNode, unpacked: Path) -> NodeFiles:
        """The files of a node that an origin offers in an archive.

        Those that were unpacked to a folder before are as good, if they are proved as well.

        Raises:
            NodeLoadError: the archive is not here, and cannot be fetched.
            ArchiveRefusedError: it is not what the index says.
        """
        place = ArchivePlace.parse(origin.path)
        if place is None:
            raise NodeLoadError(f"{origin.path} is no archive", hint="run onex scan")
        files = _unpacked(unpacked, node)
        if files is None:
            archive = self._store.read(place.sha256)
            if archive is None:
                archive = self._fetch(origin, place, lambda count: None)
            files = _files_in(archive, place, node)
        _prove(files, place.manifest, node)
        return files

    def fetch(
        self,
        nodes: Sequence[RegisteredNode],
        is_unpacked: Callable[[RegisteredNode], bool] = lambda node: False,
        told: Progress = lambda size: None,
    ) -> int:
        """Fetch the archives of nodes that are not here yet, several at once.

        Args:
            nodes: those that lie in folders are passed over.
            is_unpacked: whether the files of a node are here without their archive.
            told: is told how many further bytes arrived.

        Returns:
            how many were fetched.

        Raises as ``files_of``.
        """
        missing: dict[str, tuple[Origin, ArchivePlace]] = {}
        for node in nodes:
            offered = self._offer(node)
            if offered is None or is_unpacked(node):
                continue
            origin, place = offered
            if not self._store.has(place.sha256, place.size_bytes):
                missing[place.sha256] = (origin, place)
        if not missing:
            return 0
        lock = threading.Lock()

        def count(size: int) -> None:
            with lock:
                told(size)

        calls = [partial(self._fetch, o, place, count) for o, place in missing.values()]
        try:
            call_all(calls, WORKERS, FETCH_SECONDS)
        except TimeoutError as error:
            raise RemoteUnavailableError(
                f"not all archives arrived in {FETCH_SECONDS:g} seconds",
                hint="run onex fetch again; what arrived is kept",
            ) from error
        return len(missing)

    def prove(self, node: RegisteredNode) -> None:
        """Check the archive of a node, if it has no folder here; raises as ``files_of``."""
        offered = self._offer(node)
        if offered is not None:
            self.files_of(offered[0], node, Path())

    def _offer(self, node: RegisteredNode) -> tuple[Origin, ArchivePlace] | None:
        """A remote of ours that offers a node, and its archive; None if it lies in a folder."""
        found: tuple[Origin, ArchivePlace] | None = None
        for origin in node.origins:
            place = ArchivePlace.parse(origin.path)
            if place is None:
                return None
            if found is None and self._tree_of(origin.source) is not None:
                found = origin, place
        return found

    def _fetch(self, origin: Origin, place: ArchivePlace, told: Progress) -> bytes:
        tree = self._tree_of(origin.source)
        if tree is None:
            raise NodeLoadError(
                f"the archive is not on this machine, and {origin.source} is no remote",
                hint="declare the remote again: onex remote add",
            )
        archive = tree.blob(place.sha256, place.size_bytes, told)
        self._store.put(place.sha256, archive)
        return archive


def _unpacked(folder: Path, node: RegisteredNode) -> NodeFiles | None:
    """The files that were unpacked to a folder, if they are all there and unchanged."""
    try:
        names = sorted(
            path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
        )
        files = read_node_files(folder, names)
    except (OSError, NodeFilesError):
        return None
    return files if files.digest == node.digest else None


def _files_in(archive: bytes, place: ArchivePlace, node: RegisteredNode) -> NodeFiles:
    identity = node.metadata.node_version
    if len(archive) != place.size_bytes:
        raise ArchiveRefusedError(
            f"the archive of {identity} has another size than its index says",
            hint="tell those who run the registry",
        )
    files = files_of(unpack(archive))
    if files.digest != node.digest:
        raise ArchiveRefusedError(
            f"the archive of {identity} holds other files than its index says",
            hint="do not use it; tell those who run the registry",
        )
    return files


def _prove(files: NodeFiles, manifest: str, node: RegisteredNode) -> None:
    """Refuse files whose manifest says something else than the registry does."""
    identity = node.metadata.node_version
    try:
        found = read_files(files, manifest)
    except DocumentError as error:
        raise ArchiveRefusedError(
            f"the manifest in the archive of {identity} cannot be used: {error.message}",
            hint="tell those who run the registry",
        ) from error
    said, written = _facts(node), found.metadata.to_json()
    differing = sorted(name for name, value in said.items() if written[name] != value)
    if differing:
        raise ArchiveRefusedError(
            f"the index says something else of {identity} than its own manifest:"
            f" {', '.join(differing)}",
            hint="do not use it; tell those who run the registry",
            details={"members": differing},
        )


def _facts(node: RegisteredNode) -> Mapping[str, object]:
    """What the registry holds of a node's manifest, without what is decided later."""
    later = ("lifecycle", "deprecated_by", "archived_reason")
    return {k: v for k, v in node.metadata.to_json().items() if k not in later}
