"""RemoteNodes: has remotes say what they know of the nodes that a resolution meets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from onex.configuration.settings import SourceConfiguration, TrustPolicy
from onex.discovery.merge import MergeRules
from onex.discovery.remembered_index import RememberedIndex
from onex.discovery.remote import RemoteRegistryDiscovery
from onex.discovery.scan_report import ScanReport
from onex.discovery.source import DiscoverySource
from onex.domain.errors import Location, Problem, Severity
from onex.domain.event import LogHead
from onex.domain.metadata import SourceId
from onex.domain.reference import NodeId
from onex.domain.trust_rules import TrustRules
from onex.remote.remotes import Remotes
from onex.remote.tree import fits_paths, index_path, names_path
from onex.storage.backend import StorageBackend
from onex.trust.advisories import Advisories
from onex.trust.owners import RememberedOwners


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
        trust_rules: TrustRules,
        scan: Callable[[DiscoverySource, SourceConfiguration, bool], ScanReport],
    ) -> None:
        """Prepare; nothing is asked yet.

        Args:
            remotes: the trees of the remotes.
            workspace: whose sources they are.
            storage: opens what is registered.
            rules: gives the rules of merging, which say what namespaces are bound to.
            trust_rules: which versions the policy lets be registered.
            scan: has one source scanned, and stores what it gives; by force, if the last is true.
        """
        self._remotes = remotes
        self._workspace = workspace
        self._open_storage = storage
        self._rules = rules
        self._trust_rules = trust_rules
        self._scan = scan
        self._known: dict[str, RememberedIndex] = {}
        self._visited: set[str] = set()
        self._silent: set[str] = set()
        self._local: tuple[LogHead, frozenset[str]] | None = None
        self.problems: dict[str, Problem] = {}

    def source(
        self, declared: SourceConfiguration, wanted: Iterable[str] = ()
    ) -> RemoteRegistryDiscovery:
        """A remote as a source, which is asked for no namespace that is another source's."""
        ownership = self._ownership(declared)
        owners = RememberedOwners(self._open_storage()).known()
        return RemoteRegistryDiscovery(
            declared,
            self._remotes,
            ownership,
            owners,
            self._trust_rules,
            Advisories(self._open_storage()).known(),
            wanted,
        )

    def _ownership(self, declared: SourceConfiguration) -> _RemoteOwnership:
        taken = set(self._local_namespaces())
        silent = False
        for other in self._remotes.declared:
            if other.name == declared.name:
                break
            taken |= {node.namespace for node in self._index(other).supplied_nodes()}
            silent = silent or other.name in self._silent or other.name not in self._visited
        return _RemoteOwnership(declared.name, self._rules(), taken, silent)

    def _local_namespaces(self) -> frozenset[str]:
        """The namespaces that sources on this machine supply, unless remotes are preferred."""
        rules = self._rules()
        if rules.trust_policy is TrustPolicy.REMOTE_PREFER:
            return frozenset()
        storage = self._open_storage()
        head = storage.head()
        if self._local is None or self._local[0] != head:
            self._local = (head, frozenset(storage.namespaces_in_folders(self._workspace)))
        return self._local[1]

    def meet(self, names: Iterable[str]) -> bool:
        """Register what remotes know of nodes, and of those that these need.

        A node that a source on this machine has comes from there, unless the trust policy prefers
        remotes; any other comes from the first remote that has it. If one does not answer, those
        after it are not asked for what it may have, unless the namespace is bound to them.

        Args:
            names: names of nodes, short or with their types.

        Returns:
            whether anything changed in the registry.
        """
        if not self._remotes.declared:
            return False
        storage = self._open_storage()
        before = storage.head()
        local = self._local_namespaces()
        pending = {name for name in names if not self._is_settled(name, local)}
        is_news = False
        for remote in self._remotes.declared:
            missing = [name for name in pending if not self._is_met(name, remote)]
            is_due = missing or remote.name not in self._visited
            if is_due or (is_news and self._supplies_shadowed_nodes(remote)):
                self._visit(remote, missing)
                is_news = True
            pending = {name for name in pending if not self._has(name, remote)}
        return storage.head() != before

    def _is_settled(self, name: str, local: frozenset[str]) -> bool:
        """Whether nobody need be asked for a name."""
        space = name.rpartition("://")[2]
        if space in local or not fits_paths(space):
            return True
        if "://" in name:
            return False
        # A short name that is known here means the node that has it here.
        return any(
            node.namespace in local
            or any(index_path(node) in self._index(remote) for remote in self._remotes.declared)
            for node in self._open_storage().find_nodes(name)
        )

    def _supplies_shadowed_nodes(self, remote: SourceConfiguration) -> bool:
        """Whether a remote supplies a node that a source before it supplies now."""
        ownership = self._ownership(remote)
        nodes = self._index(remote).supplied_nodes()
        return any(ownership.belongs_elsewhere(node.namespace) for node in nodes)

    def _is_met(self, name: str, remote: SourceConfiguration) -> bool:
        """Whether a remote was asked for a name, and for all that goes by it."""
        index, path = self._index(remote), _path_of(name)
        return index.is_current(path) and all(
            index_path(node) in index for node in index.nodes_of(path)
        )

    def _has(self, name: str, remote: SourceConfiguration) -> bool:
        """Whether a remote supplies a node of a name."""
        index, path = self._index(remote), _path_of(name)
        if "://" in name:
            return index.supplies(path)
        return any(index.supplies(index_path(node)) for node in index.nodes_of(path))

    def scan(self, remotes: Iterable[SourceConfiguration], *, force: bool) -> Sequence[ScanReport]:
        """Learn what changed on remotes, in their order, since each takes what others leave."""
        return [self._visit(remote, (), force=force) for remote in remotes]

    def visit(self, remotes: Iterable[SourceConfiguration]) -> Sequence[ScanReport]:
        """Learn what changed on remotes, in their order; one that was passed over is asked too."""
        reports = []
        for remote in remotes:
            self._remotes.answered(remote)
            reports.append(self._visit(remote, ()))
        return reports

    def known(self, remote: SourceConfiguration) -> KnownRemote:
        """What is known here of a remote."""
        index = self._index(remote)
        last, nodes = index.last_visit(), len(index.supplied_nodes())
        if last is None:
            return KnownRemote(None, None, nodes)
        return KnownRemote(last.serial, last.age_seconds, nodes)

    def _visit(
        self, remote: SourceConfiguration, wanted: Sequence[str], *, force: bool = False
    ) -> ScanReport:
        place = Location(remote.name)
        source = self.source(remote, wanted)
        report = self._scan(source, remote, force)
        self._visited.add(remote.name)
        (self._silent.add if source.is_silent else self._silent.discard)(remote.name)
        self._known.pop(remote.name, None)
        self.problems.pop(remote.name, None)
        for problem in report.problems:
            if problem.location == place and problem.severity is not Severity.INFORMATION:
                self.problems.setdefault(remote.name, problem)
        return report

    def _index(self, remote: SourceConfiguration) -> RememberedIndex:
        """What is remembered of the index of a remote."""
        known = self._known.get(remote.name)
        if known is None:
            source = SourceId(remote.name, self._workspace)
            records = self._open_storage().folders(source)
            known = self._known[remote.name] = RememberedIndex(records)
        return known


def _path_of(name: str) -> str:
    """The file of an index that is about a name."""
    return index_path(NodeId.parse(name)) if "://" in name else names_path(name)


class _RemoteOwnership:
    """Which namespaces one remote may supply, as far as is known when it is visited."""

    def __init__(
        self,
        remote: str,
        rules: MergeRules,
        taken: set[str],
        silent: bool,  # noqa: FBT001
    ) -> None:
        """``taken`` are supplied by sources that go before, one of which may be ``silent``."""
        self._remote = remote
        self._rules = rules
        self._taken = taken
        self._silent = silent

    def belongs_elsewhere(self, namespace: str) -> bool:
        owner = self._rules.bound_to(namespace)
        return namespace in self._taken if owner is None else owner != self._remote

    def may_belong_elsewhere(self, namespace: str) -> bool:
        return self._silent and self._rules.bound_to(namespace) is None
