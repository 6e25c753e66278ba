"""Which files make up a node, where its entry point lies among them, and what they hash to."""

from __future__ import annotations

import csv
import errno
import hashlib
import os
import stat
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from operator import attrgetter
from pathlib import Path

from onex.domain.digest import FileEntry, digest_of_files
from onex.domain.metadata import Entrypoint
from onex.manifests.ignore_rules import IGNORE_FILES, NO_RULES, IgnoreRules, read_patterns
from onex.manifests.manifest import MANIFEST_SUFFIX

MAXIMUM_NODE_FILES = 2_000
MAXIMUM_NODE_BYTES = 64 * 1024 * 1024
MAXIMUM_ANCESTORS = 12

CONTRACT_FILE = "contract.yaml"
CONTRACT_SUFFIXES = (MANIFEST_SUFFIX, CONTRACT_FILE)
STATEMENT_SUFFIX = ".intoto.json"
"""Ends the name of the file with what was signed about a node, which is no part of it."""
CODE_TYPES = frozenset({"python", "cli", "contract"})

_NAME_OF = attrgetter("name")
_INSTALLED = ".dist-info"
_DROPPINGS = frozenset({".DS_Store", "Thumbs.db", "desktop.ini", ".directory", "4913"})
_DROPPING_SUFFIXES = (
    *(".pyc", ".pyo", "~", ".swp", ".swo", ".swx", ".kate-swp", ".bak", ".orig", ".rej", ".tmp"),
    *("___jb_tmp___", "___jb_old___"),
    STATEMENT_SUFFIX,
)
_DROPPING_PREFIXES = (".#", "._", ".~lock.", ".goutputstream-", ".nfs", ".fuse_hidden")
# Changes with the rules above, so that scans look again at what they remember.
OWNED_FILES_RULES = b"3:"
_PRUNED_FOLDERS = frozenset({"__pycache__", "node_modules"})
# O_NONBLOCK: opening a pipe that took a file's place must not wait for a writer.
_READ_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0)


class NodeFilesError(Exception):
    """The files of a node cannot be collected; the message says why."""


def is_pruned(folder_name: str) -> bool:
    """Whether a folder never belongs to a node: hidden ones, caches, installed packages."""
    return folder_name.startswith(".") or folder_name in _PRUNED_FOLDERS


# The same few names stand in many folders.
@lru_cache(maxsize=4096)
def is_owned_file(name: str) -> bool:
    """Whether a file of a node's folder belongs to the node.

    All do but compiled code, statements about it, and what editors and file browsers leave.
    """
    return not (
        name.endswith(_DROPPING_SUFFIXES)
        or name in _DROPPINGS
        or name.startswith(_DROPPING_PREFIXES)
        or (name.startswith("#") and name.endswith("#"))
    )


def tree_of_its_own(folder: str, names: Container[str]) -> str | None:
    """What makes a folder a tree of its own, which is not part of the one around it.

    ``names`` are the files in the folder. Submodules, whose ``.git`` leads into the
    repository around them, are part of it.
    """
    if "pyvenv.cfg" in names:
        return "a virtual environment"
    if "onex.toml" in names:
        return "a project of its own"
    if ".git" in names and not _is_submodule(f"{folder}/.git"):
        return "a work tree of its own"
    return None


def _is_submodule(file: str) -> bool:
    try:
        text = _read(file, 64 * 1024).decode("utf-8", "replace")
    except (OSError, NodeFilesError):
        return False
    return "/modules/" in text.replace("\\", "/")


def inside(path: Path) -> Path:
    """Where a link leads, if it stays in its folder; the path itself if it does not."""
    if not path.is_symlink():
        return path
    target = os.path.realpath(path)
    return Path(target) if _lies_in(target, os.path.realpath(path.parent)) else path


def _lies_in(path: str, folder: str) -> bool:
    return path.startswith(f"{folder}{os.sep}")


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


def target_among(names: Container[str], entrypoint: Entrypoint) -> str | None:
    """The file an entry point names, among files by their paths; None without one."""
    if entrypoint.is_file and entrypoint.target:
        target = os.path.normpath(entrypoint.target)
        return target if target in names else None
    return next((c for c in _module_files(entrypoint.target) if c in names), None)


def may_be_target(name: str, entrypoint: Entrypoint) -> bool:
    """Whether an entry point may name a file, from the manifest's folder or from one above it."""
    if entrypoint.is_file and entrypoint.target:
        target = os.path.normpath(entrypoint.target)
        return target == name or target.endswith(f"{os.sep}{name}")
    return name in _module_files(entrypoint.target)


