"""Copying a tree to a folder: a mirror of a remote, or an export of a registry.

Files are replaced whole, and ``config.json`` last of all, so that a copy that breaks off is taken
up where it ended, and a reader of the folder sees what was there before or what is there now.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from onex.domain.errors import FolderNotEmptyError, SourceError
from onex.domain.reference import NodeId
from onex.domain.remote_errors import RemoteProtocolError
from onex.local_machine import locked, make_folder, remove_tree, replace_file
from onex.remote.archive_store import ArchiveStore
from onex.remote.deadline_calls import call_all
from onex.remote.folder_tree import FolderTree
from onex.remote.index_line import IndexLine
from onex.remote.published_owners import MAXIMUM_OWNERS_BYTES
from onex.remote.signed_copy import copy_signed, is_signed
from onex.remote.tree import (
    CHANGES_PATH,
    CONFIG_PATH,
    MAXIMUM_CHANGES_BYTES,
    MAXIMUM_CONFIG_BYTES,
    MAXIMUM_INDEX_BYTES,
    MAXIMUM_NAMES_BYTES,
    Change,
    FileAnswer,
    Progress,
    Tree,
    TreeConfig,
    blob_path,
    index_path,
    names_path,
    owners_path,
    read_changes,
    read_file,
    read_lines,
    read_names,
    write_changes,
    write_lines,
)
from onex.trust.index_layout import METADATA_FOLDER
from onex.trust.signed_index import SignedIndex

NODES_AT_ONCE = 500
WORKERS = 8
DRAFTS = ".drafts"
COPY_SECONDS = 86_400.0


@dataclass(frozen=True, slots=True)
class TreeCopy:
    """What was copied; ``serial`` is that of the copy now."""

    nodes: int
    archives: int
    archive_bytes: int
    serial: int


def copy_tree(
    source: Tree,
    folder: Path,
    told: Progress = lambda size: None,
    *,
    signed: SignedIndex | None = None,
    concurrent: bool = True,
) -> TreeCopy:
    """Bring a folder up to date with a tree.

    Args:
        source: what is copied.
        folder: an empty folder, or an earlier copy of the same registry.
        told: is told how many further bytes of archives arrived.
        signed: what is signed of the source, by which the copy is checked; None for nothing.
        concurrent: whether the source may be asked by several threads.

    Raises:
        FolderNotEmptyError: the folder has something else.
        IndexSignatureError: the source is not what its registry signed.
        RemoteUnavailableError, RemoteProtocolError: the source cannot be read.
        FileNotWrittenError, OSError: the folder cannot be written.
    """
    make_folder(folder)
    with locked(folder):
        return _copy(source, folder, told, signed, WORKERS if concurrent else 1)


def _copy(
    source: Tree, folder: Path, told: Progress, signed: SignedIndex | None, workers: int
) -> TreeCopy:
    content = read_file(source, CONFIG_PATH, MAXIMUM_CONFIG_BYTES)
    config = TreeConfig.parse(content or b"", source.place)
    before = _copied(folder)
    if before is not None and before.registry != config.registry:
        raise FolderNotEmptyError(
            f"{folder} is a copy of another registry", hint="name another folder"
        )
    if before is not None and before.serial > config.serial:
        raise RemoteProtocolError(
            f"{source.place} went back from entry {before.serial} of its log to {config.serial}",
            hint="ask those who run it; then copy it to an empty folder",
        )
    source.at_least(config.serial)
    if signed is not None:
        signed.refresh()
    since = 0 if before is None else before.serial
    changes = [c for c in source.changes(since) if c.serial <= config.serial]
    if since + len(changes) != config.serial:
        raise RemoteProtocolError(
            f"the feed of changes of {source.place} ends before entry {config.serial}",
            hint="it may be a copy that is not complete yet; try again later",
        )
    nodes = list(dict.fromkeys(c.node for c in changes if c.node is not None))
    archives = archive_bytes = 0
    make_folder(folder / DRAFTS)
    for start in range(0, len(nodes), NODES_AT_ONCE):
        some = nodes[start : start + NODES_AT_ONCE]
        count, size = _copy_nodes(source, folder, some, workers, told, signed)
        archives, archive_bytes = archives + count, archive_bytes + size
    if signed is None:
        # If they are signed, they are copied with what is signed of them.
        _copy_owners(source, folder, {c.owners for c in changes if c.owners is not None})
    every = [*_known_changes(folder, since), *changes]
    _write(folder, CHANGES_PATH, write_changes(every))
    if signed is not None:
        copy_signed(source, folder, signed, every, partial(_write, folder))
    # All that ``config.json`` promises must be on the disk before it is.
    if hasattr(os, "sync"):
        os.sync()
    replace_file(folder / CONFIG_PATH, TreeConfig(config.registry, config.serial).content())
    remove_tree(folder / DRAFTS)
    return TreeCopy(len(nodes), archives, archive_bytes, config.serial)


def _copy_owners(source: Tree, folder: Path, namespaces: Iterable[str]) -> None:
    """Copy the files of the owners of some namespaces."""
    paths = [owners_path(name) for name in sorted(namespaces)]
    for start in range(0, len(paths), NODES_AT_ONCE):
        some = paths[start : start + NODES_AT_ONCE]
        answers = source.read(some, MAXIMUM_OWNERS_BYTES)
        for path, content in zip(some, map(_content, answers), strict=True):
            if content is not None:
                _write(folder, path, content)


def _copy_nodes(
    source: Tree,
    folder: Path,
    nodes: Sequence[NodeId],
    workers: int,
    told: Progress,
    signed: SignedIndex | None,
) -> tuple[int, int]:
    """Copy some nodes, with their archives first; returns how many those were, and their bytes."""
    store = ArchiveStore(folder)
    paths = [index_path(node) for node in nodes]
    contents = list(map(_content, source.read(paths, MAXIMUM_INDEX_BYTES)))
    lines = [
        line
        for node, content in zip(nodes, contents, strict=True)
        for text in read_lines(content or b"")
        for line in (IndexLine.parse(text, node),)
        if line is not None
    ]
    missing = {
        line.place.sha256: line.place.size_bytes
        for line in lines
        if not store.has(line.place.sha256, line.place.size_bytes)
    }

    def copy_archive(sha256: str, size_bytes: int) -> None:
        _write(folder, blob_path(sha256), source.blob(sha256, size_bytes, told))

    call_all([partial(copy_archive, *item) for item in missing.items()], workers, COPY_SECONDS)
    for path, content in zip(paths, contents, strict=True):
        if content is not None and (signed is None or is_signed(signed, path, content)):
            _write(folder, path, content)
    _note_names(folder, lines)
    return len(missing), sum(missing.values())


def _content(answer: FileAnswer) -> bytes | None:
    """The content of a file, all of which are needed for a copy; raises what is wrong with it."""
    if isinstance(answer, SourceError):
        raise answer
    return answer


def _note_names(folder: Path, lines: Iterable[IndexLine]) -> None:
    """Add nodes to the files of their names, from which none is ever taken."""
    called: dict[str, set[NodeId]] = {}
    for line in lines:
        metadata = line.metadata
        for name in (metadata.name, metadata.node.namespace, metadata.uuid):
            if name is not None:
                called.setdefault(name, set()).add(metadata.node)
    paths = {names_path(name): nodes for name, nodes in called.items()}
    known = map(_content, FolderTree(folder).read(list(paths), MAXIMUM_NAMES_BYTES))
    for (path, nodes), content in zip(paths.items(), known, strict=True):
        before = read_names(content or b"")
        if not nodes <= set(before):
            listed = sorted({*before, *nodes}, key=lambda node: (node.namespace, node.type))
            _write(folder, path, write_lines(listed))


def _copied(folder: Path) -> TreeConfig | None:
    """What a folder is a copy of; None for an empty one."""
    if not folder.is_dir() or not any(folder.iterdir()):
        return None
    content = read_file(FolderTree(folder), CONFIG_PATH, MAXIMUM_CONFIG_BYTES)
    if content is not None:
        return TreeConfig.parse(content, str(folder))
    own = {"blobs", "index", "names", "owners", METADATA_FOLDER, "log", CHANGES_PATH, DRAFTS}
    others = {path.name for path in folder.iterdir()} - own
    if others:
        raise FolderNotEmptyError(
            f"{folder} holds other files, such as {min(others)}", hint="name an empty folder"
        )
    return None


def _known_changes(folder: Path, since: int) -> list[Change]:
    content = read_file(FolderTree(folder), CHANGES_PATH, MAXIMUM_CHANGES_BYTES)
    return [c for c in read_changes(content or b"", 0) if c.serial <= since]


def _write(folder: Path, path: str, content: bytes) -> None:
    """Put a file in place whole; whether it is on the disk, is seen to once for all."""
    target = folder / path
    make_folder(target.parent)
    draft = folder / DRAFTS / uuid.uuid4().hex
    try:
        draft.write_bytes(content)
        draft.replace(target)
    except OSError:
        draft.unlink(missing_ok=True)
        raise
