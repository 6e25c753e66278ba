"""Copying a registry from one storage to another, and proving that both say the same."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice

from onex.domain.errors import StorageCopyError
from onex.storage.backend import StorageBackend, StorageWriter
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


def _copy(source: StorageBackend, target: StorageBackend, writer: StorageWriter) -> int:
    events = source.events()
    while batch := list(islice(events, BATCH)):
        writer.take_over(batch)
    nodes = writer.rebuild(source.events())
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
