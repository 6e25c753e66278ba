"""Remotes: the remote registries that are declared here, each with its tree."""

from __future__ import annotations

import contextlib
import hashlib
import threading
import time
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

from onex.configuration.settings import Configuration, SourceConfiguration
from onex.domain.archive_place import PUBLISHED_SOURCE
from onex.domain.errors import OnexError
from onex.domain.remote_errors import RemoteUnavailableError, UnknownRemoteError
from onex.local_machine import make_folder, remove_tree
from onex.remote.archive_store import ArchiveStore
from onex.remote.archived_files import ArchivedFiles
from onex.remote.credentials import Credentials, variable_of
from onex.remote.folder_tree import FolderTree
from onex.remote.tree import Tree
from onex.telemetry.tracing import NO_TRACER, Tracer
from onex.trust.signed_index import SignedIndex

BACKOFF_SECONDS = 60.0


class Remotes:
    """The remotes of one registry, opened when they are asked for."""

    def __init__(
        self,
        configuration: Configuration,
        environment: Mapping[str, str],
        tracer: Tracer = NO_TRACER,
    ) -> None:
        self._configuration = configuration
        self._tracer = tracer
        self.credentials = Credentials(configuration.settings_folder, environment)
        self._trees: dict[str, Tree] = {}
        # Archives are fetched by several threads.
        self._lock = threading.Lock()

    @property
    def declared(self) -> Sequence[SourceConfiguration]:
        """The remotes in the order in which they supply nodes."""
        return self._configuration.remotes

    @cached_property
    def store(self) -> ArchiveStore:
        """The archives that this user's projects share."""
        return ArchiveStore(self._configuration.cache_folder / "archives")

    @cached_property
    def published(self) -> ArchiveStore:
        """The archives of what was published to this registry."""
        return ArchiveStore(self._configuration.home / "published")

    @cached_property
    def archived(self) -> ArchivedFiles:
        """The files of nodes that remotes offer."""
        return ArchivedFiles(self.store, self._tree_of_source)

    def remote(self, name: str | None) -> SourceConfiguration:
        """A declared remote by its name; the only one if no name is given.

        Raises:
            UnknownRemoteError: there is none of that name, or not just one.
        """
        names = [remote.name for remote in self.declared]
        found = [r for r in self.declared if name is None or r.name == name]
        if len(found) == 1:
            return found[0]
        if name is not None:
            message = f"no remote is called {name!r}"
        else:
            message = "several remotes are declared" if names else "no remote is declared"
        raise UnknownRemoteError(
            message,
            hint="the remotes are: " + ", ".join(names)
            if names
            else "declare one: onex remote add URL",
        )

    def tree(self, remote: SourceConfiguration) -> Tree:
        """The tree of a declared remote; one object for all who ask."""
        with self._lock:
            tree = self._trees.get(remote.name)
            if tree is None:
                tree = self._trees[remote.name] = self._open(remote)
            return tree

    def signed_index(self, remote: SourceConfiguration) -> SignedIndex | None:
        """What is signed of the index of a remote; None if no root of it is pinned."""
        if remote.root is None:
            return None
        return self.signed_by(remote, self.tree(remote), remote.root)

    def signed_here(self, tree: Tree, root: str) -> SignedIndex:
        """What this registry signed of its own tree, as a reader checks it."""
        return self._signed("", tree, root)

    def signed_by(self, remote: SourceConfiguration, tree: Tree, root: str) -> SignedIndex:
        """What is signed of the tree of a remote by a root with a fingerprint."""
        return self._signed(remote.name, tree, root)

    def _signed(self, name_of_remote: str, tree: Tree, root: str) -> SignedIndex:
        return SignedIndex(tree.place, tree.read, self._memory_of(name_of_remote, root), root)

    def _memory_of(self, name_of_remote: str, root: str) -> Path:
        """Where it is remembered what was seen of a signed index."""
        name = hashlib.sha256(f"{name_of_remote}\0{root}".encode()).hexdigest()[:32]
        return self._configuration.home / "trust" / "remotes" / name

    def failed(self, remote: SourceConfiguration, error: OnexError) -> None:
        """Note that a remote does not answer, so that it is passed over for a while."""
        _write(self.note_file("unavailable", remote), error.message)

    def answered(self, remote: SourceConfiguration) -> None:
        """Note that a remote answers."""
        with contextlib.suppress(OSError):
            self.note_file("unavailable", remote).unlink(missing_ok=True)

    def failure(self, remote: SourceConfiguration) -> OnexError | None:
        """Why a remote is passed over at the moment; None if it is not."""
        try:
            self.raise_if_backing_off(remote)
        except RemoteUnavailableError as error:
            return error
        return None

    def raise_if_backing_off(self, remote: SourceConfiguration) -> None:
        """Raise RemoteUnavailableError if a remote did not answer a moment ago."""
        if remote.url is None:
            # Whether a folder is there costs nothing to find out.
            return
        file = self.note_file("unavailable", remote)
        try:
            age = time.time() - file.stat().st_mtime
            reason = file.read_text(encoding="utf-8")
        except OSError:
            return
        if 0 <= age < BACKOFF_SECONDS:
            raise RemoteUnavailableError(
                f"{reason} ({age:.0f} s ago; it is passed over for"
                f" {BACKOFF_SECONDS - age:.0f} s more)",
                hint=f"ask at once: onex remote check {remote.name}",
            )

    def close(self) -> None:
        """Release connections."""
        for tree in self._trees.values():
            tree.close()
        self._trees.clear()

    def _open(self, remote: SourceConfiguration) -> Tree:
        if remote.url is None:
            return FolderTree(remote.path or Path())
        from onex.remote.http_tree import HttpTree

        same = [r.name for r in self.declared if variable_of(r.name) == variable_of(remote.name)]
        token = self.credentials.token(remote.name, remote.url, is_named=len(same) == 1)
        return HttpTree(remote.url, token, self._configuration.cache_folder, self._tracer)

    def forget(self, remote: SourceConfiguration) -> None:
        """Forget what was noted of a remote."""
        if remote.root is not None:
            remove_tree(self._memory_of(remote.name, remote.root))
        for kind in ("unavailable", "serials"):
            with contextlib.suppress(OSError):
                self.note_file(kind, remote).unlink(missing_ok=True)

    def published_serial(self, remote: SourceConfiguration) -> int:
        """The serial of what this user published there last, so that reads are not older."""
        try:
            return int(self.note_file("serials", remote).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return 0

    def note_published(self, remote: SourceConfiguration, serial: int) -> None:
        """Note the serial that a publication was answered with."""
        known = self.published_serial(remote)
        _write(self.note_file("serials", remote), str(max(known, serial)))

    def _tree_of_source(self, name: str) -> Tree | None:
        if name == PUBLISHED_SOURCE:
            return FolderTree(self.published.folder)
        found = next((remote for remote in self.declared if remote.name == name), None)
        return None if found is None else self.tree(found)

    def note_file(self, kind: str, remote: SourceConfiguration) -> Path:
        """Where something about a remote is noted for all projects of this user."""
        name = hashlib.sha256(str(remote.url or remote.path).encode()).hexdigest()[:32]
        return self._configuration.cache_folder / kind / name


def _write(file: Path, text: str) -> None:
    """Note something that is nice to know; a folder that cannot be written costs no more."""
    with contextlib.suppress(OSError):
        make_folder(file.parent)
        file.write_text(text, encoding="utf-8")
