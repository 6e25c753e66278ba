"""DependencyProvider and VersionPolicy: what exists, what it needs, and which is preferred."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from onex.domain.constraint import VersionConstraint
from onex.domain.version import Version


class DependencyProvider(Protocol):
    """The registry as the solver sees it. Nodes are named by text."""

    def versions(self, node: str) -> Sequence[Version]:
        """Every known version of a node in any order; none for an unknown node."""
        ...

    def dependencies(self, node: str, version: Version) -> Mapping[str, VersionConstraint]:
        """The nodes that this version needs, and in which versions."""
        ...


class VersionPolicy(Protocol):
    """Which of several possible versions is the better choice."""

    def preference(self, node: str, version: Version) -> int:
        """The greater, the better; among equals the newest version is chosen.

        A version with a negative preference is reserved: only a constraint that
        names exactly this version selects it.
        """
        ...

    def reservation(self, node: str, version: Version) -> str | None:
        """Why a version is reserved, such as ``is yanked: it loses data``; None if it is not."""
        ...

    def optional_dependencies(self, node: str, version: Version) -> Mapping[str, VersionConstraint]:
        """The nodes that this version does without, but takes only in these versions."""
        ...

    def unavailable_reason(self, node: str, version: Version) -> str | None:
        """Why a version cannot be used at all, such as ``needs Python >=3.12``; None if it can."""
        ...


class StableFirst:
    """The policy for plain sets of versions: stable before prerelease, newest first."""

    def preference(self, node: str, version: Version) -> int:
        return 0 if version.prerelease else 1

    def reservation(self, node: str, version: Version) -> str | None:
        return None

    def optional_dependencies(self, node: str, version: Version) -> Mapping[str, VersionConstraint]:
        return {}

    def unavailable_reason(self, node: str, version: Version) -> str | None:
        return None
