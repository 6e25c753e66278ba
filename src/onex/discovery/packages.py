"""PluginDiscovery: nodes of installed Python distributions, found without importing them.

A distribution names its nodes in the entry-point group ``onex.nodes``. The value is a
package, a module or a class; the manifest stands in the package's folder, or in that
of the module.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

from onex.discovery.deadline import Deadline
from onex.discovery.filesystem import FileSystemDiscovery
from onex.discovery.source import Discovery, Finding, SourceMemory
from onex.domain.errors import OnexError, PathNotReadableError, Problem, Severity

ENTRY_POINT_GROUP = "onex.nodes"


class PluginDiscovery:
    """The nodes that installed distributions declare.

    Args of the constructor: ``paths`` are folders to look for distributions in, by
    default those of this Python.
    """

    kind = "package"

    def __init__(self, name: str = "packages", paths: Sequence[str] | None = None) -> None:
        self.name = name
        self._paths = list(paths) if paths is not None else None

    def health_check(self) -> None:
        """Raise PathNotReadableError where a folder to look in is missing."""
        for path in self._paths or ():
            if not Path(path).is_dir():
                raise PathNotReadableError(
                    f"{path} is not a folder", hint="name the folder that packages are installed in"
                )

    def discover_nodes(self, memory: SourceMemory, deadline: Deadline) -> Discovery:
        """Read the manifest of each entry point, where it may have changed."""
        self.health_check()
        findings: list[Finding] = []
        problems: list[Problem] = []
        present: set[str] = set()
        folders: dict[Path, None] = {}
        for distribution in self._distributions():
            roots = list(_roots(distribution))
            for point in distribution.entry_points:
                if point.group != ENTRY_POINT_GROUP:
                    continue
                folder = _folder_of(point.value, roots)
                if folder is None or not _has_manifest(folder):
                    problems.append(_without_manifest(distribution, point, folder))
                else:
                    folders[folder] = None
        for folder in folders:
            deadline.check()
            files = FileSystemDiscovery(folder, in_repository=False)
            known = {
                path: fingerprint
                for path, fingerprint in memory.fingerprints.items()
                if path.startswith(f"{folder}{os.sep}")
            }
            try:
                found = files.discover_nodes(SourceMemory(known), deadline)
            except PathNotReadableError as error:
                problems.append(_as_problem(error))
                continue
            # What lies deeper is part of the node, or a node that no entry point names.
            beside = [f for f in found.findings if Path(f.file.path).parent == folder]
            findings += beside
            problems += found.problems
            present |= {finding.file.path for finding in beside}
            present |= set(known) - set(found.gone)
        gone = [path for path in memory.fingerprints if path not in present]
        return Discovery(findings, gone, problems)

    def _distributions(self) -> Iterator[metadata.Distribution]:
        """Each distribution once, as Python would find it."""
        seen: set[str] = set()
        found = (
            metadata.distributions()
            if self._paths is None
            else metadata.distributions(path=self._paths)
        )
        for distribution in found:
            name = distribution.metadata["Name"]
            if name and name.lower() not in seen:
                seen.add(name.lower())
                yield distribution


def _roots(distribution: metadata.Distribution) -> Iterator[Path]:
    """The folders in which the packages of a distribution may lie."""
    site = Path(str(distribution.locate_file("")))
    yield site
    url = _editable_url(distribution)
    if url is not None:
        project = Path(url2pathname(unquote(urlsplit(url).path)))
        yield from (project / "src", project)
    # An editable installation may name its folder in a file of paths instead.
    for entry in distribution.files or ():
        if str(entry).endswith(".pth"):
            yield from _paths_in(Path(str(distribution.locate_file(entry))))


def _editable_url(distribution: metadata.Distribution) -> str | None:
    try:
        direct = json.loads(distribution.read_text("direct_url.json") or "null")
    except ValueError:
        return None
    if not isinstance(direct, dict) or not str(direct.get("url", "")).startswith("file://"):
        return None
    return str(direct["url"])


def _paths_in(file: Path) -> Iterator[Path]:
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return
    for line in lines:
        if line.strip() and not line.startswith(("import ", "import\t", "#")):
            yield file.parent / line.strip()


def _folder_of(value: str, roots: Sequence[Path]) -> Path | None:
    """The folder of the package, or of the module, that an entry point names."""
    parts = value.partition(":")[0].partition("[")[0].strip().split(".")
    if not all(part.isidentifier() for part in parts):
        return None
    for root in roots:
        target = root.joinpath(*parts)
        if target.is_dir():
            return target
        if target.with_suffix(".py").is_file():
            return target.parent
    return None


def _has_manifest(folder: Path) -> bool:
    from onex.manifests.node_files import CONTRACT_SUFFIXES

    return any(entry.name.endswith(CONTRACT_SUFFIXES) for entry in os.scandir(folder))


def _without_manifest(
    distribution: metadata.Distribution, point: metadata.EntryPoint, folder: Path | None
) -> Problem:
    where = "which is not installed" if folder is None else f"and {folder} holds no manifest"
    return Problem(
        "DSC013",
        Severity.WARNING,
        f"the entry point {point.name} of {distribution.metadata['Name']} names"
        f" {point.value}, {where}",
        hint="put a *.onex.yaml or a contract.yaml beside the code, and install it as package data",
    )


def _as_problem(error: OnexError) -> Problem:
    return Problem(error.code, Severity.WARNING, error.message, hint=error.hint)
