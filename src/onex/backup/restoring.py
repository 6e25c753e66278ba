"""Taking the whole of a registry over from a backup."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path, PurePosixPath

from onex.backup.files import copy_file, digest_and_size, refusals_told
from onex.backup.index import FILES_FOLDER, BackupIndex, checked_index
from onex.backup.report import BackupReport
from onex.configuration.settings import Configuration
from onex.domain.errors import StorageCopyError
from onex.history.copying import copy_history, is_same_history, require_no_runs
from onex.history.kept_measurements import HISTORY_FILE
from onex.history.opening import open_file_journal, open_journal
from onex.local_machine import held_folder, locked, make_folder
from onex.storage import copying
from onex.storage.backend import StorageBackend
from onex.storage.opening import DATABASE_FILE, SQLITE_SCHEME

RESTORE_PREFIX = ".onex-restore-"


def restore(storage: StorageBackend, found: Configuration, folder: Path) -> BackupReport:
    """Take the whole of a registry over from a backup into an empty one.

    The backup is only read. The configuration in it is left to the user, since it may name the
    databases of another machine. One that was interrupted can be repeated.

    Args:
        storage: the registry's, which must be empty.
        found: the configuration of the registry.
        folder: what ``back_up`` wrote.

    Raises:
        StorageCopyError: it is no backup, it is damaged, or the registry is not empty.
        FileNotWrittenError: a file could not be written.
        StorageError: a database could not be read or written, or differs afterwards.
    """
    index = checked_index(folder)
    hint = "check permissions and free space, then restore once more"
    with refusals_told(found.home, hint):
        make_folder(found.home)
        with locked(found.home), held_folder(found.home, RESTORE_PREFIX) as draft:
            return _restore(storage, found, folder, index, draft)


def _restore(
    storage: StorageBackend, found: Configuration, folder: Path, index: BackupIndex, draft: Path
) -> BackupReport:
    if storage.serial():
        raise StorageCopyError(
            "the registry is not empty", hint="restore into one that has nothing yet"
        )
    # To open a database may write to it, and a backup may be on a medium that cannot be written.
    for name in index.files:
        if not name.startswith(f"{FILES_FOLDER}/"):
            copy_file(folder / name, draft / name, keeps_time=True)
    with (
        closing(open_file_journal(draft / HISTORY_FILE)) as source,
        closing(open_journal(found.storage, found.home)) as target,
    ):
        # The history of a restore that was interrupted is there already.
        is_there = bool(target.runs(1)) and is_same_history(source, target)
        if not is_there:
            require_no_runs(target)
        for name in index.files:
            if name.startswith(f"{FILES_FOLDER}/"):
                _restore_file(
                    folder / name, found.home / PurePosixPath(name).relative_to(FILES_FOLDER)
                )
        runs = len(target.runs(None)) if is_there else copy_history(source, target)
    registry = copying.restore(
        storage, f"{SQLITE_SCHEME}{(draft / DATABASE_FILE).absolute()}", found.home
    )
    return BackupReport.of(registry, runs, index, folder)


def _restore_file(source: Path, target: Path) -> None:
    if not target.exists():
        # Its time is that of now, so that it counts as new while nothing refers to it yet.
        copy_file(source, target, keeps_time=False)
    elif digest_and_size(source) != digest_and_size(target):
        raise StorageCopyError(
            f"{target} is there already, and is another", hint="restore into an empty folder"
        )
