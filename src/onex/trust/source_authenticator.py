"""SourceAuthenticator: whether what a source offers is from whom it seems to be.

Specification: Source Authentication. Each kind of source proves itself in its own way: a folder by
its owner and its mode, an installed package by the hashes of its RECORD (Recording installed
projects, packaging.python.org), a remote by the root that signs its index, and whoever publishes by
a token. What cannot be authenticated is not trusted, whatever ``onex.toml`` says.
"""

from __future__ import annotations

import base64
import hashlib
import os
import stat
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

from onex.configuration import PROJECT_FILE, REMOTE_KIND, Configuration, SourceConfiguration
from onex.domain.release_trust import Check

PACKAGE_KIND = "package"


class SourceAuthenticator:
    """Looks at the sources of one project."""

    def __init__(self, configuration: Configuration) -> None:
        self._configuration = configuration
        self._folders: dict[Path, str | None] = {}

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
                return recorded or None
        top = manifest.parent if source is None or source.path is None else source.path
        places = [manifest, *manifest.parents]
        for place in places:
            fault = self._fault(place)
            if fault is not None:
                return fault
            if place == top:
                return None
        return None

    def _fault(self, place: Path) -> str | None:
        if place not in self._folders:
            self._folders[place] = self._look_at(place)
        return self._folders[place]

    def _look_at(self, place: Path) -> str | None:
        if os.name != "posix":
            return None
        try:
            status = place.stat()
        except OSError:
            # What cannot be read is refused where it is read.
            return None
        if status.st_mode & stat.S_IWOTH:
            return f"everybody can write to {place}"
        if status.st_uid not in self._owners:
            return f"{place} belongs to another user"
        return None

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
        """What differs from the RECORD of a package; empty for nothing, None without a RECORD."""
        folder = manifest.parent
        listed = {
            path: hash_
            for path, hash_ in self._recorded.items()
            if path == manifest or folder in path.parents
        }
        if manifest not in listed:
            return None
        for path, expected in listed.items():
            try:
                actual = hashlib.sha256(path.read_bytes()).digest()
            except OSError:
                return f"{path} is not there any more, and its package recorded it"
            if base64.urlsafe_b64encode(actual).rstrip(b"=").decode() != expected:
                return f"{path} is not what its package recorded when it was installed"
        return ""

    @cached_property
    def _recorded(self) -> Mapping[Path, str]:
        """The files of installed packages with their hashes, as their RECORDs have them."""
        from importlib import metadata

        found: dict[Path, str] = {}
        paths = [
            str(source.path)
            for source in self._configuration.sources
            if source.kind == PACKAGE_KIND and source.path is not None
        ]
        everything = metadata.distributions(path=paths) if paths else metadata.distributions()
        for distribution in everything:
            try:
                files = distribution.files or ()
            # A RECORD that cannot be read proves nothing, and costs no other one.
            except Exception:  # noqa: BLE001, S112
                continue
            for file in files:
                if file.hash is not None and file.hash.mode == "sha256":
                    place = Path(os.path.normpath(str(distribution.locate_file(file))))
                    found[place] = file.hash.value
        return found
