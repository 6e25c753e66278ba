"""Walking a tree: every folder with its files, listed again only if it may have changed.

A folder whose own time stamps did not change has the same names in it as before,
so it is not listed again; but every file is asked for its status, since an edit in
place changes no folder. What is known of a folder is kept as a ``FolderSnapshot``.
"""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from stat import S_ISLNK

from onex.discovery.parallel import map_in_processes
from onex.discovery.source import Deadline
from onex.domain.errors import Location, Problem, Severity
from onex.manifests.ignore_rules import IGNORE_FILES, NO_RULES, IgnoreRules, read_patterns
from onex.manifests.manifest import MANIFEST_SUFFIX
from onex.manifests.node_files import is_owned_file, is_pruned, is_text, tree_of_its_own
from onex.storage.scan_memory import SEPARATOR, FolderSnapshot, join_names, split_names

# File systems stamp changes with a clock that ticks every few milliseconds, and some keep whole
# seconds alone; what changed this shortly before it was read may change again under the same
# stamp. A stamp in the future shows that two clocks disagree, and is not relied on either.
_UNSETTLED_NANOSECONDS = 50_000_000
_UNSETTLED_COARSE_NANOSECONDS = 2_100_000_000
_SECOND = 1_000_000_000

_MANIFEST_AMONG_OTHERS = f"{MANIFEST_SUFFIX}{SEPARATOR}"
MAXIMUM_PATH_BYTES = 2_000
LONGEST_NAME_BYTES = 255
_UNKNOWN = b""
_STAMP = struct.Struct("4q")
_IDENTITY_BYTES = 16
DIGEST_BYTES = 16
MINIMUM_SHARE = 1000


@dataclass(slots=True)
class Folder:
    """One folder of the walk, and what to remember of it."""

    memory: FolderSnapshot
    is_changed: bool = True
    children: list[Folder] = field(default_factory=list)

    @property
    def path(self) -> str:
        """Where the folder is."""
        return self.memory.path

    @property
    def rules(self) -> bytes:
        """Which ignore rules are in force."""
        return self.memory.rules

    @property
    def files(self) -> list[str]:
        """The names of its files."""
        return split_names(self.memory.files)

    @property
    def has_manifest(self) -> bool:
        """Whether the folder has a manifest of its own."""
        names = self.memory.files
        return names.endswith(MANIFEST_SUFFIX) or _MANIFEST_AMONG_OTHERS in names


