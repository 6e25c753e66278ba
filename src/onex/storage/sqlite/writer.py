"""SqliteWriter: the changes of the registry inside one transaction, each with its event."""

from __future__ import annotations

import getpass
import json
import sqlite3
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from onex.domain.event import GENESIS_HASH, Event
from onex.domain.json_value import canonical_json, canonical_object
from onex.domain.metadata import NodeMetadata, Origin, RegisteredNode
from onex.domain.projection import node_state
from onex.domain.reference import NodeId, NodeVersion
from onex.domain.selection import preference
from onex.domain.version import Version
from onex.storage.backend import SeenFile
from onex.storage.folder_memory import FolderMemory
from onex.storage.node_record import NodeRecord
from onex.storage.problems import write_problems
from onex.storage.sqlite.rows import (
    Row,
    find_row,
    origins_of,
    registered_node,
)


class SqliteWriter:
    """The StorageWriter inside one transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._actor = _current_user()
        last: tuple[int, str] | None = connection.execute(
            "SELECT serial, hash FROM events ORDER BY serial DESC LIMIT 1"
        ).fetchone()
        self._serial, self._hash = last or (0, GENESIS_HASH)

    def find(self, node: NodeVersion) -> RegisteredNode | None:
        row = find_row(self._connection, node)
        return None if row is None else registered_node(self._connection, row)

    def node_at(self, origin: Origin) -> NodeVersion | None:
        row = self._connection.execute(
            "SELECT type, namespace, version FROM nodes JOIN origins ON node_id = id"
            " WHERE source = ? AND path = ?",
            (origin.source, origin.path),
        ).fetchone()
        return row and NodeVersion(NodeId(row[0], row[1]), Version.parse(row[2]))

    def insert(self, record: NodeRecord, origin: Origin) -> None:
        now = _now()
        node_id = self._connection.execute(_INSERT_NODE, (*record[:_COLUMN_COUNT], now)).lastrowid
        self._write_labels(node_id, record)
        self._connection.execute(
            "INSERT INTO origins (node_id, source, path) VALUES (?, ?, ?)",
            (node_id, origin.source, origin.path),
        )
        after = node_state(record.body, record.digest, yanked=False)
        body = {"before": "null", "after": after, "origin": canonical_json(origin.to_json())}
        self._append("node.registered", record.label, body, now)

    def update(self, record: NodeRecord) -> None:
        node_id, body, digest, _, yanked = self._row(record.node_version)
        self._connection.execute(_UPDATE_NODE, (*record[:_COLUMN_COUNT], node_id))
        self._connection.execute("DELETE FROM labels WHERE node_id = ?", (node_id,))
        self._write_labels(node_id, record)
        states = {
            "before": node_state(body, digest, yanked=bool(yanked)),
            "after": node_state(record.body, record.digest, yanked=bool(yanked)),
        }
        self._append("node.updated", record.label, states)

    def set_yanked(self, node: NodeVersion, *, yanked: bool, reason: str | None) -> None:
        node_id, body, digest, _, was_yanked = self._row(node)
        metadata = NodeMetadata.from_json(json.loads(body))
        self._connection.execute(
            "UPDATE nodes SET yanked = ?, preference = ? WHERE id = ?",
            (yanked, preference(metadata.version, metadata.lifecycle, yanked=yanked), node_id),
        )
        states = {
            "before": node_state(body, digest, yanked=bool(was_yanked)),
            "after": node_state(body, digest, yanked=yanked),
            "reason": canonical_json(reason),
        }
        self._append("node.yanked" if yanked else "node.unyanked", str(node), states)

    def _row(self, node: NodeVersion) -> Row:
        row = find_row(self._connection, node)
        if row is None:
            raise LookupError(f"{node} is not registered")
        return row

    def _write_labels(self, node_id: int | None, record: NodeRecord) -> None:
        self._connection.executemany(
            "INSERT OR IGNORE INTO labels (kind, value, node_id) VALUES (?, ?, ?)",
            [(kind, value, node_id) for kind, value in record.labels],
        )

    def add_origin(self, node: NodeVersion, origin: Origin) -> None:
        node_id = self._row(node)[0]
        self._connection.execute(
            "INSERT OR REPLACE INTO origins (node_id, source, path) VALUES (?, ?, ?)",
            (node_id, origin.source, origin.path),
        )
        body = {"origin": canonical_json(origin.to_json())}
        self._append("node.origin_added", str(node), body)

    def remove_origin(self, origin: Origin) -> bool:
        node = self.node_at(origin)
        if node is None:
            return False
        node_id, body, digest, _, yanked = self._row(node)
        self._connection.execute(
            "DELETE FROM origins WHERE source = ? AND path = ?", (origin.source, origin.path)
        )
        if origins_of(self._connection, node_id):
            facts = {"origin": canonical_json(origin.to_json())}
            self._append("node.origin_removed", str(node), facts)
            return False
        self._connection.execute("DELETE FROM nodes WHERE id = ?", (node_id,))
        before = node_state(body, digest, yanked=bool(yanked))
        self._append("node.removed", str(node), {"before": before, "after": "null"})
        return True

    def remember(self, source: str, file: SeenFile) -> None:
        self._connection.execute(
            "INSERT OR REPLACE INTO seen_files VALUES (?, ?, ?, ?, ?)",
            (source, file.path, file.fingerprint, file.outcome, write_problems(file.problems)),
        )

    def forget(self, source: str, path: str) -> None:
        self._connection.execute(
            "DELETE FROM seen_files WHERE source = ? AND path = ?", (source, path)
        )

    def remember_folders(
        self, source: str, changed: Iterable[FolderMemory], gone: Iterable[str]
    ) -> None:
        self._connection.executemany(
            "INSERT OR REPLACE INTO folders (source, path, stamp, rules, files, folders,"
            " fingerprint) VALUES (?, ?, ?, ?, ?, ?, ?)",
            ((source, *memory) for memory in changed),
        )
        self._connection.executemany(
            "DELETE FROM folders WHERE source = ? AND path = ?", ((source, path) for path in gone)
        )

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
        self._connection.execute(
            "INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                event.serial,
                event.time,
                event.actor,
                event.action,
                event.object,
                event.outcome,
                event.body,
                event.previous_hash,
                event.hash,
            ),
        )
        self._serial, self._hash = event.serial, event.hash


_COLUMN_COUNT = NodeRecord._fields.index("body") + 1
_COLUMNS = NodeRecord._fields[:_COLUMN_COUNT]
_INSERT_NODE = (
    f"INSERT INTO nodes ({', '.join(_COLUMNS)}, registered_at)"
    f" VALUES ({', '.join('?' * (_COLUMN_COUNT + 1))})"
)
_UPDATE_NODE = f"UPDATE nodes SET {', '.join(f'{column} = ?' for column in _COLUMNS)} WHERE id = ?"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")


def _current_user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return "unknown"
