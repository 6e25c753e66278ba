"""onex: a registry of versioned, executable nodes that can run what it resolves.

The names in ``__all__`` are the public interface. They are imported when first
used, so that ``import onex`` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onex.domain.constraint import VersionConstraint
    from onex.domain.errors import OnexError, ResolutionError
    from onex.domain.metadata import NodeMetadata
    from onex.domain.reference import NodeId, NodeRef
    from onex.domain.version import Version
    from onex.domain.workflow import Workflow
    from onex.registry import Registry

__version__ = "0.1.0"

_HOMES = {
    "NodeId": "onex.domain.reference",
    "NodeMetadata": "onex.domain.metadata",
    "NodeRef": "onex.domain.reference",
    "OnexError": "onex.domain.errors",
    "Registry": "onex.registry",
    "ResolutionError": "onex.domain.errors",
    "Version": "onex.domain.version",
    "VersionConstraint": "onex.domain.constraint",
    "Workflow": "onex.domain.workflow",
}

__all__ = [
    "NodeId",
    "NodeMetadata",
    "NodeRef",
    "OnexError",
    "Registry",
    "ResolutionError",
    "Version",
    "VersionConstraint",
    "Workflow",
    "__version__",
]


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'onex' has no attribute {name!r}")
    return getattr(import_module(home), name)
