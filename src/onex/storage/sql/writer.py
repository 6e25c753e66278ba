"""SqlWriter: the changes of the registry inside one transaction, each with its event."""

from __future__ import annotations

import getpass
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from onex.domain.decision import NO_DECISION, decided, write_decision
from onex.domain.event import GENESIS_HASH, Event
from onex.domain.json_value import canonical_json, canonical_object
from onex.domain.lifecycle import Lifecycle, check_transition
from onex.domain.metadata import Origin
from onex.domain.projection import node_state, project_states
from onex.domain.reference import NodeId, NodeVersion
from onex.domain.selection import preference
from onex.storage.backend import SeenFile, StoredNode
from onex.storage.folder_memory import FolderMemory
from onex.storage.node_record import COLUMNS, NodeRecord, stored_version
from onex.storage.problems import write_problems
from onex.storage.sql.connection import Parameter, SqlConnection
from onex.storage.sql.rows import NODE_COLUMNS, NodeRow

_INSERT_NODE = (
    f"INSERT INTO nodes ({', '.join(COLUMNS)}, id, registered_at)"
    f" VALUES ({', '.join('?' * (len(COLUMNS) + 2))})"
)
_UPDATE_NODE = f"UPDATE nodes SET {', '.join(f'{column} = ?' for column in COLUMNS)} WHERE id = ?"
_DECIDE = "UPDATE nodes SET yanked = ?, decision = ?, preference = ?, lifecycle = ? WHERE id = ?"
_INSERT_LABEL = (
    "INSERT INTO labels (kind, value, sort_key, node_id) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING"
)
_PUT_ORIGIN = (
    "INSERT INTO origins (node_id, source, path) VALUES (?, ?, ?)"
    " ON CONFLICT (source, path) DO UPDATE SET node_id = excluded.node_id"
)
_INSERT_WORD = "INSERT INTO words (word, length) VALUES (?, ?) ON CONFLICT DO NOTHING"
_INSERT_EVENT = "INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
_PUT_FILE = (
    "INSERT INTO seen_files (source, path, fingerprint, outcome, problems)"
    " VALUES (?, ?, ?, ?, ?) ON CONFLICT (source, path) DO UPDATE SET"
    " fingerprint = excluded.fingerprint, outcome = excluded.outcome, problems = excluded.problems"
)
_PUT_FOLDER = (
    "INSERT INTO folders (source, path, stamp, rules, files, folders, fingerprint)"
    " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (source, path) DO UPDATE SET"
    " stamp = excluded.stamp, rules = excluded.rules, files = excluded.files,"
    " folders = excluded.folders, fingerprint = excluded.fingerprint"
)
_CHOOSE_BEST = (
    "UPDATE nodes SET is_best = CASE WHEN sort_key = (SELECT other.sort_key FROM nodes AS other"
    " WHERE other.namespace = nodes.namespace AND other.type = nodes.type"
    " ORDER BY other.preference DESC, other.version_order DESC LIMIT 1) THEN 1 ELSE 0 END"
    " WHERE namespace = ? AND type = ?"
)
# Labels say it too, so that counting them needs no other table.
_MARK_LABELS = (
    "UPDATE labels SET is_best = (SELECT nodes.is_best FROM nodes WHERE nodes.id = labels.node_id)"
    " WHERE node_id IN (SELECT id FROM nodes WHERE namespace = ? AND type = ?)"
)


