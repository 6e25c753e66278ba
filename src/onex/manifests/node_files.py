"""Which files make up a node, where its entry point lies among them, and what they hash to."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path

from onex.domain.digest import FileEntry, digest_of_files
from onex.domain.metadata import Entrypoint
from onex.manifests.manifest import MANIFEST_SUFFIX

MAXIMUM_NODE_FILES = 2_000
MAXIMUM_NODE_BYTES = 64 * 1024 * 1024
MAXIMUM_ANCESTORS = 12

CONTRACT_FILE = "contract.yaml"
CONTRACT_SUFFIXES = (MANIFEST_SUFFIX, CONTRACT_FILE)
CODE_TYPES = frozenset({"python", "cli", "contract"})

_NAME_OF = attrgetter("name")
_PRUNED_FOLDERS = frozenset({"__pycache__", "node_modules"})
# O_NONBLOCK: opening a pipe that took a file's place must not wait for a writer.
_READ_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0)


class NodeFilesError(Exception):
    """The files of a node cannot be collected; the message says why."""


def is_pruned(folder_name: str) -> bool:
    """Whether a folder never belongs to a node: hidden ones, caches, installed packages."""
    return folder_name.startswith(".") or folder_name in _PRUNED_FOLDERS


def is_owned_file(name: str) -> bool:
    """Whether a file of a node's folder belongs to the node: all but compiled code."""
    return not name.endswith(".pyc")


def is_text(name: str) -> bool:
    """Whether a name on disk is UTF-8; Python marks other bytes by lone surrogates."""
    return name.isascii() or not any("\ud800" <= character <= "\udfff" for character in name)


def locate_target(manifest: Path, entrypoint: Entrypoint) -> str | None:
    """The file an entry point names, by its path from the manifest's folder; None without one.

    The target is looked up from the manifest's folder and then from each folder
    above it, since manifests also write targets from the root of their project;
    what is found must lie in the manifest's folder.
    """
    folder = str(manifest.parent)
    if not entrypoint.is_file or not entrypoint.target:
        return _locate_module(folder, entrypoint.target)
    target = os.path.normpath(entrypoint.target)
    if _is_regular(folder, target):
        return target
    above = folder
    for _ in range(MAXIMUM_ANCESTORS):
        above, _, name = above.rpartition(os.sep)
        if not name:
            break
        start = folder[len(above) + 1 :] + os.sep
        if target.startswith(start) and _is_regular(folder, target[len(start) :]):
            return target[len(start) :]
    return None


def _locate_module(folder: str, module: str) -> str | None:
    """A dotted module that lies in the manifest's folder, found by the tail of its name."""
    parts = module.split(".")
    for start in range(len(parts)):
        candidate = "/".join(parts[start:]) + ".py"
        if all(parts[start:]) and _is_regular(folder, candidate):
            return candidate
    return None


def _is_regular(folder: str, name: str) -> bool:
    try:
        return stat.S_ISREG(os.lstat(f"{folder}{os.sep}{name}").st_mode)
    except (OSError, ValueError):
        return False


def collect_files(manifest: Path, entrypoint: Entrypoint) -> list[str]:
    """The files of the node that a manifest describes, by their paths from its folder.

    A node with code owns every file below its manifest, except hidden folders,
    caches, and folders that hold manifests of their own. Where several
    manifests share a folder, and for nodes without code, it is the manifest and
    the entry point's target alone.

    Raises:
        NodeFilesError: there are more files than a node may have.
        OSError: a folder cannot be listed.
    """
    if not manifest.name.endswith(CONTRACT_SUFFIXES):
        # A file that carries its metadata in a block is a node by itself.
        return [manifest.name]
    folder = str(manifest.parent)
    listing = _list(folder)
    siblings = [entry for entry in listing if entry.name.endswith(MANIFEST_SUFFIX)]
    if len(siblings) > 1 or entrypoint.type not in CODE_TYPES:
        target = locate_target(manifest, entrypoint)
        return [manifest.name] if target is None else sorted({manifest.name, target})
    suffixes = MANIFEST_SUFFIX if manifest.name.endswith(MANIFEST_SUFFIX) else CONTRACT_SUFFIXES
    files: list[str] = []
    for path in _walk(folder, listing, suffixes):
        files.append(path)
        if len(files) > MAXIMUM_NODE_FILES:
            raise NodeFilesError(
                f"the folder holds more than {MAXIMUM_NODE_FILES} files, all part of this node"
            )
    return files


def _list(folder: str) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        return sorted(entries, key=_NAME_OF)


def _walk(
    folder: str, listing: list[os.DirEntry[str]], suffixes: str | tuple[str, ...]
) -> Iterator[str]:
    pending: list[tuple[str, list[os.DirEntry[str]]]] = [("", listing)]
    while pending:
        prefix, listing = pending.pop()
        for entry in listing:
            name = entry.name
            if not is_text(name):
                raise NodeFilesError("the name of a file is not UTF-8")
            if entry.is_dir(follow_symlinks=False):
                if not is_pruned(name):
                    below = _list(f"{folder}/{prefix}{name}")
                    if not any(inner.name.endswith(suffixes) for inner in below):
                        pending.append((f"{prefix}{name}/", below))
            elif entry.is_file(follow_symlinks=False) and is_owned_file(name):
                yield f"{prefix}{name}"


@dataclass(frozen=True, slots=True)
class NodeFiles:
    """The files of a node: each with its hash, and the bytes that were hashed, by its path."""

    entries: tuple[FileEntry, ...]
    contents: Mapping[str, bytes]

    @property
    def digest(self) -> str:
        """The digest of the node."""
        return digest_of_files(self.entries)


def read_node_files(
    folder: Path, names: Iterable[str], known: Mapping[str, bytes] | None = None
) -> NodeFiles:
    """Read and hash the files of a node.

    Args:
        folder: the node's folder.
        names: the files, by their paths from it.
        known: files that were read already, so that what was parsed is what is hashed.

    Raises:
        NodeFilesError: the files together are larger than a node may be, or one
            is not a regular file any more.
        OSError: a file cannot be read.
    """
    contents: dict[str, bytes] = {}
    entries = []
    left = MAXIMUM_NODE_BYTES
    known = known or {}
    prefix = f"{folder}{os.sep}"
    for name in names:
        content = known[name] if name in known else _read(prefix + name, left)
        left -= len(content)
        contents[name] = content
        entries.append(FileEntry(name, len(content), hashlib.sha256(content).hexdigest()))
    return NodeFiles(tuple(entries), contents)


def _read(path: str, limit: int) -> bytes:
    descriptor = os.open(path, _READ_FLAGS)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise NodeFilesError(f"{os.path.basename(path)} is not a regular file")
        if status.st_size > limit:
            raise NodeFilesError(
                f"the node's files have more than {MAXIMUM_NODE_BYTES // 1024**2} MiB"
            )
        content = os.read(descriptor, status.st_size + 1)
        if len(content) != status.st_size:
            content = _read_growing(descriptor, content, limit)
        return content
    finally:
        os.close(descriptor)


def _read_growing(descriptor: int, content: bytes, limit: int) -> bytes:
    """The rest of a file whose size is not what its status said."""
    while len(content) <= limit:
        more = os.read(descriptor, 1024 * 1024)
        if not more:
            return content
        content += more
    raise NodeFilesError(f"the node's files have more than {MAXIMUM_NODE_BYTES // 1024**2} MiB")