@dataclass(slots=True)
class TreeWalk:
    """A walk below one folder; ``known`` is what the last one left.

    ``settings`` identifies how the source reads files: if it differs from the last
    time, every folder counts as changed. ``above`` are the ignore rules that folders above
    the root set.
    """

    root: str
    known: Mapping[str, FolderSnapshot]
    deadline: Deadline
    settings: bytes = b""
    above: IgnoreRules = NO_RULES
    folders: list[Folder] = field(default_factory=list)
    changed: list[FolderSnapshot] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    _seen: set[bytes] = field(default_factory=set)
    _rules: dict[bytes, IgnoreRules] = field(default_factory=dict)
    _status: dict[str, tuple[bytes, bytes]] = field(default_factory=dict)

    def run(self) -> None:
        """Walk; every folder that was reached stands in ``folders``, parents first."""
        self._rules[self.settings] = self.above
        self._status = _ask_known(self.known)
        pending: list[tuple[str, Folder | None]] = [(self.root, None)]
        while pending:
            if len(self.folders) % 256 == 0:
                self.deadline.check()
            path, parent = pending.pop()
            visited = self._visit(path, parent)
            if visited is None:
                continue
            folder, names = visited
            self.folders.append(folder)
            if parent is not None:
                parent.children.append(folder)
            rules = self._rules_of(folder, parent)
            for name in reversed(names):
                child = f"{path}/{name}" if path != "/" else f"/{name}"
                if not (rules.levels and rules.ignores(child, is_folder=True)):
                    pending.append((child, folder))

    def gone(self) -> list[str]:
        """The folders that were known and are not there any more, but for what is unreadable."""
        reached = {folder.path for folder in self.folders}
        return [path for path in self.known if path not in reached and not self.is_hidden(path)]

    def is_hidden(self, path: str) -> bool:
        """Whether a path lies in a folder that could not be read."""
        return any(path == u or path.startswith(f"{u}/") for u in self.unreadable)

    def _visit(self, path: str, parent: Folder | None) -> tuple[Folder, list[str]] | None:
        try:
            stamp, fingerprint = self._status.get(path, (_UNKNOWN, _UNKNOWN))
            if not stamp:
                stamp = _stamp(os.lstat(path) if parent is not None else Path(path).stat())
            identity = stamp[-_IDENTITY_BYTES:]
            if identity in self._seen:
                self.problems.append(_loop(path))
                return None
            if any(identity[-8:]):
                self._seen.add(identity)
            memory = self.known.get(path)
            if memory is not None and memory.stamp == stamp:
                found = self._check(memory, fingerprint, parent)
                if found is not None:
                    return found
            return self._list(path, stamp, parent)
        except OSError as error:
            self.problems.append(_unreadable(path, error))
            self.unreadable.append(path)
            return None

    def _check(
        self,
        memory: FolderSnapshot,
        fingerprint: bytes,
        parent: Folder | None,
    ) -> tuple[Folder, list[str]] | None:
        """A folder whose names are known; None if they turn out to be others."""
        files, folders = split_names(memory.files), split_names(memory.folders)
        rules = parent.rules if parent is not None else self.settings
        if not fingerprint:
            try:
                fingerprint, rules = _fingerprint(memory.path, files, rules)
            except FileNotFoundError:
                return None
        is_same = fingerprint == memory.fingerprint != _UNKNOWN and rules == memory.rules
        if not is_same:
            memory = memory._replace(fingerprint=fingerprint, rules=rules)
            self.changed.append(memory)
        return Folder(memory, not is_same), folders

    def _list(
        self,
        path: str,
        stamp: bytes,
        parent: Folder | None,
    ) -> tuple[Folder, list[str]]:
        files: list[str] = []
        folders: list[str] = []
        with os.scandir(path) as entries:
            for entry in entries:
                name = entry.name
                if not is_text(name):
                    self.problems.append(_unnameable(path))
                    stamp = _UNKNOWN
                elif entry.is_dir(follow_symlinks=False):
                    if not is_pruned(name):
                        if _is_too_long(entry.path):
                            self.problems.append(_too_long(path))
                            stamp = _UNKNOWN
                        else:
                            folders.append(name)
                elif is_owned_file(name):
                    files.append(name)
        kind = None if parent is None else tree_of_its_own(path, files)
        if kind is not None:
            self.problems.append(_not_entered(path, kind))
            files, folders = [], []
        files.sort()
        folders.sort()
        above = parent.rules if parent is not None else self.settings
        fingerprint, rules = _fingerprint(path, files, above)
        if stamp and not _is_settled(*_STAMP.unpack(stamp)[:2]):
            stamp = _UNKNOWN
        memory = FolderSnapshot(
            path, stamp, rules, join_names(files), join_names(folders), fingerprint
        )
        self.changed.append(memory)
        return Folder(memory), folders

    def _rules_of(self, folder: Folder, parent: Folder | None) -> IgnoreRules:
        """The rules in force in a folder; its ignore files are read once for each walk."""
        rules = self._rules.get(folder.rules)
        if rules is None:
            above = self._rules[parent.rules if parent is not None else self.settings]
            patterns, problems = read_patterns(folder.path, folder.files)
            rules = self._rules[folder.rules] = above.within(folder.path, patterns)
            self.problems += problems
        return rules

    def is_ignored(self, folder: Folder, name: str) -> bool:
        """Whether a file of a folder is left out of discovery."""
        rules = self._rules[folder.rules]
        return bool(rules.levels) and rules.ignores(f"{folder.path}/{name}", is_folder=False)

    def rules_in(self, folder: Folder) -> IgnoreRules:
        """The ignore rules in force in a folder of the walk."""
        return self._rules[folder.rules]


def covered(folder: Folder) -> Iterator[Folder]:
    """The folder and all below it that belong to its node, having no manifest of their own."""
    pending = [folder]
    while pending:
        current = pending.pop()
        yield current
        pending += [child for child in reversed(current.children) if not child.has_manifest]


def all_below(folder: Folder) -> Iterator[Folder]:
    """The folder and all below it, those of other nodes too."""
    pending = [folder]
    while pending:
        current = pending.pop()
        yield current
        pending += reversed(current.children)


def _ask_known(known: Mapping[str, FolderSnapshot]) -> dict[str, tuple[bytes, bytes]]:
    """The stamp and fingerprint of known folders, asked on all processors at once.

    Nothing is said of folders that are gone or unsettled, and of those with ignore
    files; nor of any where there are too few to pay off.
    """
    folders = list(known.values())
    if len(folders) < 2 * MINIMUM_SHARE:
        return {}
    answers = b"".join(map_in_processes(folders, _ask_share, MINIMUM_SHARE))
    size = _STAMP.size + DIGEST_BYTES
    return {
        folder.path: (
            answers[start : start + _STAMP.size],
            answers[start + _STAMP.size : start + size],
        )
        for folder, start in zip(folders, range(0, len(answers), size), strict=True)
        if any(answers[start : start + size])
    }


