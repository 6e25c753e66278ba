"""RemoteNodes: has remotes say what they know of the nodes that a resolution meets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from onex.configuration import SourceConfiguration
from onex.discovery.merge import MergeRules
from onex.discovery.remote import RemoteRegistryDiscovery
from onex.discovery.scan_report import ScanReport
from onex.discovery.source import DiscoverySource
from onex.domain.errors import Location, Problem, Severity, SourceError
from onex.domain.metadata import SourceId
from onex.domain.reference import NodeId
from onex.remote.remotes import Remotes
from onex.remote.tree import CONFIG_PATH, index_path, names_path, node_of_path
from onex.storage.backend import StorageBackend
from onex.storage.scan_memory import FolderSnapshot


@dataclass(frozen=True, slots=True)
class KnownRemote:
    """What is known of a remote: as of which entry of its log, how old it is, how many nodes."""

    serial: int | None
    age_seconds: float | None
    nodes: int


class RemoteNodes:
    """The nodes of the remotes of one registry. One object serves one thread.

    ``problems`` are those of the last visit to each remote, by its name.
    """

    def __init__(
        self,
        remotes: Remotes,
        workspace: str,
        storage: Callable[[], StorageBackend],
        rules: Callable[[], MergeRules],
        scan: Callable[[DiscoverySource, SourceConfiguration], ScanReport],
    ) -> None:
        """Prepare; nothing is asked yet.

        Args:
            remotes: the trees of the remotes.
            workspace: whose sources they are.
            storage: opens what is registered.
            rules: gives the rules of merging, which say what namespaces are bound to.
            scan: has one source scanned, and stores what it gives.
        """
        self._remotes = remotes
        self._workspace = workspace
        self._open_storage = storage
        self._rules = rules
        self._scan = scan
        self._known: dict[str, Mapping[str, FolderSnapshot]] = {}
        self._visited: set[str] = set()
        self.problems: dict[str, Problem] = {}

    def source(
        self, declared: SourceConfiguration, wanted: Iterable[str] = ()
    ) -> RemoteRegistryDiscovery:
        """A remote as a source, which is asked for no namespace that is another source's."""
        taken: set[str] = set()
        for other in self._remotes.declared:
            if other.name == declared.name:
                break
            files = self._files(other).items()
            nodes = (node_of_path(path) for path, file in files if file.files)
            taken |= {node.namespace for node in nodes if node is not None}
        bound_to = self._rules().bound_to

        def is_elsewhere(namespace: str) -> bool:
            owner = bound_to(namespace)
            return namespace in taken if owner is None else owner != declared.name

        return RemoteRegistryDiscovery(declared, self._remotes, wanted, is_elsewhere)

    def note_scan(self, problems: Iterable[Problem]) -> None:
        """Note that a scan visited every remote, and what it said of them."""
        self._known.clear()
        names = {remote.name for remote in self._remotes.declared}
        self.problems = {p.location.path: p for p in problems if p.location.path in names}
        self._visited |= names

    def meet(self, names: Iterable[str]) -> bool:
        """Register what remotes know of nodes, and of those that these need.

        A node comes from the first remote that has it. If one does not answer, those after it are
        not asked for what it may have, unless the namespace is bound to them.

        Args:
            names: names of nodes, short or with their types.

        Returns:
            whether anything changed in the registry.
        """
        if not self._remotes.declared:
            return False
        storage = self._open_storage()
        before = storage.head()
        unsettled = {
            name: _index_file(name)
            for name in names
            # A short name that is known here means the node that has it here.
            if "://" in name or not storage.find_nodes(name)
        }
        blocked: set[str] = set()
        for remote in self._remotes.declared:
            known = self._files(remote)
            wanted = [
                name
                for name, path in unsettled.items()
                if path not in known and (name not in blocked or self._is_bound(name, remote))
            ]
            if wanted or remote.name not in self._visited:
                self._visit(remote, wanted)
                known = self._files(remote)
            blocked |= {name for name in wanted if unsettled[name] not in known}
            unsettled = {
                name: path
                for name, path in unsettled.items()
                if path not in known or not known[path].files
            }
        return storage.head() != before

    def visit(self, remotes: Iterable[SourceConfiguration]) -> Sequence[Problem]:
        """Learn what changed on remotes, also those that are passed over.

        Returns:
            what went wrong, for each remote at most one problem.
        """
        for remote in remotes:
            self._remotes.answered(remote)
            self._visit(remote, ())
        return list(self.problems.values())

    def known(self, remote: SourceConfiguration) -> KnownRemote:
        """What is known here of a remote."""
        files = self._files(remote)
        seen = files.get(CONFIG_PATH)
        nodes = sum(1 for p, f in files.items() if f.files and node_of_path(p) is not None)
        if seen is None:
            return KnownRemote(None, None, nodes)
        age = datetime.now(UTC) - datetime.fromisoformat(seen.folders)
        return KnownRemote(int(seen.files), max(0.0, age.total_seconds()), nodes)

    def _visit(self, remote: SourceConfiguration, wanted: Sequence[str]) -> None:
        self._visited.add(remote.name)
        place = Location(remote.name)
        try:
            report = self._scan(self.source(remote, wanted), remote)
            problems = [p for p in report.problems if p.location == place]
        except SourceError as error:
            problems = [Problem(error.code, Severity.WARNING, error.message, place, error.hint)]
        self._known.pop(remote.name, None)
        self.problems.pop(remote.name, None)
        if problems:
            self.problems[remote.name] = problems[0]

    def _files(self, remote: SourceConfiguration) -> Mapping[str, FolderSnapshot]:
        """The files of the index of a remote that are known here."""
        known = self._known.get(remote.name)
        if known is None:
            source = SourceId(remote.name, self._workspace)
            known = self._known[remote.name] = self._open_storage().folders(source)
        return known

    def _is_bound(self, name: str, remote: SourceConfiguration) -> bool:
        return self._rules().bound_to(name.rpartition("://")[2]) == remote.name


def _index_file(name: str) -> str:
    """The file of an index that is about a name."""
    return index_path(NodeId.parse(name)) if "://" in name else names_path(name)
