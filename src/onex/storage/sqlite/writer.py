"""SqliteWriter: the changes of the registry inside one transaction, each with its event."""

from __future__ import annotations

import getpass
import json
import sqlite3
from collections.abc import Iterable
from datetime import UTC, datetime

from onex.domain.event import GENESIS_HASH, Event
from onex.domain.json_value import JsonObject, canonical_json
from onex.domain.metadata import NodeMetadata, Origin, RegisteredNode
from onex.domain.projection import node_state
from onex.domain.reference import NodeId, NodeVersion
from onex.domain.selection import preference
from onex.domain.version import Version
from onex.storage.backend import SeenFile
from onex.storage.folder_memory import FolderMemory
from onex.storage.sqlite.rows import (
    Parameter,
    find_row,
    origins_of,
    registered_node,
    stored_version,
    version_order,
    write_problems,
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

    def insert(self, metadata: NodeMetadata, digest: str, origin: Origin) -> None:
        values = _values(metadata, digest, yanked=False)
        values["registered_at"] = now = _now()
        columns = ", ".join(values)
        marks = ", ".join("?" * len(values))
        node_id = self._connection.execute(
            f"INSERT INTO nodes ({columns}) VALUES ({marks})", tuple(values.values())
        ).lastrowid
        self._write_labels(node_id, metadata)
        self._connection.execute(
            "INSERT INTO origins (node_id, source, path) VALUES (?, ?, ?)",
            (node_id, origin.source, origin.path),
        )
        self.append(
            "node.registered",
            str(metadata.node_version),
            {
                "before": None,
                "after": node_state(metadata, digest, yanked=False),
                "origin": origin.to_json(),
            },
            now,
        )

    def update(self, metadata: NodeMetadata, digest: str) -> None:
        before = find_row(self._connection, metadata.node_version)
        if before is None:
            raise LookupError(f"{metadata.node_version} is not registered")
        node_id, body, old_digest, _, yanked = before
        values = _values(metadata, digest, yanked=bool(yanked))
        settings = ", ".join(f"{column} = ?" for column in values)
        self._connection.execute(
            f"UPDATE nodes SET {settings} WHERE id = ?", (*values.values(), node_id)
        )
        self._connection.execute("DELETE FROM labels WHERE node_id = ?", (node_id,))
        self._write_labels(node_id, metadata)
        old = NodeMetadata.from_json(json.loads(body))
        self.append(
            "node.updated",
            str(metadata.node_version),
            {
                "before": node_state(old, old_digest, yanked=bool(yanked)),
                "after": node_state(metadata, digest, yanked=bool(yanked)),
            },
        )

    def set_yanked(self, node: NodeVersion, *, yanked: bool, reason: str | None) -> None:
        row = find_row(self._connection, node)
        if row is None:
            raise LookupError(f"{node} is not registered")
        node_id, body, digest, _, was_yanked = row
        metadata = NodeMetadata.from_json(json.loads(body))
        self._connection.execute(
            "UPDATE nodes SET yanked = ?, preference = ? WHERE id = ?",
            (yanked, preference(metadata.version, metadata.lifecycle, yanked=yanked), node_id),
        )
        self.append(
            "node.yanked" if yanked else "node.unyanked",
            str(node),
            {
                "before": node_state(metadata, digest, yanked=bool(was_yanked)),
                "after": node_state(metadata, digest, yanked=yanked),
                "reason": reason,
            },
        )

    def _write_labels(self, node_id: int | None, metadata: NodeMetadata) -> None:
        labels = [("tag", tag) for tag in metadata.tags]
        labels += [("capability", word) for word in metadata.capabilities]
        labels += [("permission", str(permission)) for permission in metadata.permissions]
        labels += [
            ("needs", str(dependency.reference.node or dependency.reference.name))
            for dependency in metadata.dependencies
        ]
        self._connection.executemany(
            "INSERT OR IGNORE INTO labels (kind, value, node_id) VALUES (?, ?, ?)",
            [(kind, value, node_id) for kind, value in labels],
        )

    def add_origin(self, node: NodeVersion, origin: Origin) -> None:
        row = find_row(self._connection, node)
        if row is None:
            raise LookupError(f"{node} is not registered")
        self._connection.execute(
            "INSERT OR REPLACE INTO origins (node_id, source, path) VALUES (?, ?, ?)",
            (row[0], origin.source, origin.path),
        )
        self.append("node.origin_added", str(node), {"origin": origin.to_json()})

    def remove_origin(self, origin: Origin) -> bool:
        node = self.node_at(origin)
        if node is None:
            return False
        row = find_row(self._connection, node)
        self._connection.execute(
            "DELETE FROM origins WHERE source = ? AND path = ?", (origin.source, origin.path)
        )
        if row is None or origins_of(self._connection, row[0]):
            self.append("node.origin_removed", str(node), {"origin": origin.to_json()})
            return False
        self._connection.execute("DELETE FROM nodes WHERE id = ?", (row[0],))
        metadata = NodeMetadata.from_json(json.loads(row[1]))
        before = node_state(metadata, row[2], yanked=bool(row[4]))
        self.append("node.removed", str(node), {"before": before, "after": None})
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

    def append(
        self, action: str, object_name: str, body: JsonObject, time: str | None = None
    ) -> Event:
        event = Event(
            self._serial + 1,
            time or _now(),
            self._actor,
            action,
            object_name,
            "allowed",
            canonical_json(body),
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
        return event


def _values(metadata: NodeMetadata, digest: str, *, yanked: bool) -> dict[str, Parameter]:
    return {
        "type": metadata.node.type,
        "namespace": metadata.node.namespace,
        "version": stored_version(metadata.version),
        "version_order": version_order(metadata.version),
        "preference": preference(metadata.version, metadata.lifecycle, yanked=yanked),
        "name": metadata.name,
        "uuid": metadata.uuid,
        "lifecycle": metadata.lifecycle.value,
        "description": metadata.description,
        "digest": digest,
        "body": json.dumps(metadata.to_json(), ensure_ascii=False),
    }


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")


def _current_user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return "unknown"
