"""A node on disk: its manifest, and the digest of its files."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from onex.domain.digest import write_listing
from onex.domain.errors import DocumentError, Location, Problem, Severity
from onex.domain.metadata import Entrypoint, NodeMetadata, Outcome
from onex.manifests.contract import read_contract
from onex.manifests.ignore_rules import IgnoreRules, rules_in
from onex.manifests.manifest import MANIFEST_SUFFIX, ManifestReading, read_manifest
from onex.manifests.metadata_block import find_block
from onex.manifests.node_files import (
    CODE_TYPES,
    CONTRACT_FILE,
    CollectedFiles,
    NodeFilesError,
    collect_files,
    inside,
    locate_target,
    read_node_files,
)
from onex.manifests.yaml_document import parse_yaml, read_limited

MAXIMUM_PACKAGE_DEPTH = 32
MAXIMUM_LINKS_NAMED = 10
MAXIMUM_README_BYTES = 32 * 1024
README_FILES = ("README.md", "README.rst", "README.txt", "README")
PACKAGE_FILE = "__init__.py"


@dataclass(frozen=True, slots=True)
class LocalNode:
    """A node version, the digest and the listing of its files, and the text of its README."""

    metadata: NodeMetadata
    digest: str
    readme: str = ""
    files: str = ""


@dataclass(frozen=True, slots=True)
class LocalReading:
    """What one manifest file gave; ``node`` is there for the outcome ``node`` alone."""

    outcome: Outcome
    problems: tuple[Problem, ...]
    node: LocalNode | None = None


def read_local_node(manifest: Path, rules: IgnoreRules | None = None) -> LocalReading:
    """Read a manifest and hash the files of its node. Nothing of it is imported or run.

    Args:
        manifest: a ``*.onex.yaml``, a ``contract.yaml``, or a text file with a metadata block.
        rules: the ignore rules in force in its folder, by default those of its repository.
    """
    if rules is None:
        rules = rules_in(str(manifest.parent), None)
    file = inside(manifest)
    if file.is_symlink():
        problem = Problem(
            "DOC001",
            Severity.ERROR,
            "the manifest is a link that leads out of its folder, or nowhere",
            Location(str(manifest)),
            "put the file itself there, or a link that stays in the folder",
        )
        return LocalReading("rejected", (problem,))
    try:
        content = read_limited(file, follow_link=False)
        reading = read_manifest_content(manifest, content)
    except DocumentError as error:
        return LocalReading("rejected", error.problems)
    if reading.metadata is None:
        outcome: Outcome = "skipped" if reading.is_template else "rejected"
        return LocalReading(outcome, reading.problems)
    entrypoint = reading.metadata.entrypoint
    problems = reading.problems
    try:
        collected = collect_files(manifest, entrypoint, rules)
        files = read_node_files(manifest.parent, collected.names, {manifest.name: content})
    except (NodeFilesError, OSError) as error:
        reason = str(error) if isinstance(error, NodeFilesError) else str(error.strerror)
        problem = Problem(
            "DSC004",
            Severity.ERROR,
            f"the node's files cannot be read: {reason}",
            Location(str(manifest)),
            "give the node a folder of its own with only its own files",
        )
        return LocalReading("rejected", (*problems, problem))
    problems += link_problems(manifest, collected)
    if locate_target(manifest, entrypoint) is None:
        problems += (
            Problem(
                "DSC005",
                Severity.WARNING,
                f"the entry point {entrypoint.target} is not there, so the node cannot run",
                Location(str(manifest)),
                "add the file below the manifest, or correct entrypoint",
            ),
        )
    contents = files.contents
    readme = next((contents[name] for name in README_FILES if name in contents), b"")
    text = readme[:MAXIMUM_README_BYTES].decode("utf-8", "ignore")
    node = LocalNode(reading.metadata, files.digest, text, write_listing(files.entries))
    return LocalReading("node", problems, node)


def link_problems(manifest: Path, collected: CollectedFiles) -> tuple[Problem, ...]:
    """The links below a manifest that are left out of its node."""
    return tuple(
        Problem(
            "DSC015",
            Severity.WARNING,
            f"the link {name} leads out of the node's folder or nowhere, so it is left out",
            Location(str(manifest)),
            "put the file itself there, or a link that stays in the folder",
        )
        for name in collected.left_out[:MAXIMUM_LINKS_NAMED]
    )


def read_manifest_content(manifest: Path, content: bytes) -> ManifestReading:
    """Read a manifest of any of the three forms; raises DocumentError."""
    if manifest.name.endswith(MANIFEST_SUFFIX):
        return read_manifest(parse_yaml(content, str(manifest)))
    if manifest.name == CONTRACT_FILE:
        return read_contract(parse_yaml(content, str(manifest)), package_of(manifest.parent))
    return _read_block(manifest, content)


def package_of(folder: Path) -> str | None:
    """The dotted name of the Python package that a folder is, None if it is none."""
    names: list[str] = []
    while (folder / PACKAGE_FILE).is_file() and len(names) < MAXIMUM_PACKAGE_DEPTH:
        names.append(folder.name)
        folder = folder.parent
    return ".".join(reversed(names)) or None


def has_block(path: Path) -> bool:
    """Whether a text file carries a metadata block."""
    try:
        text = read_limited(path, follow_link=False).decode("utf-8")
    except (DocumentError, UnicodeDecodeError):
        return False
    return find_block(text) is not None


def _read_block(path: Path, content: bytes) -> ManifestReading:
    block = find_block(content.decode("utf-8", "replace"))
    if block is None:
        return ManifestReading(None, (), is_template=True)
    # Empty lines in front, so that a problem's line is that of the file.
    padding = "\n" * (block.first_line - 1)
    reading = read_manifest(parse_yaml((padding + block.yaml).encode(), str(path)))
    if reading.metadata is None:
        return reading
    written = reading.metadata.entrypoint
    kind = written.type
    if path.suffix == ".py":
        kind = "python"
    elif kind in CODE_TYPES:
        kind = "document"
    entrypoint = Entrypoint(kind, path.name, written.callable_name)
    return replace(reading, metadata=replace(reading.metadata, entrypoint=entrypoint))
