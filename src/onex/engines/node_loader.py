"""NodeLoader: brings a node's files to where they run, and proves that they are the right ones."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from onex.domain.archive_place import ArchivePlace
from onex.domain.digest import DIGEST_PREFIX, differences, write_listing
from onex.domain.errors import (
    DigestMismatchError,
    NodeLoadError,
    OnexError,
    SecurityError,
    SourceError,
)
from onex.domain.metadata import Origin, RegisteredNode
from onex.engines.engine import PROGRAM, RUNNABLE, LoadedNode
from onex.local_machine import locked, make_folder, remove_tree
from onex.manifests.ignore_rules import IgnoreRules
from onex.manifests.node_files import (
    NodeFiles,
    NodeFilesError,
    collect_files,
    is_owned_file,
    locate_target,
    read_node_files,
    target_among,
)
from onex.telemetry.telemetry import Telemetry
from onex.worker.node_modules import PACKAGE_PREFIX

MAXIMUM_NAMED = 5
NODES_FOLDER = "nodes"


class NodeLoader:
    """Copies a node's files to a folder named by their digest, and runs only that copy.

    The bytes that were hashed are the bytes that run: a change of the source
    after the check has no effect on a run.
    """

    def __init__(
        self,
        folder: Path,
        workspace: str,
        listing_at: Callable[[Origin], str],
        rules_at: Callable[[Origin], IgnoreRules],
        archived: Callable[[Origin, RegisteredNode, Path], NodeFiles],
        telemetry: Telemetry | None = None,
    ) -> None:
        """``folder`` holds one folder for each digest.

        Files that ``workspace`` found are tried before those that others did.
        ``listing_at`` gives the files that a scan saw at an origin, as ``write_listing``
        wrote them; an empty text if that is not known. ``rules_at`` gives the ignore rules
        that hold there. ``archived`` gives the files of a node that an origin offers in an archive,
        or those that were unpacked to a folder before. ``telemetry`` is told how long it takes.
        """
        self._telemetry = telemetry or Telemetry()
        self._folder = folder
        self._workspace = workspace
        self._listing_at = listing_at
        self._rules_at = rules_at
        self._archived = archived
        self._loaded: dict[str, LoadedNode] = {}

    def load_node(self, node: RegisteredNode) -> LoadedNode:
        """Verify and unpack a node.

        Raises:
            NodeLoadError: the node has no code that can be found, at none of its origins.
            DigestMismatchError: its files are not those that were registered.
        """
        loaded = self._loaded.get(node.digest)
        if loaded is None:
            started = time.perf_counter()
            identity = node.metadata.node_version
            with self._telemetry.tracer.span("onex.load", {"onex.node": str(identity)}):
                loaded = self._load(node)
            self._telemetry.metrics.record_node_load(
                str(identity.node), time.perf_counter() - started
            )
            self._loaded[node.digest] = loaded
        return loaded

    def _load(self, node: RegisteredNode) -> LoadedNode:
        entrypoint = node.metadata.entrypoint
        if entrypoint.type not in RUNNABLE:
            raise NodeLoadError(
                f"{node.metadata.node_version} has an entry point of type {entrypoint.type},"
                " which cannot be run",
                hint="entry points that run are of type " + " or ".join(RUNNABLE),
            )
        first_problem: OnexError | None = None
        elsewhere = _found_elsewhere(node, self._workspace)
        if elsewhere:
            raise NodeLoadError(
                f"the files of {node.metadata.node_version} are not here, but in the workspace"
                f" {elsewhere[0]}",
                hint="get a copy of them, and run onex scan",
            )
        for origin in node.origins_from(self._workspace):
            try:
                return self._load_from(origin, node)
            except (NodeLoadError, SecurityError, SourceError) as problem:
                first_problem = first_problem or problem
        raise first_problem or NodeLoadError(
            f"{node.metadata.node_version} has no origin", hint="run onex scan"
        )

    def _load_from(self, origin: Origin, node: RegisteredNode) -> LoadedNode:
        identity = str(node.metadata.node_version)
        entrypoint = node.metadata.entrypoint
        manifest = Path(origin.path)
        archived = ArchivePlace.parse(origin.path)
        is_archived = archived is not None
        with self._telemetry.tracer.span("onex.verify", {"onex.digest": node.digest}):
            if is_archived:
                files = self._archived(origin, node, self._folder / folder_name(node.digest))
            else:
                files = _read(manifest, node, self._rules_at(origin))
        if files.digest != node.digest:
            changed = self._changes(origin, files)
            is_alone = origin.source == origin.path
            again = f"onex register {origin.path}" if is_alone else "onex scan"
            raise DigestMismatchError(
                f"the files of {identity} changed after they were registered{named(changed)}",
                hint=f"look at {manifest.parent}, then accept the change: {again}",
                details={"expected": node.digest, "found": files.digest, "changes": changed},
            )
        target = (
            target_among(files.contents, entrypoint)
            if is_archived
            else locate_target(manifest, entrypoint)
        )
        if target is None:
            raise NodeLoadError(
                f"the entry point {entrypoint.target} of {identity} is not there",
                hint="add the file below the manifest, or correct entrypoint",
            )
        if entrypoint.type == PROGRAM:
            _require_clean_interpreter(files.contents[target], target, identity)
        program = target if entrypoint.type == PROGRAM else None
        folder = unpack_files(self._folder, files.digest, files.contents, program)
        return LoadedNode(
            identity=identity,
            digest=files.digest,
            kind=entrypoint.type,
            folder=folder,
            file=folder / target,
            callable_name=entrypoint.callable_name,
            origin=folder if is_archived else manifest.parent,
            manifest=manifest.name if archived is None else archived.manifest,
            evidence=node.evidence,
        )

    def _changes(self, origin: Origin, files: NodeFiles) -> list[str]:
        """The files that differ from the last scan; empty if that is not known."""
        listing = self._listing_at(origin)
        return differences(listing, files.entries, files.contents) if listing else []


def folder_name(digest: str) -> str:
    """The name of the folder with the verified files of a digest, which Python can import."""
    return f"{PACKAGE_PREFIX}{digest.removeprefix(DIGEST_PREFIX)}"


def unpack_files(
    above: Path, digest: str, contents: Mapping[str, bytes], program: str | None
) -> Path:
    """Unpack verified files to a folder named by their digest, which is read-only; returns it.

    Args:
        above: where the folder is.
        digest: that of the files.
        contents: the files, by their paths.
        program: which of them is executed, if one is.

    Raises:
        NodeLoadError: they cannot be written.
    """
    folder = above / folder_name(digest)
    if _holds(folder, contents):
        return folder
    draft = above / f".unpack-{uuid.uuid4().hex}"
    try:
        make_folder(draft)
        for name, content in contents.items():
            file = draft / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        _make_read_only(draft)
        if program is not None:
            (draft / program).chmod(0o555)
        with locked(above):
            # Another process may have been faster, and may run from there by now.
            if _holds(folder, contents):
                remove_tree(draft)
                return folder
            if folder.exists():
                remove_tree(folder)
            draft.replace(folder)
    except OSError as error:
        remove_tree(draft)
        if not _holds(folder, contents):
            raise NodeLoadError(
                f"the node could not be unpacked to {folder}: {error.strerror}",
                hint="check that the folder can be written and the disk has space",
            ) from error
    return folder


def _make_read_only(folder: Path) -> None:
    for place, _, files in os.walk(folder, topdown=False):
        for file in files:
            Path(place, file).chmod(0o444)
        Path(place).chmod(0o555)


def changes_of_files(
    folder: Path, node: RegisteredNode, workspace: str, rules_at: Callable[[Origin], IgnoreRules]
) -> list[str]:
    """How the files of a node differ from those that once were unpacked to a folder.

    Nothing if they were never unpacked, or cannot be read.
    """
    if not folder.is_dir() or not node.origins:
        return []
    # What Python keeps beside the code is not part of the node.
    unpacked = [path for path in folder.rglob("*") if path.is_file() and is_owned_file(path.name)]
    names = [path.relative_to(folder).as_posix() for path in unpacked]
    origin = node.origins_from(workspace)[0]
    manifest = Path(origin.path)
    try:
        before = read_node_files(folder, sorted(names))
        rules = rules_at(origin)
        collected = collect_files(manifest, node.metadata.entrypoint, rules)
        now = read_node_files(manifest.parent, collected.names)
    except (OSError, NodeFilesError):
        return []
    return differences(write_listing(before.entries), now.entries, now.contents)


def named(changes: Sequence[str]) -> str:
    """The first few changes in one text, with ``: `` before them; nothing for none."""
    if not changes:
        return ""
    more = len(changes) - MAXIMUM_NAMED
    return ": " + ", ".join(changes[:MAXIMUM_NAMED]) + (f" and {more} more" if more > 0 else "")


def _read(manifest: Path, node: RegisteredNode, rules: IgnoreRules) -> NodeFiles:
    """The files of a node, from a folder or an installed package."""
    try:
        collected = collect_files(manifest, node.metadata.entrypoint, rules)
        return read_node_files(manifest.parent, collected.names)
    except (OSError, NodeFilesError) as error:
        raise NodeLoadError(
            f"the files of {node.metadata.node_version} cannot be read: {error}",
            hint="run onex scan, or onex register, to learn where the node is now",
        ) from error


def _require_clean_interpreter(content: bytes, target: str, identity: str) -> None:
    """Refuse a program whose first line names an interpreter that ends in a carriage return."""
    first, _, _ = content.partition(b"\n")
    if first.startswith(b"#!") and first.endswith(b"\r"):
        raise NodeLoadError(
            f"the first line of {target} of {identity} ends with a carriage return, so the system"
            " looks for an interpreter of that odd name",
            hint="save the file with the line ends of Unix",
        )


def _holds(folder: Path, contents: Mapping[str, bytes]) -> bool:
    """Whether an unpacked folder has every file exactly as it was hashed, and nothing else."""
    places = {parent for name in contents for parent in Path(name).parents}
    found: set[str] = set()
    try:
        for place, folders, files in os.walk(folder):
            inner = Path(place).relative_to(folder)
            if any(inner / name not in places for name in folders):
                return False
            found.update((inner / name).as_posix() for name in files)
        return found == contents.keys() and all(
            (folder / name).read_bytes() == content for name, content in contents.items()
        )
    except OSError:
        return False


def _found_elsewhere(node: RegisteredNode, workspace: str) -> list[str]:
    """The workspaces that have the files of a node, if they are in others alone."""
    others = [origin for origin in node.origins if origin.workspace not in ("", workspace)]
    if len(others) < len(node.origins) or any(Path(other.path).exists() for other in others):
        return []
    return [other.workspace for other in others]
