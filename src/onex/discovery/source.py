"""DiscoverySource: one place that nodes come from."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from onex.domain.advisory import Advisory
from onex.domain.errors import Problem, SourceTimeoutError
from onex.domain.evidence import Evidence
from onex.domain.metadata import VersionState
from onex.domain.namespace_owners import NamespaceOwners
from onex.domain.reference import NodeId
from onex.storage.backend import SeenFile
from onex.storage.node_record import NodeRecord
from onex.storage.scan_memory import FolderSnapshot


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment of the monotonic clock; ``limit_seconds`` is how long it lay ahead at first."""

    at: float
    limit_seconds: float

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        """The deadline that many seconds from now."""
        return cls(time.monotonic() + seconds, seconds)

    @property
    def remaining_seconds(self) -> float:
        """How long there is left; negative when it has passed."""
        return self.at - time.monotonic()

    def check(self) -> None:
        """Raise SourceTimeoutError when the deadline has passed."""
        if self.remaining_seconds < 0:
            raise SourceTimeoutError(
                f"the source did not answer within {self.limit_seconds:g} seconds",
                hint="narrow the source, leave folders out with .onexignore, or raise timeout",
            )


@dataclass(frozen=True, slots=True)
class SourceSnapshot:
    """What the registry remembers of a source's last scan.

    ``fingerprints`` gives for the path of each manifest what it had then; an empty
    one asks for the manifest to be read again. ``folders`` is there for sources
    that walk, and for remotes, whose files of the index they are; ``known_folders`` are their
    paths, also if they are to be read again.
    """

    fingerprints: Mapping[str, str] = field(default_factory=dict)
    folders: Mapping[str, FolderSnapshot] = field(default_factory=dict)
    known_folders: frozenset[str] = frozenset()

    def without_fingerprints(self) -> SourceSnapshot:
        """The same manifests, each to be read again."""
        return SourceSnapshot(dict.fromkeys(self.fingerprints, ""), {}, frozenset(self.folders))


@dataclass(frozen=True, slots=True)
class Finding:
    """What a source says of one manifest; ``node`` is None for one rejected or skipped.

    ``state`` is what the source decided of the version, and ``evidence`` what it shows for it;
    None if it does neither.
    """

    file: SeenFile
    node: NodeRecord | None = None
    state: VersionState | None = None
    evidence: Evidence | None = None


@dataclass(frozen=True, slots=True)
class Discovery:
    """What changed in a source since its last scan.

    ``findings`` are the manifests that are new or may have changed; they may be read
    only while they are taken. ``gone`` are the paths of those that are there no
    more; all others are as they were. ``problems`` concern the source itself;
    ``is_partial`` says that something in it could not be read, so that what was
    found there before is kept. ``folders`` and ``gone_folders`` are what to
    remember of a walk; ``owners`` are those of namespaces of which something new was seen, in the
    ``registry`` with that identifier; ``advisories`` are all those about some nodes.
    """

    findings: Iterable[Finding] = ()
    gone: Sequence[str] = ()
    problems: Sequence[Problem] = ()
    is_partial: bool = False
    folders: Sequence[FolderSnapshot] = ()
    gone_folders: Sequence[str] = ()
    owners: Sequence[NamespaceOwners] = ()
    registry: str = ""
    advisories: Mapping[NodeId, Sequence[Advisory]] = field(default_factory=dict)


class DiscoverySource(Protocol):
    """A place that nodes come from. Reading it never imports or runs what it finds."""

    @property
    def name(self) -> str:
        """The name under which the registry remembers the source."""
        ...

    @property
    def kind(self) -> str:
        """``filesystem``, ``package``, ``remote``, or what a third party calls its own."""
        ...

    def discover_nodes(self, memory: SourceSnapshot, deadline: Deadline) -> Discovery:
        """Say what changed since the last scan.

        Raises:
            OnexError: the source as a whole cannot be read, or not before the deadline.
        """
        ...

    def health_check(self) -> None:
        """Try whether the source answers; raises OnexError if it does not."""
        ...
