"""Cache keys: the digest of everything that the result of a call depends on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from onex.artifacts.file_content import NotAFileError, content_digest
from onex.domain.errors import SchemaMismatchError
from onex.domain.json_value import JsonObject, canonical_json, sha256_of
from onex.domain.permission import Permission
from onex.schemas.places import MarkingSchemas, named, value_at

KEY_FORMAT = 4

Signature = tuple[int, ...] | str
"""What changes whenever a file is written; for a folder its digest."""


@dataclass(frozen=True, slots=True)
class InputDigest:
    """The digest of everything that goes into a call.

    ``untracked`` says what it leaves out, if any; ``files`` gives by path what changes when a
    file is written.
    """

    digest: str
    untracked: str | None = None
    files: Mapping[str, Signature] = field(default_factory=dict)


_NO_INPUTS = InputDigest(sha256_of(canonical_json({})))


class FileDigests:
    """Digests of files and folders for the calls of one run; a file that did not change is read
    once."""

    def __init__(self) -> None:
        self._known: dict[tuple[str | int, ...], str] = {}

    def has_changed(self, path: Path, signature: Signature) -> bool:
        """Whether what a path leads to was written since its signature was taken."""
        try:
            if isinstance(signature, str):
                return content_digest(path) != signature
            return _signature(path) != signature
        except (OSError, ValueError, NotAFileError):
            return True

    def of(self, path: Path, go_on: Callable[[], None]) -> tuple[str, Signature]:
        """The digest of what a path leads to, and its signature, which is older.

        Raises as ``content_digest`` does.
        """
        signature = _signature(path)
        if path.is_dir():
            # Its own status does not tell of changes further below.
            digest = content_digest(path, go_on)
            return digest, digest
        key: tuple[str | int, ...] = (str(path), *signature)
        if key not in self._known:
            self._known[key] = content_digest(path, go_on)
        return self._known[key], signature


def _signature(path: Path) -> tuple[int, ...]:
    status = path.stat()
    return (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def input_digest(
    paths: MarkingSchemas,
    inputs: JsonObject,
    files: FileDigests,
    go_on: Callable[[], None],
    *,
    artifacts: Mapping[str, str] | None = None,
    counted: JsonObject | None = None,
    reads_folders: bool = True,
) -> InputDigest:
    """The digest of a call's inputs: their values, and with paths also the content of the files.

    Args:
        paths: which of the values are paths of files. A node sees both the path and the
            content, so both count.
        inputs: the values by name.
        files: what was read in this run.
        go_on: called while files are read; what it raises ends that.
        artifacts: the digests of those paths that are artifacts, whose content is known.
        counted: the inputs as they count, if they are handed over otherwise: the path of an
            artifact differs from machine to machine, and its content and its name do not.
        reads_folders: whether the content of folders counts, which may take long to read.

    Raises:
        SchemaMismatchError: a path is relative, or leads to neither a file nor a folder.
    """
    if not inputs:
        return _NO_INPUTS
    if not paths:
        return InputDigest(sha256_of(canonical_json(inputs if counted is None else counted)))
    found = paths.places_in(inputs)
    untracked = found.unknown
    contents: dict[str, str] = {}
    signatures: dict[str, Signature] = {}
    for place in found.places:
        text = value_at(inputs, place)
        if not isinstance(text, str):
            continue
        if artifacts and text in artifacts:
            contents[named(place)] = artifacts[text]
            continue
        path = Path(text)
        if not path.is_absolute():
            raise SchemaMismatchError(
                f"the input {named(place)} is a relative path",
                hint="hand over an absolute one, or a file as an artifact: context.artifact(path)",
            )
        if not reads_folders and path.is_dir():
            untracked = f"the content of the folder {named(place)} was not read"
            continue
        try:
            contents[named(place)], signatures[str(path)] = files.of(path, go_on)
        except NotAFileError as error:
            raise SchemaMismatchError(
                f"the input {named(place)}: {error}", hint="name a file or a folder"
            ) from error
        except (OSError, ValueError):
            untracked = f"the input {named(place)} cannot be read"
    digest = sha256_of(canonical_json([inputs if counted is None else counted, contents]))
    return InputDigest(digest, untracked, signatures)


def node_key(digest: str, permissions: Iterable[Permission], environment: JsonObject) -> str:
    """What all calls of a node have in common in their keys.

    Args:
        digest: the digest of the node's files.
        permissions: those that it is granted.
        environment: the configuration, and the libraries, variables and secrets that it
            declares, with what they are here.
    """
    granted = sorted(map(str, permissions))
    return canonical_json([KEY_FORMAT, digest, granted, environment])


def cache_key(common: str, inputs: InputDigest) -> str:
    """The key of one call: what its node has in common, and everything that goes in."""
    return sha256_of(common + inputs.digest)
