"""Writing the whole of a registry to one folder: its log, its history, its files and its keys.

First the history, then the registry, then the files: what one of them names was stored before it
in those that follow, so it is there, whatever others add meanwhile.
"""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path, PurePosixPath

from onex.artifacts.contents import folder_of
from onex.backup.files import (
    content_of,
    copy_file,
    digests_below,
    files_below,
    refusals_told,
    sync_folder,
)
from onex.backup.index import FILES_FOLDER, KEPT_FOLDERS, BackupIndex
from onex.backup.report import BackupReport
from onex.configuration.settings import PROJECT_FILE, Configuration
from onex.domain.errors import StorageCopyError, UsageError
from onex.domain.url import without_secrets
from onex.history.copying import copy_history
from onex.history.kept_measurements import HISTORY_FILE
from onex.history.opening import open_file_journal, open_journal
from onex.local_machine import held_folder
from onex.storage import copying
from onex.storage.backend import StorageBackend
from onex.storage.opening import DATABASE_FILE, SQLITE_SCHEME

ONLINE_KEY = PurePosixPath("trust/online.key")
DRAFT_PREFIX = ".onex-backup-"

_HINT = "nothing of the backup is left; check permissions and free space"


def back_up(storage: StorageBackend, found: Configuration, folder: Path) -> BackupReport:
    """Write the whole of a registry to a new folder, which is there whole or not at all.

    Others may use the registry meanwhile, except that artifacts that ``onex runs prune`` removes
    meanwhile may be missing.

    Args:
        storage: the registry's.
        found: the configuration of the registry.
        folder: must not be there yet; only its owner may read it, since it has keys.

    Raises:
        UsageError: the folder is there already, or would be a part of the registry.
        FileNotWrittenError: a file could not be read or written.
        StorageError: a database could not be read or written, or its copy differs.
    """
    folder = folder.absolute()
    _require_new(folder, found.home)
    with refusals_told(folder, _HINT), held_folder(folder.parent, DRAFT_PREFIX) as draft:
        return _back_up(storage, found, draft, folder)


def _back_up(
    storage: StorageBackend, found: Configuration, draft: Path, folder: Path
) -> BackupReport:
    key = content_of(found.home / ONLINE_KEY)
    with (
        closing(open_journal(found.storage, found.home)) as source,
        closing(open_file_journal(draft / HISTORY_FILE)) as target,
    ):
        runs = copy_history(source, target)
        recorded = target.artifact_digests()
    registry = copying.copy_to(storage, f"{SQLITE_SCHEME}{draft / DATABASE_FILE}", found.home)
    files = draft / FILES_FOLDER
    for name in KEPT_FOLDERS:
        # The folder itself may be a link to where there is more room.
        root = (found.home / name).resolve()
        for inner in files_below(root):
            copy_file(root / inner, files / name / inner, keeps_time=True)
    if found.project is not None:
        copy_file(found.project / PROJECT_FILE, draft / PROJECT_FILE, keeps_time=True)
    if content_of(files / ONLINE_KEY) != key:
        raise StorageCopyError(
            "the key of the signed index was changed meanwhile", hint="back up once more"
        )
    missing = sum(not (files / "artifacts" / folder_of(d)).is_dir() for d in recorded)
    left_out = None if found.artifacts is None else without_secrets(found.artifacts)
    index = BackupIndex(digests_below(draft), missing, left_out)
    index.write(draft)
    for place in (*(path for path in draft.rglob("*") if path.is_dir()), draft):
        sync_folder(place)
    _require_new(folder, found.home)
    draft.rename(folder)
    sync_folder(folder.parent)
    return BackupReport.of(registry, runs, index, folder)


def _require_new(folder: Path, home: Path) -> None:
    if os.path.lexists(folder):
        raise UsageError(f"{folder} is there already", hint="name a new folder")
    parent = folder.parent.resolve()
    if any(parent.is_relative_to((home / name).resolve()) for name in KEPT_FOLDERS):
        raise UsageError(
            f"{folder} would be a part of what is backed up", hint="name a folder elsewhere"
        )
