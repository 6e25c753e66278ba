"""``.onextree``: a listing of a folder, checked against what is there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from onex.discovery.folder_walk import Folder, all_below
from onex.domain.errors import DocumentError, Problem, Severity
from onex.domain.json_value import JsonValue
from onex.manifests.manifest import MANIFEST_SUFFIX
from onex.manifests.yaml_document import read_yaml

LISTING_FILE = ".onextree"
MAXIMUM_SHOWN = 10


def check_listing(path: Path, folder: Folder) -> tuple[Problem, ...]:
    """Where a listing and its folder differ.

    A listed file that is missing is a difference, and so is a manifest that is not
    listed; other files need not be listed.
    """
    try:
        document = read_yaml(path, follow_link=False)
    except DocumentError as error:
        return error.problems
    listed = set(_files(document.data, ""))
    present = set(_present(folder))
    location = document.locate(())
    missing = sorted(listed - present)
    unlisted = sorted(name for name in present - listed if name.endswith(MANIFEST_SUFFIX))
    problems = [
        Problem(
            "DSC012",
            Severity.WARNING,
            f"{name} is listed, but not there",
            location,
            "remove it from the listing, or bring the file back",
        )
        for name in missing[:MAXIMUM_SHOWN]
    ]
    problems += [
        Problem(
            "DSC012",
            Severity.WARNING,
            f"the manifest {name} is not listed",
            location,
            "add it to the listing",
        )
        for name in unlisted[:MAXIMUM_SHOWN]
    ]
    more = len(missing) + len(unlisted) - len(problems)
    if more:
        problems.append(Problem("DSC012", Severity.WARNING, f"{more} more files differ", location))
    return tuple(problems)


def _files(entry: Mapping[str, JsonValue], prefix: str) -> Iterator[str]:
    """The files that a listing names, by path from its folder; hidden ones are left out."""
    children = entry.get("children")
    for child in children if isinstance(children, list) else ():
        if not isinstance(child, Mapping) or not isinstance(child.get("name"), str):
            continue
        name = f"{prefix}{child['name']}"
        if child.get("type") == "directory":
            yield from _files(child, f"{name}/")
        elif not str(child["name"]).startswith("."):
            yield name


def _present(folder: Folder) -> Iterator[str]:
    start = len(folder.path) + 1
    for current in all_below(folder):
        yield from (f"{current.path}/{name}"[start:] for name in current.files)
