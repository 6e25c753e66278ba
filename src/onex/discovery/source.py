"""DiscoverySource: one place that nodes come from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from onex.domain.errors import Problem
from onex.manifests.local_node import LocalNode
from onex.storage.backend import SeenFile


@dataclass(frozen=True, slots=True)
class Finding:
    """What a source says of one manifest.

    ``node`` is None for a manifest that was rejected or skipped, and for one
    that is unchanged since the last scan.
    """

    file: SeenFile
    node: LocalNode | None = None
    is_unchanged: bool = False


@dataclass(frozen=True, slots=True)
class Discovery:
    """Everything one source offers now.

    ``problems`` concern the source itself, such as a folder that cannot be
    read; ``unreadable`` are the folders whose content is therefore unknown, so
    that what was found there before is kept.
    """

    findings: Sequence[Finding]
    problems: Sequence[Problem] = ()
    unreadable: Sequence[str] = ()


class DiscoverySource(Protocol):
    """A place that nodes come from. Reading it never imports or runs what it finds."""

    @property
    def name(self) -> str:
        """The name under which the registry remembers the source."""
        ...

    @property
    def kind(self) -> str:
        """``filesystem``, ``package`` or ``remote``."""
        ...

    def discover_nodes(self, known: Mapping[str, SeenFile]) -> Discovery:
        """List every manifest; those whose fingerprint is known are not read again.

        Raises:
            OnexError: the source as a whole cannot be read.
        """
        ...
