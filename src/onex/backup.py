"""The whole of a registry in one folder, and back: its log, its history, its files and its keys.

First the history, then the registry, then the files: what one of them names was stored before it
in those that follow, so it is there, whatever others add meanwhile.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from onex.configuration import PROJECT_FILE, Configuration
from onex.domain.digest import DIGEST_PREFIX
from onex.domain.errors import FileNotWrittenError, StorageCopyError, UsageError
from onex.domain.json_value import JsonObject, JsonValue, as_object
from onex.history.copying import copy_history, require_no_runs
from onex.history.kept_measurements import HISTORY_FILE
from onex.history.opening import open_file_journal, open_journal
from onex.local_machine import open_below, remove_tree
from onex.storage import copying
from onex.storage.backend import StorageBackend
from onex.storage.opening import DATABASE_FILE, SQLITE_SCHEME

FORMAT = 1
INDEX_FILE = "backup.json"
FILES_FOLDER = "files"

KEPT_FOLDERS = ("published", "artifacts", "shared-artifacts", "trust")
"""What belongs to a registry in the folder of its state, beside the databases. All else is made
anew: unpacked nodes, caches, working folders."""

CHUNK_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class BackupReport:
    """What a backup holds.

    ``configuration`` is the project's ``onex.toml`` in it, ``left_out`` the shared store whose
    artifacts it does not hold; None if there is none.
    """

    events: int
    nodes: int
    runs: int
    files: int
    size_bytes: int
    configuration: Path | None
    left_out: str | None = None


def back_up(storage: StorageBackend, found: Configuration, folder: Path) -> BackupReport:
    """Write the whole of a registry to a new folder, which is there whole or not at all.

    Others may use the registry meanwhile, except that artifacts that ``onex runs prune`` removes
    meanwhile may be missing.

    Args:
        storage: the registry's.
        found: the configuration of the registry.
        folder: must not be there yet; only its owner may read it, since it has keys.

    Raises:
        UsageError: the folder is there already.
        FileNotWrittenError: a file could not be read or written.
        StorageError: a database could not be read or written, or its copy differs.
    """
    if os.path.lexists(folder):
        raise UsageError(f"{folder} is there already", hint="name a new folder")
    draft = folder.absolute().with_name(f".{folder.name}.{uuid.uuid4().hex}")
    try:
        with _files_told(folder):
            draft.mkdir(mode=0o700)
        with (
            closing(open_journal(found.storage, found.home)) as source,
            closing(open_file_journal(draft / HISTORY_FILE)) as target,
        ):
            runs = copy_history(source, target)
        registry = copying.copy_to(storage, _sqlite_url(draft / DATABASE_FILE), found.home)
        with _files_told(folder):
            for name in KEPT_FOLDERS:
                for inner in _files_below(found.home, PurePosixPath(name)):
                    _copy(found.home, draft / FILES_FOLDER, inner)
            configuration = _copy_configuration(found, draft)
            index = _index_of(draft)
            body = {"format": FORMAT, "made_at": datetime.now(UTC).isoformat(), "files": index}
            _write(draft / INDEX_FILE, json.dumps(body, indent=1).encode())
            for place in (*(p for p in draft.rglob("*") if p.is_dir()), draft):
                _sync_folder(place)
            draft.rename(folder)
            _sync_folder(folder.absolute().parent)
    finally:
        remove_tree(draft)
    return BackupReport(
        registry.events,
        registry.nodes,
        runs,
        *_size_of(index),
        folder / PROJECT_FILE if configuration else None,
        found.artifacts,
    )


def restore(storage: StorageBackend, found: Configuration, folder: Path) -> BackupReport:
    """Take the whole of a registry over from a backup into an empty one.

    The backup is only read. The configuration in it is left to the user, since it may name the
    databases of another machine.

    Args:
        storage: the registry's, which must be empty.
        found: the configuration of the registry.
        folder: what ``back_up`` wrote.

    Raises:
        StorageCopyError: it is no backup, it is damaged, or the registry is not empty.
        FileNotWrittenError: a file could not be written.
        StorageError: a database could not be read or written, or differs afterwards.
    """
    index = _checked_index(folder)
    if storage.serial():
        raise StorageCopyError(
            "the registry is not empty", hint="restore into one that has nothing yet"
        )
    with closing(open_journal(found.storage, found.home)) as journal:
        require_no_runs(journal)
    inner_files = [
        PurePosixPath(name).relative_to(FILES_FOLDER)
        for name in index
        if PurePosixPath(name).parts[0] == FILES_FOLDER
    ]
    files = folder / FILES_FOLDER
    with _files_told(found.home):
        for inner in inner_files:
            there = found.home / inner
            if there.exists() and _digest_and_size(found.home, inner) != _digest_and_size(
                files, inner
            ):
                raise StorageCopyError(
                    f"{there} is there already, and is another", hint="restore into an empty folder"
                )
        for inner in inner_files:
            if not (found.home / inner).exists():
                _copy(files, found.home, inner)
        found.home.mkdir(parents=True, exist_ok=True)
    # To open a database may write to it, and a backup may be on a medium that cannot be written.
    with tempfile.TemporaryDirectory(prefix=".restore-", dir=found.home) as draft:
        with _files_told(found.home):
            for name in index:
                if PurePosixPath(name).parts[0] != FILES_FOLDER:
                    _copy(folder, Path(draft), PurePosixPath(name))
        with (
            closing(open_file_journal(Path(draft, HISTORY_FILE))) as source,
            closing(open_journal(found.storage, found.home)) as target,
        ):
            runs = copy_history(source, target)
        registry = copying.restore(storage, _sqlite_url(Path(draft, DATABASE_FILE)), found.home)
    configuration = folder / PROJECT_FILE
    return BackupReport(
        registry.events,
        registry.nodes,
        runs,
        *_size_of(index),
        configuration if configuration.is_file() else None,
    )


def _sqlite_url(file: Path) -> str:
    return f"{SQLITE_SCHEME}{file.absolute()}"


@contextmanager
def _files_told(place: Path) -> Iterator[None]:
    """Raise FileNotWrittenError for what the operating system refuses."""
    try:
        yield
    except OSError as error:
        raise FileNotWrittenError(
            f"{error.filename or place}: {error.strerror or error}",
            hint="nothing of the backup is left; check the permissions and the free space",
        ) from error


def _files_below(root: Path, inner: PurePosixPath) -> Iterator[PurePosixPath]:
    """The regular files below a folder of ``root``, without drafts; links are not followed."""
    try:
        entries = sorted(os.scandir(root / inner), key=lambda entry: entry.name)
    except FileNotFoundError:
        return
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _files_below(root, inner / entry.name)
        elif entry.is_file(follow_symlinks=False):
            yield inner / entry.name


def _copy(root: Path, target: Path, inner: PurePosixPath) -> None:
    """Copy a file to the same place below another folder, with its mode and time."""
    try:
        source = os.fdopen(open_below(root, inner), "rb")
    except FileNotFoundError:
        # It was removed after it was listed, so nothing refers to it.
        return
    place = target / inner
    place.parent.mkdir(parents=True, exist_ok=True)
    draft = place.with_name(f".{uuid.uuid4().hex}")
    try:
        with source, draft.open("xb") as copy:
            status = os.fstat(source.fileno())
            os.fchmod(copy.fileno(), 0o600)
            while chunk := source.read(CHUNK_BYTES):
                copy.write(chunk)
            copy.flush()
            os.utime(copy.fileno(), ns=(status.st_atime_ns, status.st_mtime_ns))
            os.fchmod(copy.fileno(), stat.S_IMODE(status.st_mode))
            os.fsync(copy.fileno())
        draft.rename(place)
    finally:
        draft.unlink(missing_ok=True)


def _copy_configuration(found: Configuration, draft: Path) -> bool:
    if found.project is None:
        return False
    _copy(found.project, draft, PurePosixPath(PROJECT_FILE))
    return (draft / PROJECT_FILE).is_file()


def _write(file: Path, content: bytes) -> None:
    with file.open("xb") as opened:
        opened.write(content)
        opened.flush()
        os.fsync(opened.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _index_of(folder: Path) -> JsonObject:
    """What tells each file of a backup from any other, by its path in the backup."""
    index: dict[str, JsonValue] = {}
    for inner in _files_below(folder, PurePosixPath()):
        digest, size = _digest_and_size(folder, inner)
        index[str(inner)] = {"digest": digest, "size_bytes": size}
    return index


def _digest_and_size(root: Path, inner: PurePosixPath) -> tuple[str, int]:
    found, size = hashlib.sha256(), 0
    with os.fdopen(open_below(root, inner), "rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            found.update(chunk)
            size += len(chunk)
    return DIGEST_PREFIX + found.hexdigest(), size


def _size_of(index: JsonObject) -> tuple[int, int]:
    """How many files an index names, and how many bytes they have."""
    sizes = [as_object(entry)["size_bytes"] for entry in index.values()]
    return len(sizes), sum(size for size in sizes if isinstance(size, int))


def _checked_index(folder: Path) -> JsonObject:
    """The index of a backup whose files are what it says; raises StorageCopyError."""
    try:
        body = as_object(json.loads((folder / INDEX_FILE).read_bytes()))
        written, index = body["format"], as_object(body["files"])
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise StorageCopyError(
            f"{folder} is not a whole backup: {INDEX_FILE} cannot be read",
            hint="name a folder that onex backup wrote",
        ) from error
    if written != FORMAT:
        raise StorageCopyError(
            f"{folder} is a backup of format {written}, which this onex does not know",
            hint="use the version of onex that wrote it, or a later one",
        )
    try:
        found = _index_of(folder)
    except OSError as error:
        raise StorageCopyError(
            f"{error.filename or folder} cannot be read: {error.strerror or error}",
            hint="check the backup and its permissions",
        ) from error
    for name in sorted((index.keys() | found.keys()) - {INDEX_FILE}):
        if index.get(name) != found.get(name):
            raise StorageCopyError(
                f"{folder / name} is not what was backed up", hint="use another backup"
            )
    return index
