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

from onex.discovery.filesystem import FileSystemDiscovery
from onex.discovery.source import Deadline, Discovery, Finding, SourceSnapshot
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
        """Raise PathNotReadableError if a folder to look in is missing."""
        for path in self._paths or ():
            if not Path(path).is_dir():
                raise PathNotReadableError(
                    f"{path} is not a folder", hint="name the folder that packages are installed in"
                )

    def discover_nodes(self, memory: SourceSnapshot, deadline: Deadline) -> Discovery:
        """Read the manifest of each entry point, if it may have changed."""
        self.health_check()
        findings: list[Finding] = []
        problems: list[Problem] = []
        present: set[str] = set()
        places: dict[Path, None] = {}
        for distribution, name in self._distributions():
            try:
                found, told = _places(distribution, name)
            # One broken installation must not cost the others.
            except Exception as error:  # noqa: BLE001
                problems.append(_unreadable(name, error))
                continue
            places |= dict.fromkeys(found)
            problems += told
        for place in places:
            deadline.check()
            known = {
                path: fingerprint
                for path, fingerprint in memory.fingerprints.items()
                if path == str(place) or path.startswith(f"{place}{os.sep}")
            }
            files = FileSystemDiscovery(place, in_repository=False)
            try:
                discovery = files.discover_nodes(SourceSnapshot(known), deadline)
            except PathNotReadableError as error:
                problems.append(_as_problem(error))
                continue
            # What lies deeper is part of the node, or a node that no entry point names.
            beside = [
                f for f in discovery.findings if Path(f.file.path).parent in (place, place.parent)
            ]
            findings += beside
            problems += discovery.problems
            present |= {finding.file.path for finding in beside}
            present |= set(known) - set(discovery.gone)
        gone = [path for path in memory.fingerprints if path not in present]
        return Discovery(findings, gone, problems)

    def _distributions(self) -> Iterator[tuple[metadata.Distribution, str]]:
        """Each distribution once, as Python would find it, with its name."""
        seen: set[str] = set()
        found = (
            metadata.distributions()
            if self._paths is None
            else metadata.distributions(path=self._paths)
        )
        for distribution in found:
            name = _name_of(distribution)
            if name.lower() not in seen:
                seen.add(name.lower())
                yield distribution, name


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


def _name_of(distribution: metadata.Distribution) -> str:
    """The name of a distribution; that of its folder if its metadata cannot be read."""
    try:
        name = distribution.metadata["Name"]
    except Exception:  # noqa: BLE001 - whatever is wrong with it, it has a folder
        name = None
    return str(name or Path(str(getattr(distribution, "_path", "unknown"))).name)


def _places(distribution: metadata.Distribution, name: str) -> tuple[list[Path], list[Problem]]:
    """The folders and manifests of the nodes that a distribution declares, and what is wrong."""
    lines = list(_entry_point_lines(distribution))
    if not lines:
        return [], []
    roots = list(_roots(distribution))
    places: list[Path] = []
    problems: list[Problem] = []
    for line in lines:
        point, separator, value = (part.strip() for part in line.partition("="))
        if not separator:
            problems.append(_without_manifest(name, point, line, "which has no value"))
            continue
        target = _target_of(value, roots)
        if target is None:
            is_zipped = any(root.is_file() for r in roots for root in (r, *r.parents))
            reason = "which lies in a zip file" if is_zipped else "which is not installed"
            problems.append(_without_manifest(name, point, value, f"{reason}"))
            continue
        found = _manifests_of(target, distribution)
        places += found
        if not found:
            folder = target if target.is_dir() else target.parent
            reason = f"and {folder} holds no manifest"
            problems.append(_without_manifest(name, point, value, reason))
    return places, problems


def _entry_point_lines(distribution: metadata.Distribution) -> Iterator[str]:
    """The lines of our group; lines of others, whatever is wrong with them, are not looked at."""
    is_ours = False
    for line in (distribution.read_text("entry_points.txt") or "").splitlines():
        text = line.strip()
        if text.startswith("[") and text.endswith("]"):
            is_ours = text[1:-1].strip() == ENTRY_POINT_GROUP
        elif is_ours and text and not text.startswith(("#", ";")):
            yield text


def _target_of(value: str, roots: Sequence[Path]) -> Path | None:
    """The folder of the package, or the file of the module, that an entry point names."""
    parts = value.partition(":")[0].partition("[")[0].strip().split(".")
    if not all(part.isidentifier() for part in parts):
        return None
    for root in roots:
        target = root.joinpath(*parts)
        if target.is_dir():
            return target
        if target.with_suffix(".py").is_file():
            return target.with_suffix(".py")
    return None


def _manifests_of(target: Path, distribution: metadata.Distribution) -> list[Path]:
    """The folder of a package with a manifest, or the manifests beside a module.

    A module may share its folder with those of other distributions: only what was recorded
    as its own distribution's counts.
    """
    from onex.manifests.node_files import CONTRACT_SUFFIXES

    if target.is_dir():
        has_manifest = any(e.name.endswith(CONTRACT_SUFFIXES) for e in os.scandir(target))
        return [target] if has_manifest else []
    if not any(target.parent.glob("*.dist-info")):
        beside = any(e.name.endswith(CONTRACT_SUFFIXES) for e in os.scandir(target.parent))
        return [target.parent] if beside else []
    recorded = {Path(str(distribution.locate_file(f))) for f in distribution.files or ()}
    return sorted(
        path
        for path in recorded
        if path.parent == target.parent and path.name.endswith(CONTRACT_SUFFIXES) and path.is_file()
    )


def _without_manifest(name: str, point: str, value: str, reason: str) -> Problem:
    return Problem(
        "DSC013",
        Severity.WARNING,
        f"the entry point {point} of {name} names {value}, {reason}",
        hint="put a *.onex.yaml or a contract.yaml beside the code, and install it as package data",
    )


def _unreadable(name: str, error: Exception) -> Problem:
    return Problem(
        "DSC019",
        Severity.WARNING,
        f"the distribution {name} cannot be read: {type(error).__name__}: {error}"[:300],
        hint="install it again; the others were read",
    )


def _as_problem(error: OnexError) -> Problem:
    return Problem(error.code, Severity.WARNING, error.message, hint=error.hint)
