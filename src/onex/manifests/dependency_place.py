"""Where in a manifest a dependency was written."""

from __future__ import annotations

from pathlib import Path

from onex.domain.errors import DocumentError, InvalidReferenceError, Location
from onex.domain.metadata import Dependency
from onex.manifests.dependency import read_dependency
from onex.manifests.yaml_document import read_yaml


def locate_dependency(manifest: Path, names: frozenset[str]) -> Location | None:
    """The place of the first dependency on a node that goes by one of these names.

    None if the manifest cannot be read any more or no longer has it.
    """
    try:
        document = read_yaml(manifest, follow_link=False)
    except DocumentError:
        return None
    entries = document.data.get("dependencies")
    for index, entry in enumerate(entries if isinstance(entries, list) else ()):
        try:
            dependency = read_dependency(entry)
        except InvalidReferenceError:
            continue
        if not isinstance(dependency, Dependency):
            continue
        reference = dependency.reference
        if reference.name in names or str(reference.node) in names:
            return document.locate(("dependencies", index))
    return None
