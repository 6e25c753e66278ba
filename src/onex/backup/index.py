"""BackupIndex: what a backup says of itself, and whether it is whole."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from onex.backup.files import digests_below, write_file
from onex.configuration.settings import PROJECT_FILE
from onex.domain.errors import StorageCopyError
from onex.domain.json_value import JsonObject, JsonValue, as_object, as_text
from onex.history.kept_measurements import HISTORY_FILE
from onex.history.opening import STARTS_FOLDER
from onex.storage.opening import DATABASE_FILE

FORMAT = 1
INDEX_FILE = "backup.json"
FILES_FOLDER = "files"
KEPT_FOLDERS = ("trust", "published", "artifacts", "shared-artifacts")
"""What belongs to a registry in the folder of its state, beside the databases. All else is made
anew: unpacked nodes, caches, working folders."""

_NAMES = re.compile(
    rf"{DATABASE_FILE}|{HISTORY_FILE}|{PROJECT_FILE}|{STARTS_FOLDER}/[^/]+"
    rf"|{FILES_FOLDER}/(?:{'|'.join(KEPT_FOLDERS)})/.+"
)


@dataclass(frozen=True, slots=True)
class BackupIndex:
    """What a backup holds.

    ``files`` tells each file from any other, by its path. Of the artifacts that are recorded
    ``missing_artifacts`` are not in it: they are in the store ``left_out``, or on other machines.
    """

    files: Mapping[str, JsonValue]
    missing_artifacts: int = 0
    left_out: str | None = None
    made_at: str = field(default_factory=lambda: datetime.now(UTC).isoformat())

    @property
    def has_configuration(self) -> bool:
        """Whether the project's ``onex.toml`` is in it."""
        return PROJECT_FILE in self.files

    @property
    def size_bytes(self) -> int:
        """What all files have together."""
        sizes = [as_object(entry)["size_bytes"] for entry in self.files.values()]
        return sum(size for size in sizes if isinstance(size, int))

    def write(self, folder: Path) -> None:
        """Write it into a backup; raises OSError."""
        body: JsonObject = {
            "format": FORMAT,
            "made_at": self.made_at,
            "missing_artifacts": self.missing_artifacts,
            "left_out": self.left_out,
            "files": dict(self.files),
        }
        write_file(folder / INDEX_FILE, json.dumps(body, indent=1).encode())


def checked_index(folder: Path) -> BackupIndex:
    """The index of a backup whose files are what it says.

    Raises:
        StorageCopyError: it is no backup, of another format, or damaged.
    """
    try:
        body = as_object(json.loads((folder / INDEX_FILE).read_bytes()))
        files, written, missing = (
            as_object(body["files"]),
            body["format"],
            body["missing_artifacts"],
        )
        left_out = None if body["left_out"] is None else as_text(body["left_out"])
        made_at = as_text(body["made_at"])
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise StorageCopyError(
            f"{folder} is not a whole backup: {INDEX_FILE} cannot be read",
            hint="name a folder that onex backup wrote",
        ) from error
    if type(written) is not int or written != FORMAT or not isinstance(missing, int):
        raise StorageCopyError(
            f"{folder} is a backup of a format that this onex does not know",
            hint="use the version of onex that wrote it, or a later one",
        )
    try:
        found = digests_below(folder)
    except OSError as error:
        raise StorageCopyError(
            f"{error.filename or folder} cannot be read: {error.strerror or error}",
            hint="check the backup and its permissions",
        ) from error
    found.pop(INDEX_FILE, None)
    for name in sorted(found.keys() | files.keys() | {DATABASE_FILE, HISTORY_FILE}):
        is_same = name in found and found[name] == files.get(name)
        if not (is_same and _NAMES.fullmatch(name)):
            raise StorageCopyError(
                f"{folder / name} is not what was backed up", hint="use another backup"
            )
    return BackupIndex(found, missing, left_out, made_at)
