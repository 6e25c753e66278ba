"""FileSystemDiscovery: manifests below a folder, read again only when they may have changed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from hashlib import blake2b
from itertools import chain
from pathlib import Path

from onex.discovery.folder_walk import Folder, TreeWalk, all_below, covered
from onex.discovery.listing import LISTING_FILE, check_listing
from onex.discovery.parallel import CHUNK, Task, read_in_chunks, read_manifests
from onex.discovery.source import Deadline, Discovery, Finding, SourceSnapshot
from onex.domain.errors import (
    Location,
    OnexError,
    PathNotReadableError,
    Problem,
    Severity,
)
from onex.domain.path_text import stored_path
from onex.manifests.ignore_rules import NO_RULES, IgnoreRules, rules_above, rules_in
from onex.manifests.local_node import has_block, read_local_node
from onex.manifests.manifest import MANIFEST_SUFFIX
from onex.manifests.metadata_block import BLOCK_SUFFIXES
from onex.manifests.node_files import CONTRACT_FILE, OWNED_FILES_RULES
from onex.storage.backend import SeenFile
from onex.storage.node_record import NodeRecord

# With the longest path and workspace, an index of every database can hold it.
MAXIMUM_SOURCE_NAME_BYTES = 560


class FileSystemDiscovery:
    """Every ``*.onex.yaml`` and ``contract.yaml`` below a folder. Linked folders are not entered.

    If a manifest stands beside a ``contract.yaml`` the manifest counts. With ``blocks``,
    text files that carry a metadata block are nodes too. ``in_repository`` says that ignore
    files above the folder count, up to the root of its repository.
    """

    kind = "filesystem"

    def __init__(
        self,
        path: Path,
        name: str | None = None,
        *,
        blocks: bool = False,
        in_repository: bool = True,
    ) -> None:
        try:
            self._root = Path(os.path.normpath(path.absolute()))
        except OSError as error:
            raise PathNotReadableError(
                f"{path} cannot be scanned: the working folder is not there any more",
                hint="change to another folder, or name an absolute path",
            ) from error
        self._in_repository = in_repository
        self.name = name or str(self._root)
        self._blocks = blocks

    def health_check(self) -> None:
        """Raise PathNotReadableError if the folder is missing or cannot be listed."""
        if len(stored_path(self.name).encode()) > MAXIMUM_SOURCE_NAME_BYTES:
            raise PathNotReadableError(
                f"{self._root} cannot be scanned: the name of the source is longer than"
                f" {MAXIMUM_SOURCE_NAME_BYTES} bytes",
                hint="declare it in onex.toml with a short name",
                location=Location(str(self._root)),
            )
        try:
            if not self._root.is_file():
                with os.scandir(self._root):
                    pass
        except OSError as error:
            raise PathNotReadableError(
                f"{self._root} cannot be scanned: {error.strerror}",
                hint="check the path and its permissions",
                location=Location(str(self._root)),
            ) from error

    def discover_nodes(self, memory: SourceSnapshot, deadline: Deadline) -> Discovery:
        """Say which manifests changed.

        Raises:
            PathNotReadableError: the folder is missing or cannot be listed.
            SourceTimeoutError: the deadline passed.
        """
        self.health_check()
        if self._root.is_file():
            gone = [path for path in memory.fingerprints if path != str(self._root)]
            beside = rules_in(str(self._root.parent), None) if self._in_repository else NO_RULES
            return Discovery([self._read(str(self._root), "", beside)], gone)
        root = str(self._root)
        above = rules_above(root, root) if self._in_repository else NO_RULES
        # What a scan remembers of a folder holds for the same settings and the same rules alone.
        settings = OWNED_FILES_RULES + (b"blocks" if self._blocks else b"")
        if above.levels:
            settings += above.fingerprint()
        walk = TreeWalk(root, memory.folders, deadline, settings, above)
        walk.run()
        unsettled = [path for path, known in memory.fingerprints.items() if not known]
        gone_folders = walk.gone()
        is_partial = bool(walk.unreadable)
        if not (walk.changed or gone_folders or unsettled):
            return Discovery(problems=walk.problems, is_partial=is_partial)
        present: set[str] = set()
        findings: list[Finding] = []
        tasks: list[Task] = []
        rules: dict[str, IgnoreRules] = {}
        dirty = _dirty_folders(walk.folders)
        for folder in walk.folders:
            names = list(self._manifests(walk, folder))
            if not names:
                continue
            for name in names:
                path = f"{folder.path}/{name}"
                present.add(path)
                known = memory.fingerprints.get(path)
                if known and id(folder) not in dirty:
                    continue
                is_listing = name == LISTING_FILE
                fingerprint = _fingerprint(all_below(folder) if is_listing else covered(folder))
                if known and fingerprint == known:
                    continue
                if is_listing:
                    problems = check_listing(Path(path), folder)
                    findings.append(Finding(SeenFile(path, fingerprint, "listing", problems)))
                else:
                    tasks.append((path, fingerprint))
                    rules[path] = walk.rules_in(folder)

        def read(task: Task) -> Finding:
            deadline.check()
            return self._read(*task, rules[task[0]])

        # The first are read at once, so that most sources answer within their time limit.
        findings += read_manifests(tasks[:CHUNK], read)
        more = read_in_chunks(tasks[CHUNK:], read)
        gone = [
            path for path in memory.fingerprints if path not in present and not walk.is_hidden(path)
        ]
        return Discovery(
            chain(findings, more), gone, walk.problems, is_partial, walk.changed, gone_folders
        )

    def _manifests(self, walk: TreeWalk, folder: Folder) -> Iterator[str]:
        """The names of files in a folder that may describe nodes."""
        has_manifest = folder.has_manifest
        for name in folder.files:
            is_candidate = (
                name.endswith(MANIFEST_SUFFIX)
                or (name == CONTRACT_FILE and not has_manifest)
                or name == LISTING_FILE
                or (self._blocks and name.endswith(BLOCK_SUFFIXES))
            )
            if is_candidate and not walk.is_ignored(folder, name):
                yield name

    def _read(self, path: str, fingerprint: str, rules: IgnoreRules) -> Finding:
        try:
            return self._read_manifest(path, fingerprint, rules)
        except OnexError:
            raise
        # A file that is odd in a way nobody thought of must cost itself alone.
        except Exception as error:  # noqa: BLE001
            problem = Problem(
                "DSC018",
                Severity.ERROR,
                f"the file could not be read: {type(error).__name__}: {error}"[:300],
                Location(path),
                "this is a defect of onex: report it with the file",
            )
            return Finding(SeenFile(path, fingerprint, "rejected", (problem,)))

    def _read_manifest(self, path: str, fingerprint: str, rules: IgnoreRules) -> Finding:
        manifest = Path(path)
        if not path.endswith((MANIFEST_SUFFIX, f"/{CONTRACT_FILE}")) and not has_block(manifest):
            return Finding(SeenFile(path, fingerprint, "plain"))
        reading = read_local_node(manifest, rules)
        node = reading.node
        files = "" if node is None else node.files
        file = SeenFile(path, fingerprint, reading.outcome, reading.problems, files)
        if node is None:
            return Finding(file)
        return Finding(file, NodeRecord.of(node.metadata, node.digest, node.readme))


def _dirty_folders(folders: list[Folder]) -> set[int]:
    """The identities of the folders in which, or below which, something may have changed."""
    dirty: set[int] = set()
    for folder in reversed(folders):
        if folder.is_changed or any(id(child) in dirty for child in folder.children):
            dirty.add(id(folder))
    return dirty


def _fingerprint(folders: Iterator[Folder]) -> str:
    """A hash over the files of folders; empty while one of them is unsettled."""
    digest = blake2b(digest_size=16)
    for folder in folders:
        if not folder.memory.fingerprint:
            return ""
        memory = folder.memory
        digest.update(os.fsencode(folder.path) + b"\0" + memory.fingerprint + memory.rules)
    return digest.hexdigest()
