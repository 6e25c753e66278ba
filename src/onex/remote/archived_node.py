"""ArchivedNode: what an archive holds, read as if it were a folder."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from onex.domain.archive_place import ArchivePlace
from onex.domain.digest import FileEntry
from onex.domain.errors import DocumentError, Problem
from onex.domain.metadata import NodeMetadata
from onex.domain.remote_errors import ArchiveRefusedError
from onex.manifests.local_node import README_FILES, read_manifest_content
from onex.manifests.node_files import NodeFiles
from onex.manifests.yaml_document import MAXIMUM_DOCUMENT_BYTES
from onex.remote.archive import pack, unpack


@dataclass(frozen=True, slots=True)
class ReadFiles:
    """What the files of a node say: its manifest, and what may be done better."""

    metadata: NodeMetadata
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class ArchivedNode:
    """A node in an archive: its manifest as the files themselves say it, and the files."""

    metadata: NodeMetadata
    files: NodeFiles
    place: ArchivePlace
    archive: bytes
    problems: tuple[Problem, ...] = ()

    @property
    def readme(self) -> str:
        """The text of its README; empty without one."""
        contents = self.files.contents
        found = next((contents[name] for name in README_FILES if name in contents), b"")
        return found.decode("utf-8", "ignore")


def read_archive(archive: bytes, manifest: str) -> ArchivedNode:
    """Read an archive that may be hostile; nothing of it is written, imported or run.

    Args:
        archive: its bytes.
        manifest: the name of the manifest among its files.

    Raises:
        ArchiveRefusedError: it is not canonical, or lacks the manifest.
        DocumentError: the manifest cannot be used.
    """
    return _archived(archive, unpack(archive), manifest)


def pack_node(contents: Mapping[str, bytes], manifest: str) -> ArchivedNode:
    """Pack the files of a node; raises as ``read_archive``."""
    return _archived(pack(contents), contents, manifest)


def read_files(files: NodeFiles, manifest: str) -> ReadFiles:
    """Read the manifest among the files of a node; raises as ``read_archive``."""
    content = files.contents.get(manifest)
    if content is None:
        raise ArchiveRefusedError(
            f"the archive has no manifest {manifest!r}",
            hint="publish the folder that holds the manifest",
        )
    if len(content) > MAXIMUM_DOCUMENT_BYTES:
        raise ArchiveRefusedError(
            f"the manifest {manifest} has more than {MAXIMUM_DOCUMENT_BYTES // 1024} KiB",
            hint="keep data in files of their own",
        )
    reading = read_manifest_content(Path(manifest), content)
    if reading.metadata is None:
        reason = "is a template" if reading.is_template else "cannot be used"
        raise DocumentError(f"the manifest {manifest} {reason}", reading.problems)
    return ReadFiles(reading.metadata, reading.problems)


def _archived(archive: bytes, contents: Mapping[str, bytes], manifest: str) -> ArchivedNode:
    files = files_of(contents)
    read = read_files(files, manifest)
    place = ArchivePlace(hashlib.sha256(archive).hexdigest(), len(archive), manifest)
    return ArchivedNode(read.metadata, files, place, archive, read.problems)


def files_of(contents: Mapping[str, bytes]) -> NodeFiles:
    """Files in memory, each with its hash."""
    entries = tuple(
        FileEntry(path, len(content), hashlib.sha256(content).hexdigest())
        for path, content in contents.items()
    )
    return NodeFiles(entries, contents)
