"""Which files make up a node, where its entry point lies among them, and what they hash to."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
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


def locate_target(manifest: Path, entrypoint: Entrypoint) -> Path | None:
    """The file an entry point names, or None where there is none below the manifest.

    The target is looked up from the manifest's folder and then from each folder
    above it, since manifests also write targets from the root of their project;
    what is found must lie in the manifest's folder.
    """
    if not entrypoint.is_file or not entrypoint.target:
        return _locate_module(manifest, entrypoint.target)
    folder = manifest.parent
    for base in (folder, *list(folder.parents)[:MAXIMUM_ANCESTORS]):
        candidate = base / entrypoint.target
        if candidate.is_relative_to(folder) and _is_regular(candidate):
            return candidate
    return None


def _locate_module(manifest: Path, module: str) -> Path | None:
    """A dotted module that lies in the manifest's folder, found by the tail of its name."""
    parts = module.split(".")
    for start in range(len(parts)):
        candidate = manifest.parent.joinpath(*parts[start:]).with_suffix(".py")
        if all(parts[start:]) and _is_regular(candidate):
            return candidate
    return None


def _is_regular(path: Path) -> bool:
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except (OSError, ValueError):
        return False


def collect_files(manifest: Path, entrypoint: Entrypoint) -> list[Path]:
    """The files of the node that a manifest describes.

    A node with code owns every file below its manifest, except hidden folders,
    caches, and folders that hold manifests of their own. Where several
    manifests share a folder, and for nodes without code, it is the manifest and
    the entry point's target alone.

    Raises:
        NodeFilesError: there are more files than a node may have.
    """
    if not manifest.name.endswith(CONTRACT_SUFFIXES):
        # A file that carries its metadata in a block is a node by itself.
        return [manifest]
    listing = _list(str(manifest.parent))
    siblings = [entry for entry in listing if entry.name.endswith(MANIFEST_SUFFIX)]
    if len(siblings) > 1 or entrypoint.type not in CODE_TYPES:
        target = locate_target(manifest, entrypoint)
        return [manifest] if target is None else sorted({manifest, target})
    suffixes = MANIFEST_SUFFIX if manifest.name.endswith(MANIFEST_SUFFIX) else CONTRACT_SUFFIXES
    files: list[Path] = []
    for path in _walk(listing, suffixes):
        files.append(Path(path))
        if len(files) > MAXIMUM_NODE_FILES:
            raise NodeFilesError(
                f"the folder holds more than {MAXIMUM_NODE_FILES} files, all part of this node"
            )
    return files


def _list(folder: str) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        return sorted(entries, key=_NAME_OF)


def _walk(listing: list[os.DirEntry[str]], suffixes: str | tuple[str, ...]) -> Iterator[str]:
    pending: list[str] = []
    while True:
        for entry in listing:
            if not is_text(entry.name):
                raise NodeFilesError("the name of a file is not UTF-8")
            if entry.is_dir(follow_symlinks=False):
                if not is_pruned(entry.name):
                    pending.append(entry.path)
            elif entry.is_file(follow_symlinks=False) and is_owned_file(entry.name):
                yield entry.path
        listing = []
        while pending and not listing:
            listing = _list(pending.pop())
            if any(entry.name.endswith(suffixes) for entry in listing):
                listing = []
        if not listing:
            return


def read_node_files(manifest: Path, files: Sequence[Path]) -> tuple[str, dict[str, bytes]]:
    """The digest of a node and the bytes that were hashed, by path from the node's folder.

    Raises:
        NodeFilesError: the files together are larger than a node may be, or one
            is not a regular file any more.
        OSError: a file cannot be read.
    """
    contents: dict[str, bytes] = {}
    entries = []
    total = 0
    for path in files:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise NodeFilesError(f"{path.name} is not a regular file")
            content = file.read(MAXIMUM_NODE_BYTES - total + 1)
        total += len(content)
        if total > MAXIMUM_NODE_BYTES:
            raise NodeFilesError(
                f"the node's files have more than {MAXIMUM_NODE_BYTES // 1024**2} MiB"
            )
        name = path.relative_to(manifest.parent).as_posix()
        contents[name] = content
        entries.append(FileEntry(name, len(content), hashlib.sha256(content).hexdigest()))
    return digest_of_files(entries), contents
