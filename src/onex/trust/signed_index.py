"""SignedIndex: what a registry signed of its index, as a reader checks it.

Source: The Update Framework, section 5 (client workflow), by ``tuf.ngclient``. A reader starts from
a root whose fingerprint is pinned, and remembers what it saw: an index that is older, mixed
together, signed by others or out of date is refused, wherever it comes from.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from onex.domain.errors import SourceError
from onex.domain.public_key import PublicKey
from onex.domain.trust_errors import IndexSignatureError
from onex.local_machine import locked, make_folder, replace_file
from onex.trust.index_layout import (
    METADATA_FOLDER,
    ROOT,
    SNAPSHOT,
    TARGETS,
    TIMESTAMP,
    TIMESTAMP_PATH,
    fingerprint_of,
    metadata_path,
    online_keys_of,
    target_name,
)

if TYPE_CHECKING:
    from tuf.api.metadata import Metadata, Snapshot, SuccinctRoles, Targets
    from tuf.ngclient import Updater

MAXIMUM_ROOTS = 256
MAXIMUM_METADATA_BYTES = 4 * 1024 * 1024
_ANCHOR = "anchor.json"
_COMPLETE = "complete"
"""Holds the SHA-256 of the last timestamp that led to a whole index that was good."""
_URL = "onex:"

ReadFiles = Callable[[Sequence[str], int], Sequence[bytes | SourceError | None]]
"""Reads files of a tree by their paths, none larger than some bytes; None for what is not there."""


class SignedIndex:
    """Checks files of one tree. Everything is refused until ``refresh`` was called."""

    def __init__(self, place: str, read: ReadFiles, folder: Path, fingerprint: str) -> None:
        """Prepare; nothing is read yet.

        Args:
            place: where the tree is, as messages name it.
            read: reads files of the tree.
            folder: where what was seen is remembered, for this tree and this root alone.
            fingerprint: that of the root that is pinned.
        """
        self._place = place
        self._read_files = read
        self.folder = folder
        self._fingerprint = fingerprint
        self._updater: Updater | None = None
        self._snapshot: Metadata[Snapshot] | None = None
        self._bins: SuccinctRoles | None = None
        self._ahead: dict[str, bytes | None] = {}

    def refresh(self) -> None:
        """Learn what is signed now.

        Raises:
            IndexSignatureError: it is not what the registry signed, or not any more.
            SourceError: the tree cannot be read.
        """
        try:
            make_folder(self.folder)
        except OSError as error:
            raise SourceError(
                f"what is seen of {self._place} cannot be kept in {self.folder}: {error.strerror}",
                hint="check the folder's permissions and free space",
            ) from error
        with locked(self.folder):
            if not self._is_unchanged():
                self._update()

    @property
    def version(self) -> int:
        """The version of what was signed."""
        return int(self._timestamp()["version"])

    def _timestamp(self) -> Mapping[str, Any]:
        signed: Mapping[str, Any] = json.loads(self._file(TIMESTAMP).read_bytes())["signed"]
        return signed

    def state_of(self, path: str) -> str:
        """What changes whenever the signed state of a file may have changed."""
        snapshot, bins = self._trusted()
        name = bins.get_role_for_target(target_name(path))
        meta = snapshot.signed.meta.get(f"{name}.json")
        return "" if meta is None else str(meta.version)

    def digest_of(self, path: str) -> str | None:
        """The SHA-256 of a file in hexadecimal, as it was signed; None if there is no such file.

        Raises as ``refresh``.
        """
        updater = self._updater
        if updater is None:
            with locked(self.folder):
                updater = self._update(offline=True)
        with self._told_plainly():
            found = updater.get_targetinfo(target_name(path))
        return None if found is None else str(found.hashes["sha256"])

    def require(self, path: str, content: bytes | None) -> None:
        """Refuse a file that is another one than that which was signed.

        Raises:
            IndexSignatureError: it is; or it is there and was not signed, or the other way round.
        """
        expected = self.digest_of(path)
        actual = None if content is None else hashlib.sha256(content).hexdigest()
        if expected == actual:
            return
        if actual is None:
            reason = f"keeps {path} back, which its registry signed"
        elif expected is None:
            reason = f"has {path}, which its registry did not sign"
        else:
            reason = f"has another {path} than its registry signed"
        raise IndexSignatureError(
            f"{self._place} {reason}",
            hint="it may be damaged, or in the hands of others; take another mirror",
        )

    def online_keys(self) -> list[PublicKey]:
        """The keys that sign daily, by the root."""
        return online_keys_of(json.loads(self._file(ROOT).read_bytes())["signed"])

    def metadata(self) -> dict[str, bytes]:
        """The files of what is signed, by their paths, but for the bins; roots from the first on.

        Raises as ``refresh``.
        """
        files = {TIMESTAMP_PATH: self._file(TIMESTAMP).read_bytes()}
        for role in (SNAPSHOT, TARGETS):
            content = self._file(role).read_bytes()
            files[metadata_path(role, int(json.loads(content)["signed"]["version"]))] = content
        last = int(json.loads(self._file(ROOT).read_bytes())["signed"]["version"])
        paths = [metadata_path(ROOT, version) for version in range(1, last + 1)]
        self._read_ahead(paths)
        for path in paths:
            root = self._ahead.pop(path)
            if root is not None:
                files[path] = root
        return files

    def bin_paths(self) -> Iterator[str]:
        """The paths of the bins as the snapshot lists them."""
        snapshot, bins = self._trusted()
        for name in bins.get_roles():
            meta = snapshot.signed.meta.get(f"{name}.json")
            if meta is not None:
                yield metadata_path(name, meta.version)

    def _trusted(self) -> tuple[Metadata[Snapshot], SuccinctRoles]:
        from tuf.api.metadata import Metadata

        if self._snapshot is None or self._bins is None:
            snapshot: Metadata[Snapshot] = Metadata.from_file(str(self._file(SNAPSHOT)))
            targets: Metadata[Targets] = Metadata.from_file(str(self._file(TARGETS)))
            delegations = targets.signed.delegations
            if delegations is None or delegations.succinct_roles is None:
                raise IndexSignatureError(
                    f"{self._place} signs its index in a way that this onex does not know",
                    hint="install a newer onex",
                )
            self._snapshot, self._bins = snapshot, delegations.succinct_roles
        return self._snapshot, self._bins

    def _is_unchanged(self) -> bool:
        """Whether what was seen last is what is signed now, and has not expired.

        It is found out without the library of the framework, which takes longer to import.
        """
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            known = self._file(TIMESTAMP).read_bytes()
            # A timestamp is stored before what it leads to was found to be good.
            if (self.folder / _COMPLETE).read_text() != hashlib.sha256(known).hexdigest():
                return False
            now = datetime.now(UTC)
            versions = {}
            for role in (ROOT, TIMESTAMP, SNAPSHOT, TARGETS):
                signed = json.loads(self._file(role).read_bytes())["signed"]
                versions[role] = int(signed["version"])
                if datetime.fromisoformat(signed["expires"]) <= now:
                    return False
            following = metadata_path(ROOT, versions[ROOT] + 1)
            self._read_ahead([following, TIMESTAMP_PATH])
            return self._ahead[following] is None and self._ahead[TIMESTAMP_PATH] == known
        return False

    def _read_ahead(self, paths: Sequence[str]) -> None:
        """Read several files at once, for the questions that follow."""
        answers = self._read_files(paths, MAXIMUM_METADATA_BYTES)
        for path, answer in zip(paths, answers, strict=True):
            if isinstance(answer, SourceError):
                raise answer
            self._ahead[path] = answer

    def _update(self, *, offline: bool = False) -> Updater:
        """Go through the client workflow; by what was seen last alone if ``offline``."""
        from tuf.ngclient import Updater, UpdaterConfig
        from tuf.ngclient.fetcher import FetcherInterface

        index = self

        class Fetcher(FetcherInterface):
            def _fetch(self, url: str) -> Iterator[bytes]:
                return index._fetch(url.removeprefix(f"{_URL}/"), offline=offline)

        anchor = self._anchor()
        with self._told_plainly():
            updater = Updater(
                str(self.folder),
                f"{_URL}/{METADATA_FOLDER}/",
                fetcher=Fetcher(),
                config=UpdaterConfig(
                    max_root_rotations=MAXIMUM_ROOTS,
                    snapshot_max_length=MAXIMUM_METADATA_BYTES,
                    targets_max_length=MAXIMUM_METADATA_BYTES,
                ),
                bootstrap=anchor,
            )
            updater.refresh()
        digest = hashlib.sha256(self._file(TIMESTAMP).read_bytes()).hexdigest()
        replace_file(self.folder / _COMPLETE, digest.encode())
        self._updater, self._snapshot, self._bins = updater, None, None
        self._ahead.clear()
        return updater

    def _anchor(self) -> bytes:
        """The pinned root: as it was kept, or as the tree has it."""
        kept = self.folder / _ANCHOR
        with contextlib.suppress(OSError):
            content = kept.read_bytes()
            if fingerprint_of(content) == self._fingerprint:
                return content
        for version in range(1, MAXIMUM_ROOTS):
            path = metadata_path(ROOT, version)
            self._read_ahead([path])
            content_or_none = self._ahead[path]
            if content_or_none is None:
                break
            if fingerprint_of(content_or_none) == self._fingerprint:
                replace_file(kept, content_or_none)
                return content_or_none
        raise IndexSignatureError(
            f"{self._place} does not have the root that is pinned, {self._fingerprint[:23]}...",
            hint="compare the fingerprint with those who run the registry; it may be another one",
        )

    def _fetch(self, path: str, *, offline: bool) -> Iterator[bytes]:
        from tuf.api.exceptions import DownloadHTTPError

        content: bytes | None = None
        if offline and path == TIMESTAMP_PATH:
            content = self._file(TIMESTAMP).read_bytes()
        elif not (offline and path.endswith(f".{ROOT}.json")):
            if path not in self._ahead:
                self._read_ahead([path])
            content = self._ahead.pop(path)
        if content is None:
            raise DownloadHTTPError(f"there is no {path}", 404)
        yield content

    def _file(self, role: str) -> Path:
        return self.folder / f"{role}.json"

    @contextlib.contextmanager
    def _told_plainly(self) -> Iterator[None]:
        from tuf.api.exceptions import DownloadError, RepositoryError

        try:
            yield
        except DownloadError as error:
            if isinstance(error.__cause__, SourceError):
                raise error.__cause__ from error
            self._refuse("lacks a part of what its registry signed", str(error), error)
        except RepositoryError as error:
            self._refuse(_reason(error), str(error), error)
        except OSError as error:
            raise SourceError(
                f"what was seen of {self._place} cannot be kept in {self.folder}: {error}",
                hint="check the folder's permissions and free space",
            ) from error

    def _refuse(self, reason: str, detail: str, error: Exception) -> NoReturn:
        raise IndexSignatureError(
            f"{self._place} {reason} ({detail})"[:500],
            hint="what is known of it is kept; ask those who run it, or take another mirror",
        ) from error


def _reason(error: Exception) -> str:
    """What a refusal of the framework means, as the rest of a sentence about a place."""
    from tuf.api import exceptions

    reasons: Mapping[type[Exception], str] = {
        exceptions.ExpiredMetadataError: "shows an index that has expired: it is held back, or"
        " nobody has signed a newer one",
        exceptions.BadVersionNumberError: "shows an index that is older than the one seen before",
        exceptions.UnsignedMetadataError: "shows an index that was not signed by the keys that it"
        " takes",
        exceptions.LengthOrHashMismatchError: "shows parts of an index that do not belong together",
    }
    return next(
        (reason for kind, reason in reasons.items() if isinstance(error, kind)),
        "shows an index whose signed metadata cannot be used",
    )
