"""Artifacts: files that nodes hand over, kept by content and passed on as read-only paths."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from onex.domain.digest import DIGEST_PREFIX
from onex.domain.errors import InvalidResultError
from onex.domain.json_value import JsonValue
from onex.execution.context import ARTIFACT_KEY

MAXIMUM_ARTIFACT_BYTES = 1024 * 1024 * 1024


class ArtifactStore:
    """A folder of files by digest.

    In results an artifact is a mapping of ``$artifact`` (its digest), ``name``,
    ``size_bytes`` and ``path``.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def take(self, output: JsonValue, workdir: Path) -> JsonValue:
        """Store every file that a result hands over and put its record in its place.

        Raises:
            InvalidResultError: a file does not lie in the execution's own folder.
        """
        if isinstance(output, Mapping):
            if ARTIFACT_KEY in output:
                return self._store(output[ARTIFACT_KEY], workdir)
            return {key: self.take(member, workdir) for key, member in output.items()}
        if isinstance(output, Sequence) and not isinstance(output, str):
            return [self.take(member, workdir) for member in output]
        return output

    def _store(self, written: JsonValue, workdir: Path) -> JsonValue:
        file = Path(written).resolve() if isinstance(written, str) else None
        if file is None or not file.is_relative_to(workdir.resolve()) or not file.is_file():
            raise InvalidResultError(
                f"the artifact {written!r} is not a file of this execution",
                hint="write it below context.workdir and return context.artifact(path)",
            )
        size = file.stat().st_size
        if size > MAXIMUM_ARTIFACT_BYTES:
            raise InvalidResultError(
                f"the artifact {file.name} has {size} bytes, more than an artifact may have",
                hint="split it",
            )
        with file.open("rb") as stream:
            digest = DIGEST_PREFIX + hashlib.file_digest(stream, "sha256").hexdigest()
        target = self._path(digest, file.name)
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            draft = target.with_name(f".{target.name}.{os.getpid()}")
            shutil.copyfile(file, draft)
            draft.chmod(0o444)
            draft.replace(target)
        return {
            ARTIFACT_KEY: digest,
            "name": file.name,
            "size_bytes": size,
            "path": str(target),
        }

    def _path(self, digest: str, name: str) -> Path:
        hexadecimal = digest.removeprefix(DIGEST_PREFIX)
        return self._folder / hexadecimal[:2] / hexadecimal / name


def is_artifact(value: JsonValue) -> bool:
    """Whether a value is the record of an artifact."""
    return isinstance(value, Mapping) and ARTIFACT_KEY in value


def with_paths(value: JsonValue) -> JsonValue:
    """The value as a node receives it: the path of the file in the place of each artifact."""
    if isinstance(value, Mapping):
        if is_artifact(value):
            return value["path"]
        return {key: with_paths(member) for key, member in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [with_paths(member) for member in value]
    return value


def artifacts_in(value: JsonValue) -> list[Path]:
    """The file of every artifact within a value."""
    if isinstance(value, Mapping):
        if is_artifact(value):
            return [Path(str(value["path"]))]
        return [path for member in value.values() for path in artifacts_in(member)]
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [path for member in value for path in artifacts_in(member)]
    return []
