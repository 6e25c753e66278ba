"""Reading and making the lock of a project."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from onex.domain.errors import ConfigurationError
from onex.domain.reference import NodeRef
from onex.resolver.dependency_resolver import DependencyResolution
from onex.resolver.lockfile import LockedRequest, Lockfile


def read_lockfile(path: Path) -> Lockfile:
    """Read a lockfile; raises ConfigurationError if it cannot be read as one."""
    try:
        return Lockfile.parse(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"{path} cannot be read: {error}", hint="check the path, or run onex lock"
        ) from error


def locked_request(
    workflow: str, references: Sequence[NodeRef], resolution: DependencyResolution
) -> LockedRequest:
    """The lock of what was chosen for references that a workflow asks."""
    names = {
        reference.without_constraint(): str(node)
        for reference, node in zip(references, resolution.roots, strict=True)
    }
    return LockedRequest.of(
        workflow, names, resolution.requirements, resolution.selected, resolution.needs
    )
