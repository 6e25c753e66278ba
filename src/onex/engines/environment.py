"""The environment of a result: Python, libraries, declared variables."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping

from onex.domain.errors import LibraryMissingError
from onex.domain.json_value import JsonValue
from onex.domain.metadata import NodeMetadata
from onex.domain.permission import Permission
from onex.worker.context import SECRET_PREFIX

_SEEN_BY_ALL = ("LANG", "LC_ALL", "TZ")


def granted_variables(
    permissions: Iterable[Permission], environment: Mapping[str, str]
) -> dict[str, str]:
    """The environment variables that a node may read (``environment.read``), if they are set."""
    return {
        p.resource: environment[p.resource]
        for p in permissions
        if p.kind == "environment.read"
        and p.resource in environment
        # A secret is had by the permission for it, and is hidden then.
        and not p.resource.startswith(SECRET_PREFIX)
    }


def system_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """What every node is given of the environment and may show in its result."""
    return {name: environment[name] for name in _SEEN_BY_ALL if name in environment}


def installed_version(library: str) -> str | None:
    """The installed version of a Python library; None if it is not there."""
    from importlib import metadata

    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return None


def library_versions(node: NodeMetadata) -> dict[str, str]:
    """The installed versions of the Python libraries that a node declares.

    Raises:
        LibraryMissingError: one is not there, or not in a version that fits (PEP 508).
    """
    if not node.libraries:
        return {}
    # Both take longer to import than everything else that a run needs together.
    from importlib import metadata

    from packaging.requirements import InvalidRequirement, Requirement

    found: dict[str, str] = {}
    for text in node.libraries:
        try:
            requirement = Requirement(text)
        except InvalidRequirement as error:
            raise LibraryMissingError(
                f"{node.node_version} declares {text!r}, which is not a Python requirement",
                hint="write it as pip has it: name>=1.0",
            ) from error
        if requirement.marker is not None and not requirement.marker.evaluate():
            continue
        try:
            version = metadata.version(requirement.name)
        except metadata.PackageNotFoundError as error:
            raise LibraryMissingError(
                f"{node.node_version} needs the Python library {text}, which is not installed",
                hint=f"{sys.executable} -m pip install '{text}'",
            ) from error
        if not requirement.specifier.contains(version, prereleases=True):
            raise LibraryMissingError(
                f"{node.node_version} needs the Python library {text}, and {version} is installed",
                hint=f"{sys.executable} -m pip install '{text}'",
            )
        found[requirement.name] = version
    return found


def host_environment() -> dict[str, JsonValue]:
    """The Python and the platform that run nodes."""
    return {"python": ".".join(map(str, sys.version_info[:3])), "platform": sys.platform}
