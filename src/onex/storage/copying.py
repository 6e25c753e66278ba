"""Copying a registry from one storage to another, and proving that both say the same."""

from __future__ import annotations

import os
import uuid
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from onex.domain.errors import StorageCopyError, UsageError
from onex.storage.backend import KEEP_ALL, StorageBackend, StorageWriter
from onex.storage.opening import SQLITE_SCHEME, open_storage
from onex.storage.query import MetadataQuery

BATCH = 2_000


@dataclass(frozen=True, slots=True)
class CopyReport:
    """What was copied: entries of the log, and the node versions they amount to."""

    events: int
    nodes: int


def copy_registry(source: StorageBackend, target: StorageBackend) -> CopyReport:
    """Copy the log, from which everything else follows, into an empty storage.

    What scans remember is not copied: the next scan learns it again.

    Raises:
        StorageCopyError: the target is not empty, or says something else afterwards.
    """
    if target.serial():
        raise StorageCopyError(
            "the storage to copy to is not empty", hint="name a database that has no registry yet"
        )
    # One state of the source, whatever is written meanwhile; and nothing of the target is stored
    # before it was compared.
    with source.snapshot():
        nodes = target.write(lambda writer: _copy(source, target, writer))
    return CopyReport(target.serial(), nodes)


def copy_to(storage: StorageBackend, url: str, home: Path) -> CopyReport:
    """Copy a registry to another, empty storage, and prove that both say the same.

    Raises:
        ConfigurationError: the URL is not one of a storage.
        StorageCopyError: the other storage is not empty, or differs afterwards.
    """
    target = open_storage(url, home)
    try:
        return copy_registry(storage, target)
    finally:
        target.close()


def back_up(storage: StorageBackend, file: Path, home: Path) -> CopyReport:
    """Copy a registry to a new SQLite file, which is there whole or not at all.

    Raises:
        UsageError: the file is there already.
        StorageError: it could not be written.
        StorageCopyError: the copy says something else than the registry.
    """
    if file.exists():
        raise UsageError(f"{file} is there already", hint="name a new file")
    draft = file.with_name(f".{file.name}.{uuid.uuid4().hex}")
    try:
        report = copy_to(storage, f"{SQLITE_SCHEME}{draft.absolute()}", home)
        # Not by a rename, which would replace a file that was made meanwhile.
        os.link(draft, file)
    except FileExistsError as error:
        raise UsageError(f"{file} is there already", hint="name a new file") from error
    finally:
        for suffix in ("", "-wal", "-shm"):
            Path(f"{draft}{suffix}").unlink(missing_ok=True)
    return report


def restore(storage: StorageBackend, url: str, home: Path) -> CopyReport:
    """Take a registry over from a backup into an empty storage.

    Raises:
        StorageCopyError: the storage is not empty, or differs afterwards.
    """
    backup = open_storage(url, home)
    try:
        return copy_registry(backup, storage)
    finally:
        backup.close()


def _copy(source: StorageBackend, target: StorageBackend, writer: StorageWriter) -> int:
    events = source.events()
    while batch := list(islice(events, BATCH)):
        writer.take_over(batch)
    nodes = writer.rebuild(source.events())
    writer.take_identity(source.identity)
    # All else that was signed is signed anew, in later versions than readers have seen.
    for role in ("root", "targets"):
        for version in source.signed_versions(role):
            content = source.signed_metadata(role, version)
            if content is not None:
                writer.put_signed_metadata(role, version, content, KEEP_ALL)
    writer.finish()
    _compare(source, target)
    return nodes


def _compare(source: StorageBackend, target: StorageBackend) -> None:
    hint = "nothing was stored; check the source: onex storage check"
    if source.serial() != target.serial():
        raise StorageCopyError("the logs are not of one length", hint=hint)
    for one, other in zip(source.events(), target.events(), strict=True):
        if one != other:
            raise StorageCopyError(f"entry {one.serial} of the log differs", hint=hint)
    everything = MetadataQuery(all_versions=True)
    if list(source.query(everything).nodes) != list(target.query(everything).nodes):
        raise StorageCopyError("the nodes differ", hint=hint)
