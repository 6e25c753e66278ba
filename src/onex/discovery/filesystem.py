"""FileSystemDiscovery: manifests below a folder, read again only when they may have changed."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from onex.discovery.source import Discovery, Finding
from onex.domain.errors import Location, PathNotReadableError, Problem, Severity
from onex.manifests.local_node import read_local_node
from onex.manifests.manifest import MANIFEST_SUFFIX
from onex.manifests.node_files import is_pruned, is_text
from onex.storage.backend import SeenFile

# File systems stamp changes with a clock that ticks every few milliseconds, so a file
# changed this shortly before it was read may change again under the same stamp.
_UNSETTLED_NANOSECONDS = 50_000_000


@dataclass(frozen=True, slots=True)
class _Stamp:
    name: str
    size_bytes: int
    modified_ns: int
    changed_ns: int
    inode: int


@dataclass(slots=True)
class _Folder:
    """One folder of the walk: its files, its manifests, and the folders below it."""

    path: str
    stamps: list[_Stamp] = field(default_factory=list)
    manifests: list[str] = field(default_factory=list)
    children: list[_Folder] = field(default_factory=list)


class FileSystemDiscovery:
    """Every ``*.onex.yaml`` below a folder. Symbolic links are not followed."""

    kind = "filesystem"

    def __init__(self, path: Path, name: str | None = None) -> None:
        self._root = path.absolute()
        self.name = name or str(self._root)

    def discover_nodes(self, known: Mapping[str, SeenFile]) -> Discovery:
        """List every manifest below the folder.

        Raises:
            PathNotReadableError: the folder is missing or cannot be listed.
        """
        if self._root.is_file():
            root = _Folder(str(self._root.parent))
            self._note_file(root, self._root.name, self._root.stat())
            problems: list[Problem] = []
        else:
            self._check_root()
            root, problems = self._walk()
        now = time.time_ns()
        findings = [
            self._finding(Path(folder.path, name), fingerprint, known)
            for folder in _folders(root)
            for name, fingerprint in self._fingerprints(folder, now)
        ]
        findings.sort(key=lambda finding: finding.file.path)
        unreadable = [str(p.location.path) for p in problems if p.code == "DSC001"]
        return Discovery(findings, problems, unreadable)

    def _check_root(self) -> None:
        try:
            with os.scandir(self._root):
                pass
        except OSError as error:
            raise PathNotReadableError(
                f"{self._root} cannot be scanned: {error.strerror}",
                hint="check the path and its permissions",
                location=Location(str(self._root)),
            ) from error

    def _walk(self) -> tuple[_Folder, list[Problem]]:
        root = _Folder(str(self._root))
        problems: list[Problem] = []
        pending = [root]
        while pending:
            folder = pending.pop()
            try:
                with os.scandir(folder.path) as entries:
                    for entry in entries:
                        if not is_text(entry.name):
                            problems.append(_unnameable(folder.path))
                        elif entry.is_dir(follow_symlinks=False):
                            if not is_pruned(entry.name):
                                folder.children.append(_Folder(entry.path))
                        elif entry.is_file(follow_symlinks=False):
                            self._note_file(folder, entry.name, entry.stat(follow_symlinks=False))
                        elif entry.name.endswith(MANIFEST_SUFFIX):
                            folder.manifests.append(entry.name)
            except OSError as error:
                problems.append(
                    Problem(
                        "DSC001",
                        Severity.WARNING,
                        f"the folder cannot be listed: {error.strerror}",
                        Location(folder.path),
                        "check its permissions; what was found there before is kept",
                    )
                )
            pending += folder.children
        return root, problems

    def _note_file(self, folder: _Folder, name: str, status: os.stat_result) -> None:
        folder.stamps.append(
            _Stamp(name, status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)
        )
        if name.endswith(MANIFEST_SUFFIX):
            folder.manifests.append(name)

    def _fingerprints(self, folder: _Folder, now: int) -> Iterator[tuple[str, str]]:
        """For each manifest of a folder, a hash over the stamps of all files it may cover."""
        if not folder.manifests:
            return
        digest = hashlib.blake2b(digest_size=16)
        newest = 0
        for prefix, covered in _covered(folder):
            for stamp in sorted(covered.stamps, key=lambda stamp: stamp.name):
                newest = max(newest, stamp.modified_ns, stamp.changed_ns)
                digest.update(
                    f"{prefix}{stamp.name}\0{stamp.size_bytes} {stamp.modified_ns}"
                    f" {stamp.changed_ns} {stamp.inode}\0".encode("utf-8", "surrogateescape")
                )
        is_settled = newest < now - _UNSETTLED_NANOSECONDS
        for name in folder.manifests:
            yield name, digest.hexdigest() if is_settled else ""

    def _finding(self, path: Path, fingerprint: str, known: Mapping[str, SeenFile]) -> Finding:
        before = known.get(str(path))
        if before is not None and fingerprint and before.fingerprint == fingerprint:
            return Finding(before, is_unchanged=True)
        return _read(path, fingerprint)


def _unnameable(folder: str) -> Problem:
    return Problem(
        "DSC007",
        Severity.WARNING,
        "a name in this folder is not UTF-8, so what it names is left out",
        Location(folder),
        "rename it",
    )


def _folders(root: _Folder) -> Iterator[_Folder]:
    pending = [root]
    while pending:
        folder = pending.pop()
        yield folder
        pending += folder.children


def _covered(folder: _Folder) -> Iterator[tuple[str, _Folder]]:
    """The folder and all below it that have no manifest of their own, with their path from it."""
    pending = [("", folder)]
    while pending:
        prefix, current = pending.pop()
        yield prefix, current
        pending += (
            (f"{prefix}{Path(child.path).name}/", child)
            for child in sorted(current.children, key=lambda child: child.path)
            if not child.manifests
        )


def _read(path: Path, fingerprint: str) -> Finding:
    reading = read_local_node(path)
    file = SeenFile(str(path), fingerprint, reading.outcome, reading.problems)
    return Finding(file, reading.node)