class SqlWriter:
    """The StorageWriter inside one transaction.

    New nodes, events and notes of scans are gathered and written together; whatever reads
    or changes rows writes the gathered ones first.
    """

    def __init__(self, connection: SqlConnection) -> None:
        self._connection = connection
        self._actor = _current_user()
        last = connection.rows("SELECT serial, hash FROM events ORDER BY serial DESC LIMIT 1")
        self._serial, self._hash = last[0] if last else (0, GENESIS_HASH)
        self._last_id = int(connection.rows("SELECT max(id) FROM nodes")[0][0] or 0)
        self._absent: set[str] = set()
        self._gathered: dict[str, list[tuple[Parameter, ...]]] = {}
        self._words: set[str] = set()
        self._inserted: dict[NodeId, None] = {}
        self._touched: dict[NodeId, None] = {}
        self._new_origins: set[Origin] = set()

    def expect(self, nodes: Iterable[NodeVersion]) -> None:
        """Learn at once which of these node versions are not there yet."""
        labels = {(n.node.namespace, n.node.type, stored_version(n.version)): n for n in nodes}
        keys = list(labels)
        for start in range(0, len(keys), 300):
            some = keys[start : start + 300]
            marks = ", ".join(["(?, ?, ?)"] * len(some))
            rows = self._connection.rows(
                "SELECT namespace, type, version FROM nodes"
                f" WHERE (namespace, type, version) IN (VALUES {marks})",
                [part for key in some for part in key],
            )
            there = {tuple(row) for row in rows}
            self._absent |= {str(labels[key]) for key in some if key not in there}

    def find(self, node: NodeVersion) -> StoredNode | None:
        if str(node) in self._absent:
            return None
        row = self._find_row(node)
        return None if row is None else StoredNode(row.digest, row.body, self._origins(row.id))

    def node_at(self, origin: Origin) -> NodeVersion | None:
        row = self._row_at(origin)
        return None if row is None else row.node_version

    def insert(self, record: NodeRecord, origin: Origin) -> None:
        self._last_id += 1
        node_id, now = self._last_id, _now()
        self._absent.discard(record.label)
        self._gather(_INSERT_NODE, (*record.columns, node_id, now))
        self._gather_labels(node_id, record)
        self._gather(_PUT_ORIGIN, (node_id, origin.source, origin.path))
        self._new_origins.add(origin)
        after = node_state(record.body, record.digest, yanked=False, decision=NO_DECISION)
        body = {"before": "null", "after": after, "origin": canonical_json(origin.to_json())}
        self._append("node.registered", record.label, body, now)
        self._inserted[NodeId(record.type, record.namespace)] = None

    def update(self, record: NodeRecord) -> None:
        row = self._row(record.node_version)
        decision = row.decision
        if json.loads(row.body)["lifecycle"] != record.lifecycle:
            # The author changed the state in the manifest itself, which ends what was decided.
            decision = NO_DECISION
        changed = row._replace(digest=record.digest, decision=decision, body=record.body)
        self._change("node.updated", row, changed, record=record)

    def set_yanked(self, node: NodeVersion, *, yanked: bool, reason: str | None) -> None:
        row = self._row(node)
        action = "node.yanked" if yanked else "node.unyanked"
        self._change(action, row, row._replace(yanked=int(yanked)), reason=reason)

    def set_lifecycle(
        self,
        node: NodeVersion,
        lifecycle: Lifecycle,
        *,
        deprecated_by: str | None,
        reason: str | None,
    ) -> None:
        row = self._row(node)
        before = row.metadata()
        check_transition(
            before.lifecycle,
            lifecycle,
            deprecated_by=deprecated_by or before.deprecated_by,
            archived_reason=reason or before.archived_reason,
        )
        is_archived = lifecycle is Lifecycle.ARCHIVED
        decision = write_decision(
            lifecycle,
            deprecated_by or before.deprecated_by,
            reason if is_archived else before.archived_reason,
        )
        self._change("node.lifecycle", row, row._replace(decision=decision), reason=reason)

    def add_origin(self, node: NodeVersion, origin: Origin) -> None:
        row = self._row(node)
        self._gather(_PUT_ORIGIN, (row.id, origin.source, origin.path))
        self._new_origins.add(origin)
        body = {"origin": canonical_json(origin.to_json())}
        self._append("node.origin_added", str(node), body)

    def remove_origin(self, origin: Origin) -> bool:
        row = self._row_at(origin)
        if row is None:
            return False
        node = row.node_version
        self.flush()
        self._connection.rows(
            "DELETE FROM origins WHERE source = ? AND path = ?", (origin.source, origin.path)
        )
        if self._origins(row.id):
            facts = {"origin": canonical_json(origin.to_json())}
            self._append("node.origin_removed", str(node), facts)
            return False
        self._drop_words_and_labels(row.id)
        self._connection.rows("DELETE FROM nodes WHERE id = ?", (row.id,))
        self._append("node.removed", str(node), {"before": _state(row), "after": "null"})
        self._touched[node.node] = None
        return True

    def remember(self, source: str, file: SeenFile) -> None:
        problems = write_problems(file.problems)
        self._gather(_PUT_FILE, (source, file.path, file.fingerprint, file.outcome, problems))

    def forget(self, source: str, path: str) -> None:
        self.flush()
        self._connection.rows(
            "DELETE FROM seen_files WHERE source = ? AND path = ?", (source, path)
        )

    def remember_folders(
        self, source: str, changed: Iterable[FolderMemory], gone: Iterable[str]
    ) -> None:
        for memory in changed:
            self._gather(_PUT_FOLDER, (source, *memory))
        self.flush()
        self._connection.run_many(
            "DELETE FROM folders WHERE source = ? AND path = ?", [(source, path) for path in gone]
        )

    def take_over(self, events: Sequence[Event]) -> None:
        """Append entries of another log, of which this one holds all that came before.

        Raises:
            ValueError: they do not follow from the last entry here.
        """
        for event in events:
            is_next = event.serial == self._serial + 1 and event.previous_hash == self._hash
            if not is_next or event.sealed().hash != event.hash:
                raise ValueError(f"entry {event.serial} does not follow from entry {self._serial}")
            self._gather(_INSERT_EVENT, event)
            self._serial, self._hash = event.serial, event.hash
        self.flush()

    def rebuild(self, events: Iterable[Event]) -> int:
        self.flush()
        for table in ("search", "words", "labels", "origins", "nodes"):
            self._connection.rows(f"DELETE FROM {table}")
        states = project_states(events)
        decisions: list[tuple[Parameter, ...]] = []
        for node_id, state in enumerate(states.values(), 1):
            record = NodeRecord.of(state.metadata, state.digest)
            self._gather(_INSERT_NODE, (*record.columns, node_id, state.registered_at))
            self._gather_labels(node_id, record)
            for origin in state.origins:
                self._gather(_PUT_ORIGIN, (node_id, origin.source, origin.path))
            self._touched[NodeId(record.type, record.namespace)] = None
            if state.yanked or state.decision is not None:
                metadata = decided(state.metadata, state.decision)
                rank = preference(metadata.version, metadata.lifecycle, yanked=state.yanked)
                decision = canonical_json(state.decision)
                decisions.append(
                    (int(state.yanked), decision, rank, metadata.lifecycle.value, node_id)
                )
        self._last_id = len(states)
        touched, self._touched = self._touched, {}
        self.flush()
        self._connection.run_many(_DECIDE, decisions)
        self._touched = touched
        self.flush()
        return len(states)

    def flush(self) -> None:
        """Write what was gathered; new nodes come before what refers to them."""
        gathered, self._gathered = self._gathered, {}
        nodes = gathered.pop(_INSERT_NODE, None)
        if nodes:
            self._connection.run_many(_INSERT_NODE, nodes)
        for statement, rows in gathered.items():
            self._connection.run_many(statement, rows)
        if self._words:
            words = sorted(self._words)
            self._connection.run_many(_INSERT_WORD, [(word, len(word)) for word in words])
            self._words = set()
        self._choose_best()
        self._new_origins = set()

    def _choose_best(self) -> None:
        """Find the best version of each node that changed.

        The only version of a node is its best one, as it is when it is stored, so new
        nodes with one version need no more.
        """
        inserted, self._inserted = list(self._inserted), {}
        touched, self._touched = dict(self._touched), {}
        for start in range(0, len(inserted), 300):
            some = inserted[start : start + 300]
            marks = ", ".join(["(?, ?)"] * len(some))
            rows = self._connection.rows(
                "SELECT type, namespace FROM nodes"
                f" WHERE (namespace, type) IN (VALUES {marks})"
                " GROUP BY namespace, type HAVING count(*) > 1",
                [part for node in some for part in (node.namespace, node.type)],
            )
            touched.update((NodeId(*row), None) for row in rows)
        parameters = [(node.namespace, node.type) for node in touched]
        for statement in (_CHOOSE_BEST, _MARK_LABELS):
            self._connection.run_many(statement, parameters)

    def _change(
        self,
        action: str,
        before: NodeRow,
        after: NodeRow,
        *,
        record: NodeRecord | None = None,
        reason: str | None = None,
    ) -> None:
        """Make a row of ``nodes`` another one, with all that follows from it, and log it."""
        self.flush()
        metadata = after.metadata()
        rank = preference(metadata.version, metadata.lifecycle, yanked=bool(after.yanked))
        if record is not None:
            self._connection.rows(_UPDATE_NODE, (*record.columns, after.id))
            self._drop_words_and_labels(after.id)
            self._gather_labels(after.id, record)
        self._connection.rows(
            _DECIDE, (after.yanked, after.decision, rank, metadata.lifecycle.value, after.id)
        )
        body = {"before": _state(before), "after": _state(after)}
        if reason is not None:
            body["reason"] = canonical_json(reason)
        self._append(action, str(before.node_version), body)
        self._touched[NodeId(after.type, after.namespace)] = None

    def _gather(self, statement: str, parameters: tuple[Parameter, ...]) -> None:
        self._gathered.setdefault(statement, []).append(parameters)

    def _gather_labels(self, node_id: int, record: NodeRecord) -> None:
        for kind, value in record.labels:
            self._gather(_INSERT_LABEL, (kind, value, record.sort_key, node_id))
        self._gather(self._connection.insert_search(), (node_id, *record.search))
        self._words.update(record.search[0].split(), record.search[1].split())

    def _drop_words_and_labels(self, node_id: int) -> None:
        self._connection.rows("DELETE FROM labels WHERE node_id = ?", (node_id,))
        self._connection.rows("DELETE FROM search WHERE rowid = ?", (node_id,))

    def _find_row(self, node: NodeVersion) -> NodeRow | None:
        self._flush_new_nodes()
        rows = self._connection.rows(
            f"SELECT {NODE_COLUMNS} FROM nodes WHERE namespace = ? AND type = ? AND version = ?",
            (node.node.namespace, node.node.type, stored_version(node.version)),
        )
        return NodeRow(*rows[0]) if rows else None

    def _row(self, node: NodeVersion) -> NodeRow:
        row = self._find_row(node)
        if row is None:
            raise LookupError(f"{node} is not registered")
        return row

    def _row_at(self, origin: Origin) -> NodeRow | None:
        if origin in self._new_origins:
            self.flush()
        rows = self._connection.rows(
            f"SELECT {NODE_COLUMNS} FROM nodes JOIN origins ON node_id = nodes.id"
            " WHERE source = ? AND path = ?",
            (origin.source, origin.path),
        )
        return NodeRow(*rows[0]) if rows else None

    def _flush_new_nodes(self) -> None:
        if _INSERT_NODE in self._gathered:
            self.flush()

    def _origins(self, node_id: int) -> tuple[Origin, ...]:
        if self._new_origins:
            self.flush()
        rows = self._connection.rows(
            "SELECT source, path FROM origins WHERE node_id = ? ORDER BY source, path", (node_id,)
        )
        return tuple(Origin(*row) for row in rows)

    def _append(
        self, action: str, object_name: str, body: Mapping[str, str], time: str | None = None
    ) -> None:
        """Append an entry to the one log; the members of its body are canonical JSON."""
        event = Event(
            self._serial + 1,
            time or _now(),
            self._actor,
            action,
            object_name,
            "allowed",
            canonical_object(body),
            self._hash,
        ).sealed()
        self._gather(_INSERT_EVENT, event)
        self._serial, self._hash = event.serial, event.hash


def _state(row: NodeRow) -> str:
    return node_state(row.body, row.digest, yanked=bool(row.yanked), decision=row.decision)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")


def _current_user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return "unknown"