def _module_files(module: str) -> Iterator[str]:
    """The files that a dotted module may be, by the tails of its name, the longest first."""
    parts = module.split(".")
    for start in range(len(parts)):
        if all(parts[start:]):
            yield "/".join(parts[start:]) + ".py"


def _locate_module(folder: str, module: str) -> str | None:
    """A dotted module that lies in the manifest's folder, found by the tail of its name."""
    return next((c for c in _module_files(module) if _is_regular(folder, c)), None)


def _is_regular(folder: str, name: str) -> bool:
    try:
        path = f"{folder}{os.sep}{name}"
        mode = os.lstat(path).st_mode
        if stat.S_ISLNK(mode):
            real = os.path.realpath(path)
            return _lies_in(real, os.path.realpath(folder)) and Path(real).is_file()
        return stat.S_ISREG(mode)
    except (OSError, ValueError):
        return False


@dataclass(frozen=True, slots=True)
class CollectedFiles:
    """The files of a node by their paths from its folder, and the links that are left out."""

    names: list[str]
    left_out: list[str] = field(default_factory=list)


def collect_files(
    manifest: Path, entrypoint: Entrypoint, rules: IgnoreRules = NO_RULES
) -> CollectedFiles:
    """The files of the node that a manifest describes.

    A node with code owns every file below its manifest, except what is ignored, hidden
    folders, caches, trees of their own, and folders that hold manifests of their own. A link
    that stays in the folder counts as the file it leads to. If several manifests share a
    folder, and for nodes without code, it is the manifest and the entry point's target alone.

    Args:
        manifest: its file.
        entrypoint: what starts the node.
        rules: the ignore rules in force in the manifest's folder.

    Raises:
        NodeFilesError: there are more files than a node may have.
        OSError: a folder cannot be listed.
    """
    if not manifest.name.endswith(CONTRACT_SUFFIXES):
        # A file that carries its metadata in a block is a node by itself.
        return CollectedFiles([manifest.name])
    folder = str(manifest.parent)
    listing = _list(folder)
    if any(entry.name.endswith(_INSTALLED) for entry in listing):
        return CollectedFiles(_installed_files(folder, listing, manifest, entrypoint))
    siblings = [entry for entry in listing if entry.name.endswith(MANIFEST_SUFFIX)]
    if len(siblings) > 1 or entrypoint.type not in CODE_TYPES:
        target = locate_target(manifest, entrypoint)
        return CollectedFiles(
            [manifest.name] if target is None else sorted({manifest.name, target})
        )
    suffixes = MANIFEST_SUFFIX if manifest.name.endswith(MANIFEST_SUFFIX) else CONTRACT_SUFFIXES
    collector = _Collector(folder, suffixes)
    collector.collect(listing, rules)
    if manifest.name not in collector.names:
        # An ignored manifest that was named by hand is part of its node all the same.
        collector.names.append(manifest.name)
    return CollectedFiles(collector.names, collector.left_out)


def _list(folder: str) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        return sorted(entries, key=_NAME_OF)


def _installed_files(
    folder: str, listing: list[os.DirEntry[str]], manifest: Path, entrypoint: Entrypoint
) -> list[str]:
    """The files of a node that is a module among those of other distributions.

    They are the manifest, the module, and what was recorded as their distribution's
    (``RECORD``, as the packaging specifications define it).
    """
    target = locate_target(manifest, entrypoint)
    names = {manifest.name} if target is None else {manifest.name, target}
    for entry in listing:
        if not entry.name.endswith(_INSTALLED):
            continue
        try:
            text = _read(f"{entry.path}/RECORD", MAXIMUM_NODE_BYTES).decode("utf-8", "replace")
        except (OSError, NodeFilesError):
            continue
        recorded = [row[0] for row in csv.reader(text.splitlines()) if row]
        if manifest.name in recorded:
            names |= {
                name
                for name in recorded
                if not name.startswith(("/", "..", f"{entry.name}/"))
                and is_owned_file(name.rpartition("/")[2])
                and _is_regular(folder, name)
            }
    return sorted(names)


