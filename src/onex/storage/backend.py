"""StorageBackend: the protocol of storages of a registry."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol, TypeVar

from onex.domain.access_control import NOTHING_HIDDEN, HiddenNamespaces
from onex.domain.constraint import VersionConstraint
from onex.domain.errors import Problem
from onex.domain.event import Event, LogHead
from onex.domain.evidence import Evidence
from onex.domain.grant import Grant
from onex.domain.json_value import JsonObject
from onex.domain.lifecycle import Lifecycle
from onex.domain.metadata import Origin, Outcome, RegisteredNode, SourceId, VersionState
from onex.domain.permission import Permission
from onex.domain.reference import NodeId, NodeVersion
from onex.domain.version import Version
from onex.storage.node_record import NodeRecord
from onex.storage.query import MetadataQuery, Page, SearchResult
from onex.storage.scan_memory import FolderSnapshot

Result = TypeVar("Result")

KEEP_ALL = 1_000_000
"""More versions of signed metadata than a role will ever have."""


@dataclass(frozen=True, slots=True)
class SeenFile:
    """What the last scan made of one manifest file.

    ``fingerprint`` changes whenever a file of the node may have changed; ``files`` names
    the node's files with their hashes, as ``digest.write_listing`` does.
    """

    path: str
    fingerprint: str
    outcome: Outcome
    problems: tuple[Problem, ...] = ()
    files: str = ""


@dataclass(frozen=True, slots=True)
class StoredNode:
    """A node version as a writer sees it.

    ``body`` is its metadata as canonical JSON; ``origins`` are in the order in which they
    were added, and never none; ``evidence`` is what speaks for it, if that is known.
    """

    digest: str
    body: str
    origins: tuple[Origin, ...]
    evidence: Evidence | None = None


class StorageWriter(Protocol):
    """One write transaction. Every change of a node appends its event here too."""

    def expect(self, nodes: Iterable[NodeVersion], origins: Iterable[Origin] = ()) -> None:
        """Read at once what is known of these node versions and these places."""
        ...

    def sources(self, workspace: str) -> Sequence[SourceId]:
        """The sources of a workspace that offered something when the transaction began."""
        ...

    def find(self, node: NodeVersion) -> StoredNode | None:
        """The node version as this transaction sees it."""
        ...

    def node_at(self, origin: Origin) -> NodeVersion | None:
        """The node version that was found at an origin."""
        ...

    def insert(self, record: NodeRecord, origin: Origin, evidence: Evidence | None = None) -> None:
        """Register a node version that is not there yet, with what speaks for it.

        What was decided of it before it was absent holds again, and the log says so.
        """
        ...

    def update(self, record: NodeRecord) -> None:
        """Replace the metadata and digest of a node version that is there."""
        ...

    def put_words(self, record: NodeRecord) -> None:
        """Store the words by which a node version that is there is found."""
        ...

    def set_yanked(self, node: NodeVersion, *, yanked: bool, reason: str | None) -> None:
        """Withdraw a node version from new resolutions, or bring it back."""
        ...

    def set_lifecycle(
        self,
        node: NodeVersion,
        lifecycle: Lifecycle,
        *,
        deprecated_by: str | None,
        reason: str | None,
    ) -> None:
        """Take a node version to another state; raises LifecycleError if the rules forbid it."""
        ...

    def follow(self, node: NodeVersion, state: VersionState) -> bool:
        """Decide of a version what the registry it comes from decided; returns whether it changed.

        The rules of transitions are that registry's.
        """
        ...

    def set_evidence(self, node: NodeVersion, evidence: Evidence) -> bool:
        """Store what speaks for a version; returns whether that changed."""
        ...

    def add_origin(self, node: NodeVersion, origin: Origin) -> None:
        """Note a further place that offers the same node version."""
        ...

    def remove_origin(self, origin: Origin) -> bool:
        """Forget an origin, and its node when it was the last; returns whether it was."""
        ...

    def remember(self, source: SourceId, file: SeenFile) -> None:
        """Store the outcome of scanning a file."""
        ...

    def forget(self, source: SourceId, path: str) -> None:
        """Drop the outcome of a file that is gone."""
        ...

    def scan_token(self, source: SourceId) -> str | None:
        """The token of the scan of a source that stored something last."""
        ...

    def note_scan(self, source: SourceId, token: str, *, is_complete: bool) -> None:
        """Store which scan of a source stores now, and whether it is complete."""
        ...

    def adopt(self, source: SourceId, former_workspace: str) -> None:
        """Rename the workspace of everything that is known of a source.

        What was noted under the new name is forgotten, which must offer nothing.
        """
        ...

    def forget_source(self, source: SourceId) -> None:
        """Drop what scans stored of a source, which must have no origin left."""
        ...

    def take_over(self, events: Sequence[Event]) -> None:
        """Append entries of another log that follow from the last one here; raises ValueError."""
        ...

    def rebuild(self, events: Iterable[Event]) -> int:
        """Make the tables of the present anew from the log; returns how many versions there are.

        ``events`` is the whole log. Words of READMEs are not in it; a forced scan brings
        them back.
        """
        ...

    def approve_grant(
        self, node: NodeVersion, digest: str, permissions: Sequence[Permission]
    ) -> None:
        """Append to the log all that is granted to the node of a version from now on."""
        ...

    def revoke_grant(self, node: NodeId, grant: Grant) -> None:
        """Append to the log that nothing is granted to a node any more."""
        ...

    def note(self, action: str, object_name: str, body: JsonObject) -> Event:
        """Append to the log what somebody decided that changes nothing that is registered.

        Returns the entry.
        """
        ...

    def refused(self, action: str, object_name: str, reason: str) -> None:
        """Append to the log that an action was refused, and why; nothing else changes."""
        ...

    def note_token_uses(self, uses: Mapping[str, str]) -> None:
        """Store when tokens were used last, by their identifiers; the log has no entry of it."""
        ...

    def take_identity(self, identity: str) -> None:
        """Be a copy of the registry with an identifier."""
        ...

    def put_signed_metadata(self, role: str, version: int, content: str, keep: int) -> None:
        """Store signed metadata of the index; the last ``keep`` versions of the role are kept."""
        ...

    def finish(self) -> None:
        """Write what was gathered, so that questions to the backend see it."""
        ...

    def remember_folders(
        self, source: SourceId, changed: Iterable[FolderSnapshot], gone: Iterable[str]
    ) -> None:
        """Store the snapshots of changed folders, and drop those of folders that are gone."""
        ...


class StorageBackend(Protocol):
    """Reads, and write transactions. Raises StorageError if the storage fails."""

    @property
    def place(self) -> str:
        """Where the registry is, as messages name it; never with a password."""
        ...

    def snapshot(self) -> AbstractContextManager[None]:
        """Read everything in the block from one state of the storage."""
        ...

    def writing(self, actor: str | None = None) -> AbstractContextManager[StorageWriter]:
        """A transaction: stored whole at the end of the block, or not at all on an exception.

        ``actor`` is who acts, as the log names them; by default the user of this process.
        """
        ...

    def write(self, change: Callable[[StorageWriter], Result], actor: str | None = None) -> Result:
        """Run a change in a transaction, and return what it returns.

        It runs again, on what is stored then, if the database ends the transaction in favour
        of another. ``actor`` as for ``writing``.
        """
        ...

    def node(self, node: NodeVersion) -> RegisteredNode | None:
        """One node version, None if it is not registered."""
        ...

    def versions(self, node: NodeId) -> Sequence[RegisteredNode]:
        """Every registered version of a node, oldest version first."""
        ...

    def version_numbers(self, node: NodeId) -> Sequence[Version]:
        """The numbers of every registered version of a node, oldest first."""
        ...

    def find_nodes(self, name: str) -> Sequence[NodeId]:
        """The nodes whose namespace, short name or UUID is exactly this."""
        ...

    def query(self, query: MetadataQuery) -> Page:
        """The node versions that match a query, ordered by namespace, type and version."""
        ...

    def facets(
        self, kinds: Iterable[str], hidden: HiddenNamespaces = NOTHING_HIDDEN
    ) -> Mapping[str, Mapping[str, int]]:
        """How many nodes have each value of each kind.

        Kinds are type, lifecycle, trust, tag, capability and permission.

        Nodes in ``hidden`` namespaces do not count.
        """
        ...

    def search(self, text: str, query: MetadataQuery) -> SearchResult:
        """The nodes in whose names, tags, description or README a text is found, best first."""
        ...

    def close_names(self, name: str, count: int) -> Sequence[NodeId]:
        """Nodes with names that are spelled like this one, the closest first."""
        ...

    def nodes_sharing_uuid(self) -> Mapping[str, Sequence[NodeId]]:
        """Each UUID that more than one node claims."""
        ...

    def dependents(self, node: NodeId) -> Sequence[NodeVersion]:
        """The node versions with a dependency that goes by any name of this node."""
        ...

    def count(self) -> int:
        """The number of registered node versions."""
        ...

    def fingerprints(self, source: SourceId) -> Mapping[str, str]:
        """What the last scan of a source noted of each manifest, by path.

        A path that offers a node and of which nothing is noted has an empty fingerprint.
        """
        ...

    def scan_token(self, source: SourceId) -> str | None:
        """The token of the scan of a source that stored something last."""
        ...

    def incomplete_scans(self) -> Sequence[SourceId]:
        """The sources of which a scan stored a part of what it found, and then broke off."""
        ...

    def files_at(self, origin: Origin) -> str:
        """The files that a scan saw at an origin, as ``SeenFile.files``; empty if unknown."""
        ...

    def folders(self, source: SourceId) -> Mapping[str, FolderSnapshot]:
        """What the last scan of a source noted of each folder, by path."""
        ...

    def outcomes(self, source: SourceId) -> Mapping[str, int]:
        """How many manifests of a source had each outcome."""
        ...

    def files_with_problems(self, source: SourceId) -> Sequence[SeenFile]:
        """The manifests of a source with problems, by path."""
        ...

    def sources(self) -> Mapping[SourceId, int]:
        """The sources of all workspaces of which something is known, and how many nodes each gives.

        They are in the order of their names.
        """
        ...

    def scanned_sources(self, name: str) -> Mapping[SourceId, str | None]:
        """The sources of a name, in whichever workspace, each with one path of a node, if any."""
        ...

    def ambiguous_names(self) -> Mapping[str, Sequence[NodeId]]:
        """Each name that is the namespace of one node and the short name of another."""
        ...

    def events(self, after: int = 0) -> Iterator[Event]:
        """The log from the entry after the given serial on."""
        ...

    def refusals(self) -> Mapping[str, int]:
        """How often each action was refused, as the log has it."""
        ...

    def grant_events(self) -> Sequence[Event]:
        """The entries of the log about grants, oldest first."""
        ...

    def token_events(self) -> Sequence[Event]:
        """The entries of the log about tokens, oldest first."""
        ...

    def owner_events(self) -> Sequence[Event]:
        """The entries of the log about the owners of namespaces, oldest first."""
        ...

    def token_uses(self) -> Mapping[str, str]:
        """When each token was used last (RFC 3339), by its identifier."""
        ...

    def advisory_serial(self) -> int:
        """The last entry of the log about an advisory; 0 if there is none."""
        ...

    def advisory_events(self) -> Sequence[Event]:
        """The entries of the log about advisories, oldest first."""
        ...

    def signed_metadata(self, role: str, version: int | None = None) -> str | None:
        """Signed metadata of the index in some version, the last one for None; None without it."""
        ...

    def signed_versions(self, role: str) -> Sequence[int]:
        """The versions of signed metadata that are kept, oldest first."""
        ...

    def namespaces_in_folders(self, workspace: str) -> Sequence[str]:
        """The namespaces of nodes that a workspace has from folders and packages.

        What was published to the registry itself counts among them.
        """
        ...

    def namespace_roots(self) -> Sequence[str]:
        """The first parts of all namespaces, each once."""
        ...

    def nodes_from(self, source: SourceId, beginning: str) -> Mapping[str, NodeVersion]:
        """The versions that a source offers at paths that begin so, by their paths."""
        ...

    @property
    def identity(self) -> str:
        """The identifier of this registry, which copies keep."""
        ...

    @property
    def instance(self) -> str:
        """The identifier of this storage, which copies by onex do not have."""
        ...

    def events_about(self, object_name: str) -> Sequence[Event]:
        """The entries of the log about an object, oldest first."""
        ...

    def changes_of(self, node: NodeId, constraint: VersionConstraint) -> Sequence[Event]:
        """What was done with the versions of a node that a constraint allows, oldest first."""
        ...

    def head(self) -> LogHead:
        """The serial and the hash of the last entry of the log."""
        ...

    def holds(self, head: LogHead) -> bool:
        """Whether the log has had this head, so that what rests on it is about this log."""
        ...

    def serial(self) -> int:
        """The serial of the last entry of the log; 0 if there is none."""
        ...

    def names_changed(self, after: int) -> frozenset[str] | None:
        """Every name of the nodes that changed after an entry; None if these are very many.

        The names of a node are ``type://namespace``, its namespace, its short
        names and its UUIDs.
        """
        ...

    def check(self) -> None:
        """Raise StorageError if the storage is damaged or contradicts itself.

        That is: its files, the chain of its log, and its tables against its log.
        """
        ...

    def rebuild(self) -> int:
        """Make the tables of the present anew from the log; returns how many versions there are."""
        ...

    def schema_numbers(self) -> tuple[int, int]:
        """The migration up to which the database was brought, and the last that onex has."""
        ...

    def vacuum(self) -> None:
        """Give unused space back."""
        ...

    def close(self) -> None:
        """Release the storage."""
        ...
