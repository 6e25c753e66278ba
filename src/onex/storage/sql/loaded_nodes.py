"""LoadedNodes: the rows that a write transaction works on, read in bulk and kept current."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from onex.domain.metadata import AbsentDecision, Origin
from onex.domain.path_text import stored_path
from onex.domain.reference import NodeId, NodeVersion
from onex.domain.version import Version
from onex.storage.node_record import stored_version
from onex.storage.sql.connection import SqlConnection
from onex.storage.sql.rows import (
    KEYS_IN_A_STATEMENT,
    NODE_COLUMNS,
    ORIGIN_COLUMNS,
    NodeRow,
    read_origin,
    rows_for_keys,
)

_NODES = (
    f"SELECT {NODE_COLUMNS} FROM wanted CROSS JOIN nodes WHERE nodes.namespace = wanted.namespace"
    " AND nodes.type = wanted.type AND nodes.version = wanted.version"
)
_OFFERED = (
    "SELECT origins.source, origins.path, origins.workspace, type, namespace, version"
    " FROM wanted CROSS JOIN origins JOIN nodes ON nodes.id = node_id"
    " WHERE origins.source = wanted.source AND origins.workspace = wanted.workspace"
    " AND origins.path = wanted.path"
)


class LoadedNodes:
    """Node versions, their origins and what was decided of absent ones, inside one transaction.

    What is asked for is read once. The writer says what it changes, so that later questions
    are answered without writing first what it has gathered.
    """

    def __init__(self, connection: SqlConnection) -> None:
        self._connection = connection
        self._rows: dict[NodeVersion, NodeRow | None] = {}
        self._origins: dict[NodeVersion, list[Origin]] = {}
        self._offered: dict[Origin, NodeVersion | None] = {}
        self._has_absent = bool(connection.rows("SELECT 1 FROM absent_decisions LIMIT 1"))

    def load(self, nodes: Iterable[NodeVersion], origins: Iterable[Origin]) -> None:
        """Read what is known of these node versions and of these places, in few statements."""
        offered = self._load_origins([o for o in origins if o not in self._offered])
        wanted = dict.fromkeys((*nodes, *offered))
        self._load_rows([node for node in wanted if node not in self._rows])

    def row(self, node: NodeVersion) -> NodeRow | None:
        """The row of a node version, None if it is not registered."""
        if node not in self._rows:
            self._load_rows([node])
        return self._rows[node]

    def origins(self, node: NodeVersion) -> Sequence[Origin]:
        """The places that offer a registered node version, the first first."""
        self.row(node)
        return tuple(self._origins.get(node, ()))

    def node_at(self, origin: Origin) -> NodeVersion | None:
        """The node version that was found at a place."""
        if origin not in self._offered:
            self._load_origins([origin])
        return self._offered[origin]

    def absent(self, node: NodeVersion) -> AbsentDecision | None:
        """What was decided of a version that is not registered now."""
        if not self._has_absent:
            return None
        rows = self._connection.rows(
            "SELECT lifecycle, yanked, yank_reason, decision FROM absent_decisions"
            " WHERE namespace = ? AND type = ? AND version = ?",
            _key(node),
        )
        if not rows:
            return None
        lifecycle, yanked, reason, decision = rows[0]
        return AbsentDecision(lifecycle, bool(yanked), reason, decision)

    def put(self, node: NodeVersion, row: NodeRow | None) -> None:
        """Note that a node version is, or is no more, registered as this row."""
        self._rows[node] = row
        if row is None:
            self._origins.pop(node, None)

    def put_origin(self, origin: Origin, node: NodeVersion) -> None:
        """Note that a place offers a node version, after those that do so already."""
        self._offered[origin] = node
        self._origins.setdefault(node, []).append(origin)

    def drop_origin(self, origin: Origin, node: NodeVersion) -> None:
        """Note that a place does not offer a node version any more."""
        self._offered[origin] = None
        self._origins[node].remove(origin)

    def note_absent(self) -> None:
        """Note that something is remembered of a version that is not registered."""
        self._has_absent = True

    def clear(self) -> None:
        """Forget everything, since the tables were made anew."""
        self._rows.clear()
        self._origins.clear()
        self._offered.clear()

    def _load_rows(self, nodes: Sequence[NodeVersion]) -> None:
        for node in nodes:
            self._rows[node] = None
        keys = [_key(node) for node in nodes]
        found = rows_for_keys(self._connection, ("namespace", "type", "version"), keys, _NODES)
        by_id = {}
        for row in map(NodeRow._make, found):
            by_id[row.id] = row.node_version
            self._rows[row.node_version] = row
            self._origins[row.node_version] = []
        ids = list(by_id)
        for start in range(0, len(ids), KEYS_IN_A_STATEMENT):
            some = ids[start : start + KEYS_IN_A_STATEMENT]
            marks = ", ".join("?" * len(some))
            for node_id, *columns in self._connection.rows(
                f"SELECT node_id, {ORIGIN_COLUMNS} FROM origins WHERE node_id IN ({marks})"
                f" ORDER BY added, {ORIGIN_COLUMNS}",
                some,
            ):
                origin = read_origin(*columns)
                self._offered[origin] = by_id[node_id]
                self._origins[by_id[node_id]].append(origin)

    def _load_origins(self, origins: Sequence[Origin]) -> list[NodeVersion]:
        for origin in origins:
            self._offered[origin] = None
        columns = ("source", "path", "workspace")
        places = [(stored_path(o.source), stored_path(o.path), o.workspace) for o in origins]
        nodes = []
        for row in rows_for_keys(self._connection, columns, places, _OFFERED):
            node = NodeVersion(NodeId(*row[3:5]), Version.parse(row[5]))
            self._offered[read_origin(*row[:3])] = node
            nodes.append(node)
        return nodes


def _key(node: NodeVersion) -> tuple[str, str, str]:
    return (node.node.namespace, node.node.type, stored_version(node.version))