class _Collector:
    """Walks the folder of a node."""

    def __init__(self, folder: str, suffixes: str | tuple[str, ...]) -> None:
        """``suffixes`` are those of manifests that make a folder below another node's."""
        self.names: list[str] = []
        self.left_out: list[str] = []
        self._folder = folder
        self._suffixes = suffixes
        self._real: str | None = None

    def collect(self, listing: list[os.DirEntry[str]], rules: IgnoreRules) -> None:
        pending = [("", listing, rules)]
        while pending:
            prefix, listing, rules = pending.pop()
            for entry in listing:
                name = entry.name
                if not is_text(name):
                    raise NodeFilesError("the name of a file is not UTF-8")
                if entry.is_symlink():
                    self._take_link(prefix, entry, rules)
                elif entry.is_dir(follow_symlinks=False):
                    if not is_pruned(name) and not self._ignores(
                        prefix, name, rules, is_folder=True
                    ):
                        below = self._enter(f"{prefix}{name}")
                        if below is not None:
                            pending.append(
                                (
                                    f"{prefix}{name}/",
                                    below,
                                    self._within(prefix, name, below, rules),
                                )
                            )
                elif entry.is_file(follow_symlinks=False):
                    self._take(prefix, name, rules)

    def _take(self, prefix: str, name: str, rules: IgnoreRules) -> None:
        if not is_owned_file(name) or self._ignores(prefix, name, rules, is_folder=False):
            return
        self.names.append(f"{prefix}{name}")
        if len(self.names) > MAXIMUM_NODE_FILES:
            raise NodeFilesError(
                f"the folder holds more than {MAXIMUM_NODE_FILES} files, all part of this node"
            )

    def _take_link(self, prefix: str, entry: os.DirEntry[str], rules: IgnoreRules) -> None:
        """Take a link for the file that it leads to; one to a folder brings that folder's files."""
        name = entry.name
        if (
            not is_owned_file(name)
            or is_pruned(name)
            or self._ignores(prefix, name, rules, is_folder=False)
        ):
            return
        if self._real is None:
            self._real = os.path.realpath(self._folder)
        target = os.path.realpath(entry.path)
        if not _lies_in(target, self._real) or not Path(target).exists():
            self.left_out.append(f"{prefix}{name}")
        elif Path(target).is_file():
            self._take(prefix, name, rules)
        elif Path(target).is_dir():
            self._take_linked_folder(f"{prefix}{name}", target)

    def _take_linked_folder(self, name: str, target: str) -> None:
        """The plain files of a folder under the name of a link to it; links in it are left out."""
        pending = [(f"{name}/", target)]
        while pending:
            prefix, folder = pending.pop()
            for entry in _list(folder):
                if entry.is_symlink() or not is_text(entry.name):
                    self.left_out.append(f"{prefix}{entry.name}")
                elif entry.is_dir():
                    if not is_pruned(entry.name):
                        pending.append((f"{prefix}{entry.name}/", entry.path))
                else:
                    self._take(prefix, entry.name, NO_RULES)

    def _enter(self, name: str) -> list[os.DirEntry[str]] | None:
        """What a folder holds; None if it is not part of this node."""
        path = f"{self._folder}/{name}"
        below = _list(path)
        if any(inner.name.endswith(self._suffixes) for inner in below):
            return None
        files = {inner.name for inner in below if not inner.is_dir(follow_symlinks=False)}
        return None if tree_of_its_own(path, files) else below

    def _within(
        self, prefix: str, name: str, below: list[os.DirEntry[str]], rules: IgnoreRules
    ) -> IgnoreRules:
        names = [inner.name for inner in below if inner.name in IGNORE_FILES]
        if not names:
            return rules
        path = f"{self._folder}/{prefix}{name}"
        return rules.within(path, read_patterns(path, names)[0])

    def _ignores(self, prefix: str, name: str, rules: IgnoreRules, *, is_folder: bool) -> bool:
        return bool(rules.levels) and rules.ignores(
            f"{self._folder}/{prefix}{name}", is_folder=is_folder
        )


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
        content = known[name] if name in known else _read_inside(prefix, name, left)
        left -= len(content)
        contents[name] = content
        entries.append(FileEntry(name, len(content), hashlib.sha256(content).hexdigest()))
    return NodeFiles(tuple(entries), contents)


def _read_inside(prefix: str, name: str, limit: int) -> bytes:
    """Read a file of a node; a link, or one behind a linked folder, must stay in the folder."""
    try:
        return _read(prefix + name, limit)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
    real = os.path.realpath(prefix + name)
    if not _lies_in(real, os.path.realpath(prefix)):
        raise NodeFilesError(f"the link {name} leads out of the folder")
    return _read(real, limit)


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