def _ask_share(folders: Sequence[FolderSnapshot]) -> bytes:
    """For each folder its stamp and fingerprint, zeros if they cannot be known."""
    nothing = bytes(_STAMP.size + DIGEST_BYTES)
    answers: list[bytes] = []
    for folder in folders:
        files = split_names(folder.files)
        try:
            stamp = _stamp(os.lstat(folder.path))
            fingerprint, rules = _fingerprint(folder.path, files, _UNKNOWN)
        except OSError:
            answers.append(nothing)
        else:
            is_sure = fingerprint and rules == _UNKNOWN
            answers.append(stamp + fingerprint if is_sure else nothing)
    return b"".join(answers)


def _stamp(status: os.stat_result) -> bytes:
    return _STAMP.pack(status.st_mtime_ns, status.st_ctime_ns, status.st_dev, status.st_ino)


def _fingerprint(path: str, files: list[str], rules: bytes) -> tuple[bytes, bytes]:
    """A hash over the status of the files, empty while they are unsettled; and the rules' key.

    The key of the rules is that of the folder above, as given, unless ignore files stand here.
    """
    prefix = f"{path}/"
    lstat = os.lstat
    values: list[int] = []
    newest = 0
    for name in files:
        status = lstat(prefix + name)
        changed, modified = status.st_ctime_ns, status.st_mtime_ns
        values += (changed, modified, status.st_size, status.st_ino)
        newest = max(newest, changed, modified)
        if S_ISLNK(status.st_mode):
            values += _status_behind(prefix + name)
        if name in IGNORE_FILES:
            rules = blake2b(rules + os.fsencode(f"{path}/{name}") + _packed(values[-4:])).digest()
    digest = blake2b("\0".join(files).encode(), digest_size=DIGEST_BYTES)
    digest.update(_packed(values))
    return digest.digest() if not files or _is_settled(newest, newest) else _UNKNOWN, rules


def _status_behind(link: str) -> tuple[int, ...]:
    """The status of what a link leads to, nothing if it leads nowhere."""
    try:
        status = Path(link).stat()
    except (OSError, ValueError):
        return ()
    return (status.st_ctime_ns, status.st_mtime_ns, status.st_size, status.st_ino)


def _packed(values: list[int]) -> bytes:
    return struct.pack(f"{len(values)}q", *values)


def _is_settled(modified_ns: int, changed_ns: int) -> bool:
    newest = max(modified_ns, changed_ns)
    age = time.time_ns() - newest
    return age > (_UNSETTLED_NANOSECONDS if newest % _SECOND else _UNSETTLED_COARSE_NANOSECONDS)


def _loop(path: str) -> Problem:
    return Problem(
        "DSC009",
        Severity.WARNING,
        "this folder is another one of the tree, mounted again; it is walked once",
        Location(path),
        "leave the second mount out with .onexignore",
    )


def _not_entered(path: str, kind: str) -> Problem:
    return Problem(
        "DSC017",
        Severity.INFORMATION,
        f"this folder is {kind}, so it is not entered",
        Location(path),
        "declare it as a source of its own if its nodes are wanted",
    )


def _unreadable(path: str, error: OSError) -> Problem:
    return Problem(
        "DSC001",
        Severity.WARNING,
        f"the folder cannot be listed: {error.strerror}",
        Location(path),
        "check its permissions; what was found there before is kept",
    )


def _is_too_long(path: str) -> bool:
    """Whether the files of a folder may have paths that no index of a database can hold."""
    longest = MAXIMUM_PATH_BYTES - LONGEST_NAME_BYTES
    return len(path) * 4 > longest and len(os.fsencode(path)) > longest


def _too_long(folder: str) -> Problem:
    return Problem(
        "DSC001",
        Severity.WARNING,
        f"the path of a folder in it is longer than {MAXIMUM_PATH_BYTES} bytes, so it is left out",
        Location(folder),
        "move it, or shorten the names of the folders around it",
    )


def _unnameable(folder: str) -> Problem:
    return Problem(
        "DSC007",
        Severity.WARNING,
        "a name in this folder is not UTF-8, so what it names is left out",
        Location(folder),
        "rename it",
    )
