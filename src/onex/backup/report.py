"""BackupReport: what a backup holds, for whoever made it or took it over."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from onex.backup.index import BackupIndex
from onex.configuration.settings import PROJECT_FILE
from onex.storage.copying import CopyReport


@dataclass(frozen=True, slots=True)
class BackupReport:
    """How many there are of what, and what is not in it, as ``BackupIndex`` says it.

    ``configuration`` is the project's ``onex.toml`` in the backup, None if there is none.
    """

    events: int
    nodes: int
    runs: int
    files: int
    size_bytes: int
    configuration: Path | None
    missing_artifacts: int = 0
    left_out: str | None = None

    @classmethod
    def of(cls, registry: CopyReport, runs: int, index: BackupIndex, folder: Path) -> BackupReport:
        """The report of a backup in a folder."""
        return cls(
            registry.events,
            registry.nodes,
            runs,
            len(index.files),
            index.size_bytes,
            folder / PROJECT_FILE if index.has_configuration else None,
            index.missing_artifacts,
            index.left_out,
        )
