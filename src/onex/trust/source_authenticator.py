"""SourceAuthenticator: whether what a source offers is from whom it seems to be.

Specification: Source Authentication. Each kind of source proves itself in its own way: a folder by
its owner and its mode, an installed package by the hashes of its RECORD (Recording installed
projects, packaging.python.org), a remote by the root that signs its index, and whoever publishes by
a token. What cannot be authenticated is not trusted, whatever ``onex.toml`` says.
"""

from __future__ import annotations

import base64
import contextlib
import csv
import hashlib
import os
import stat
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path

from onex.configuration.settings import (
    PROJECT_FILE,
    REMOTE_KIND,
    Configuration,
    SourceConfiguration,
)
from onex.domain.release_trust import Check
from onex.manifests.node_files import MAXIMUM_NODE_FILES, is_pruned

PACKAGE_KIND = "package"

_ANYBODY = -1
"""Stands for users that are not known; no user has this number."""


class SourceAuthenticator:
    """Looks at the sources of one project."""

    def __init__(self, configuration: Configuration) -> None:
        self._configuration = configuration
        self._folders: dict[Path, str | None] = {}
        self._groups: dict[int, bool] = {}

    def authenticate(self, source: SourceConfiguration) -> Check:
        """What proves a source, or why nothing does."""
        if source.kind == REMOTE_KIND:
            if source.root is None:
                return Check.fails(
                    "source", "no root is pinned, so a mirror or a network may show another index"
                )
            return Check.holds("source", f"its index is signed by the root {source.root[:23]}...")
        if source.kind == PACKAGE_KIND:
            return Check.holds("source", "files are compared with the RECORD of their package")
        fault = None if source.path is None else self._fault(source.path)
        if fault is not None:
            return Check.fails("source", fault)
        return Check.holds("source", "it belongs to you, and others cannot write to it")

    def fault_of(self, manifest: Path, source: SourceConfiguration | None) -> str | None:
        """Why a node's files may be somebody else's; None if nothing says so.

        Args:
            manifest: the file of its manifest.
            source: the source that offers it; None for a folder that was scanned by its name.
        """
        if source is not None and source.kind == PACKAGE_KIND:
            recorded = self._package_fault(manifest)
            if recorded is not None:
                return recorded
        top = manifest.parent if source is None or source.path is None else source.path
        for place in manifest.parents:
            fault = self._fault(place)
            if fault is not None or place == top:
                break
        return fault or self._fault_below(manifest.parent)

    def _fault_below(self, folder: Path) -> str | None:
        """The first of a node's files that may be somebody else's."""
        count = 0
        for path, folders, files in os.walk(folder):
            folders[:] = [name for name in folders if not is_pruned(name)]
            for name in (*folders, *files):
                count += 1
                fault = self._fault(Path(path, name))
                if fault is not None or count > MAXIMUM_NODE_FILES:
                    return fault
        return None

    def _fault(self, place: Path) -> str | None:
        if place not in self._folders:
            self._folders[place] = self._look_at(place)
        return self._folders[place]

    def _look_at(self, place: Path) -> str | None:
        if os.name != "posix":
            return None
        try:
            status = place.lstat()
        except OSError:
            # What cannot be read is refused where it is read.
            return None
        if stat.S_ISLNK(status.st_mode):
            return None
        if status.st_mode & stat.S_IWOTH:
            return f"everybody can write to {place}"
        if status.st_mode & stat.S_IWGRP and not self._is_own_group(status.st_gid):
            return f"a group of several users can write to {place}"
        if status.st_uid not in self._owners:
            return f"{place} belongs to another user"
        return None

    def _is_own_group(self, number: int) -> bool:
        """Whether a group has this user, root, or the owner of the project alone."""
        known = self._groups.get(number)
        if known is None:
            known = self._groups[number] = _members(number) <= self._owners
        return known

    @cached_property
    def _owners(self) -> frozenset[int]:
        """The users whose files are taken: this one, root, and the one whose project it is."""
        owners = {0, os.getuid()}
        project = self._configuration.project
        if project is not None:
            try:
                owners.add((project / PROJECT_FILE).stat().st_uid)
            except OSError:
                return frozenset(owners)
        return frozenset(owners)

    def _package_fault(self, manifest: Path) -> str | None:
        """What differs from the RECORD of a package; None for nothing, or without a RECORD."""
        listed = {
            path: hash_
            for folder, files in self._recorded.items()
            if folder == manifest.parent or manifest.parent in folder.parents
            for path, hash_ in files.items()
        }
        if manifest not in listed:
            return None
        fault = self._fault(manifest.parent)
        if fault is not None:
            return fault
        for path, expected in listed.items():
            try:
                actual = hashlib.sha256(path.read_bytes()).digest()
            except OSError:
                return f"{path} is not there any more, and its package recorded it"
            if base64.urlsafe_b64encode(actual).rstrip(b"=").decode() != expected:
                return f"{path} is not what its package recorded when it was installed"
        return None

    @cached_property
    def _recorded(self) -> Mapping[Path, Mapping[Path, str]]:
        """The hashes of the files of installed packages, by folder, as each RECORD has them."""
        from importlib import metadata

        found: dict[Path, dict[Path, str]] = {}
        paths = [
            str(source.path)
            for source in self._configuration.sources
            if source.kind == PACKAGE_KIND and source.path is not None
        ]
        everything = metadata.distributions(path=paths) if paths else metadata.distributions()
        for distribution in everything:
            try:
                text = distribution.read_text("RECORD") or ""
                hashes = list(_hashes_in(text))
            # A RECORD that cannot be read proves nothing, and costs no other one.
            except (OSError, UnicodeDecodeError, csv.Error):
                continue
            for name, expected in hashes:
                place = Path(os.path.normpath(str(distribution.locate_file(name))))
                found.setdefault(place.parent, {})[place] = expected
        return found


def _hashes_in(record: str) -> Iterator[tuple[str, str]]:
    """The files in a RECORD that have a SHA-256, with it.

    ``Distribution.files`` leaves out those that are not there, from Python 3.12 on.
    """
    for row in csv.reader(record.splitlines()):
        name, hash_ = (*row, "", "")[:2]
        kind, _, value = hash_.partition("=")
        if name and kind == "sha256":
            yield name, value


def _members(number: int) -> frozenset[int]:
    """The users of a group, as far as the system can say; those whose own group it is, too."""
    import grp
    import pwd

    try:
        named = grp.getgrgid(number).gr_mem
    except KeyError:
        # Of a group without a name nothing is known; only one's own can be taken for one's own.
        return frozenset({os.getuid() if number == os.getgid() else _ANYBODY})
    listed = {user.pw_uid for user in pwd.getpwall() if user.pw_gid == number}
    for name in named:
        with contextlib.suppress(KeyError):
            listed.add(pwd.getpwnam(name).pw_uid)
    return frozenset(listed)
