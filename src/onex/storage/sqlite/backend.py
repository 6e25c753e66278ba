"""SqliteBackend: the registry in one SQLite file."""

from __future__ import annotations

import base64
import getpass
import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from onex.domain.errors import Location, Problem, Severity, StorageError, UsageError
from onex.domain.event import GENESIS_HASH, Event, first_broken_link
from onex.domain.json_value import JsonObject
from onex.domain.lifecycle import Lifecycle
from onex.domain.metadata import NodeMetadata, Origin, RegisteredNode
from onex.domain.reference import NodeId, NodeVersion
from onex.domain.selection import preference
from onex.domain.version import Version
from onex.storage.backend import Outcome, SeenFile
from onex.storage.query import MetadataQuery, Page
from onex.storage.sqlite.database import open_database, storage_errors, transaction

_NODE_COLUMNS = "id, body, digest, registered_at, yanked"
_GLOB_CHARACTERS = frozenset("*?[")

Row = tuple[int, str, str, str, int]
Parameter = str | int | None


class SqliteBackend:
    """A StorageBackend over ``registry.db``. One object serves one thread."""

    def __init__(self, path: Path) -> None:
        """Open or create the database; raises StorageError."""
        self._path = path
        self._connection = open_database(path, "registry")

    def close(self) -> None:
        self._connection.close()

    @contextmanager
    def writing(self) -> Iterator[_SqliteWriter]:
        with storage_errors(self._path), transaction(self._connection):
            yield _SqliteWriter(self._connection)

    def node(self, node: NodeVersion) -> RegisteredNode | None:
        found = self._nodes(
            f"SELECT {_NODE_COLUMNS} FROM nodes WHERE namespace = ? AND type = ? AND version = ?",
            (node.node.namespace, node.node.type, _identity(node.version)),
        )
        return found[0] if found else None

    def versions(self, node: NodeId) -> Sequence[RegisteredNode]:
        return self._nodes(
            f"SELECT {_NODE_COLUMNS} FROM nodes WHERE namespace = ? AND type = ? "
            "ORDER BY version_order",
            (node.namespace, node.type),
        )

    def find_nodes(self, name: str) -> Sequence[NodeId]:
        with storage_errors(self._path):
            rows = self._connection.execute(
                "SELECT DISTINCT type, namespace FROM nodes WHERE namespace = ?1"
                " UNION SELECT DISTINCT type, namespace FROM nodes WHERE name = ?1"
                " UNION SELECT DISTINCT type, namespace FROM nodes WHERE uuid = ?1"
                " ORDER BY namespace, type",
                (name,),
            ).fetchall()
        exact = [NodeId(*row) for row in rows if row[1] == name]
        return exact or [NodeId(*row) for row in rows]

    def all_nodes(self) -> Sequence[NodeId]:
        with storage_errors(self._path):
            rows = self._connection.execute(
                "SELECT DISTINCT type, namespace FROM nodes ORDER BY namespace, type"
            ).fetchall()
        return [NodeId(*row) for row in rows]

    def query(self, query: MetadataQuery) -> Page:
        condition, parameters = _condition(query)
        rank = (
            "ROW_NUMBER() OVER (PARTITION BY namespace, type"
            " ORDER BY preference DESC, version_order DESC)"
        )
        chosen = f"SELECT *, {rank} AS place FROM nodes WHERE {condition}"
        if not query.all_versions:
            chosen = f"SELECT * FROM ({chosen}) WHERE place = 1"
        page = f"SELECT {_NODE_COLUMNS}, namespace, type, version_order FROM ({chosen})"
        page_parameters = list(parameters)
        if query.after is not None:
            page += " WHERE (namespace, type, version_order) > (?, ?, ?)"
            page_parameters += _read_cursor(query.after)
        page += " ORDER BY namespace, type, version_order"
        if query.limit is not None:
            page += " LIMIT ?"
            page_parameters.append(query.limit + 1)
        with storage_errors(self._path):
            total: int = self._connection.execute(
                f"SELECT count(*) FROM ({chosen})", parameters
            ).fetchone()[0]
            rows = self._connection.execute(page, page_parameters).fetchall()
        following = None
        if query.limit is not None and len(rows) > query.limit:
            rows = rows[: query.limit]
            following = _write_cursor(rows[-1][5:]) if rows else None
        return Page([self._registered(row[:5]) for row in rows], total, following)

    def nodes_sharing_uuid(self) -> Mapping[str, Sequence[NodeId]]:
        with storage_errors(self._path):
            rows = self._connection.execute(
                "SELECT DISTINCT uuid, type, namespace FROM nodes WHERE uuid IN (SELECT uuid"
                " FROM nodes GROUP BY uuid HAVING count(DISTINCT type || '://' || namespace) > 1)"
                " ORDER BY uuid, namespace, type"
            ).fetchall()
        sharing: dict[str, list[NodeId]] = {}
        for uuid, node_type, namespace in rows:
            sharing.setdefault(uuid, []).append(NodeId(node_type, namespace))
        return sharing

    def dependents(self, node: NodeId) -> Sequence[NodeVersion]:
        with storage_errors(self._path):
            rows = self._connection.execute(
                "SELECT type, namespace, version FROM nodes JOIN labels ON node_id = id"
                " WHERE kind = 'needs' AND value IN (SELECT ?1 UNION SELECT ?2"
                " UNION SELECT name FROM nodes WHERE namespace = ?2 AND type = ?3"
                " UNION SELECT uuid FROM nodes WHERE namespace = ?2 AND type = ?3)"
                " ORDER BY namespace, type, version_order",
                (str(node), node.namespace, node.type),
            ).fetchall()
        return [NodeVersion(NodeId(t, namespace), Version.parse(v)) for t, namespace, v in rows]

    def seen_files(self, source: str) -> Mapping[str, SeenFile]:
        with storage_errors(self._path):
            rows = self._connection.execute(
                "SELECT path, fingerprint, outcome, problems FROM seen_files WHERE source = ?",
                (source,),
            ).fetchall()
        return {
            path: SeenFile(path, fingerprint, _outcome(outcome), _read_problems(problems))
            for path, fingerprint, outcome, problems in rows
        }

    def events(self, after: int = 0) -> Sequence[Event]:
        with storage_errors(self._path):
            rows = self._connection.execute(
                "SELECT serial, time, actor, action, object, outcome, body, previous_hash, hash"
                " FROM events WHERE serial > ? ORDER BY serial",
                (after,),
            ).fetchall()
        return [
            Event(serial, at, actor, action, name, outcome, json.loads(body), previous, own)
            for serial, at, actor, action, name, outcome, body, previous, own in rows
        ]

    def check(self) -> None:
        with storage_errors(self._path):
            (finding,) = self._connection.execute("PRAGMA quick_check(1)").fetchone()
        if finding != "ok":
            raise StorageError(
                f"{self._path} is damaged: {finding}",
                hint="move the file away and run onex scan to build it again",
            )
        broken = first_broken_link(self.events())
        if broken is not None:
            raise StorageError(
                f"entry {broken} of the log in {self._path} was changed after it was written",
                hint="restore the file from a backup",
            )

    def _nodes(self, statement: str, parameters: Sequence[Parameter]) -> list[RegisteredNode]:
        with storage_errors(self._path):
            rows = self._connection.execute(statement, parameters).fetchall()
        return [self._registered(row) for row in rows]

    def _registered(self, row: Row) -> RegisteredNode:
        with storage_errors(self._path):
            return _registered(self._connection, row)


class _SqliteWriter:
    """The StorageWriter inside one transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._actor = _current_user()
        last: tuple[int, str] | None = connection.execute(
            "SELECT serial, hash FROM events ORDER BY serial DESC LIMIT 1"
        ).fetchone()
        self._serial, self._hash = last or (0, GENESIS_HASH)

    def find(self, node: NodeVersion) -> RegisteredNode | None:
        row = self._row(node)
        return None if row is None else _registered(self._connection, row)

    def _row(self, node: NodeVersion) -> Row | None:
        row: Row | None = self._connection.execute(
            f"SELECT {_NODE_COLUMNS} FROM nodes WHERE namespace = ? AND type = ? AND version = ?",
            (node.node.namespace, node.node.type, _identity(node.version)),
        ).fetchone()
        return row

    def node_at(self, origin: Origin) -> NodeVersion | None:
        row = self._connection.execute(
            "SELECT type, namespace, version FROM nodes JOIN origins ON node_id = id"
            " WHERE source = ? AND path = ?",
            (origin.source, origin.path),
        ).fetchone()
        return row and NodeVersion(NodeId(row[0], row[1]), Version.parse(row[2]))

    def insert(self, metadata: NodeMetadata, digest: str, origin: Origin) -> None:
        values = _values(metadata, digest)
        values["registered_at"] = _now()
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
            {"before": None, "after": _state(metadata, digest), "origin": origin.path},
        )

    def update(self, metadata: NodeMetadata, digest: str) -> None:
        before = self._row(metadata.node_version)
        if before is None:
            raise LookupError(f"{metadata.node_version} is not registered")
        values = _values(metadata, digest)
        settings = ", ".join(f"{column} = ?" for column in values)
        self._connection.execute(
            f"UPDATE nodes SET {settings} WHERE id = ?", (*values.values(), before[0])
        )
        self._connection.execute("DELETE FROM labels WHERE node_id = ?", (before[0],))
        self._write_labels(before[0], metadata)
        old = NodeMetadata.from_json(json.loads(before[1]))
        self.append(
            "node.updated",
            str(metadata.node_version),
            {"before": _state(old, before[2]), "after": _state(metadata, digest)},
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
        row = self._row(node)
        if row is None:
            raise LookupError(f"{node} is not registered")
        self._connection.execute(
            "INSERT OR REPLACE INTO origins (node_id, source, path) VALUES (?, ?, ?)",
            (row[0], origin.source, origin.path),
        )
        self.append("node.origin_added", str(node), {"origin": origin.path})

    def remove_origin(self, origin: Origin) -> bool:
        node = self.node_at(origin)
        if node is None:
            return False
        row = self._row(node)
        self._connection.execute(
            "DELETE FROM origins WHERE source = ? AND path = ?", (origin.source, origin.path)
        )
        if row is None or _origins(self._connection, row[0]):
            self.append("node.origin_removed", str(node), {"origin": origin.path})
            return False
        self._connection.execute("DELETE FROM nodes WHERE id = ?", (row[0],))
        before = _state(NodeMetadata.from_json(json.loads(row[1])), row[2])
        self.append("node.removed", str(node), {"before": before, "after": None})
        return True

    def remember(self, source: str, file: SeenFile) -> None:
        self._connection.execute(
            "INSERT OR REPLACE INTO seen_files VALUES (?, ?, ?, ?, ?)",
            (source, file.path, file.fingerprint, file.outcome, _write_problems(file.problems)),
        )

    def forget(self, source: str, path: str) -> None:
        self._connection.execute(
            "DELETE FROM seen_files WHERE source = ? AND path = ?", (source, path)
        )

    def append(self, action: str, object_name: str, body: JsonObject) -> Event:
        event = Event(
            self._serial + 1, _now(), self._actor, action, object_name, "allowed", body, self._hash
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
                json.dumps(event.body, sort_keys=True, ensure_ascii=False),
                event.previous_hash,
                event.hash,
            ),
        )
        self._serial, self._hash = event.serial, event.hash
        return event


def version_order(version: Version) -> str:
    """A text whose binary order is the precedence of versions."""
    numbers = "".join(f"{len(digits):03}{digits}" for digits in map(str, version.triple))
    if not version.prerelease:
        return f"{numbers}~"
    parts = [
        f"0{len(str(part)):03}{part}" if isinstance(part, int) else f"1{part}"
        for part in version.prerelease
    ]
    return f"{numbers}!" + "".join(f"{part}\x01" for part in parts)


def _identity(version: Version) -> str:
    """The version without build metadata, which does not distinguish versions."""
    return str(version).partition("+")[0]


def _values(metadata: NodeMetadata, digest: str) -> dict[str, Parameter]:
    return {
        "type": metadata.node.type,
        "namespace": metadata.node.namespace,
        "version": _identity(metadata.version),
        "version_order": version_order(metadata.version),
        "preference": preference(metadata.version, metadata.lifecycle),
        "name": metadata.name,
        "uuid": metadata.uuid,
        "lifecycle": metadata.lifecycle.value,
        "description": metadata.description,
        "digest": digest,
        "body": json.dumps(metadata.to_json(), ensure_ascii=False),
    }


def _state(metadata: NodeMetadata, digest: str) -> dict[str, str]:
    """What of a node version its history keeps."""
    return {"digest": digest, "lifecycle": metadata.lifecycle.value}


def _registered(connection: sqlite3.Connection, row: Row) -> RegisteredNode:
    node_id, body, digest, registered_at, yanked = row
    return RegisteredNode(
        NodeMetadata.from_json(json.loads(body)),
        digest,
        _origins(connection, node_id),
        registered_at,
        bool(yanked),
    )


def _origins(connection: sqlite3.Connection, node_id: int) -> tuple[Origin, ...]:
    rows = connection.execute(
        "SELECT source, path FROM origins WHERE node_id = ? ORDER BY source, path", (node_id,)
    ).fetchall()
    return tuple(Origin(*row) for row in rows)


def _condition(query: MetadataQuery) -> tuple[str, list[Parameter]]:
    conditions, parameters = ["1"], list[Parameter]()
    pattern = query.pattern
    if pattern is not None and "://" in pattern:
        node_type, _, pattern = pattern.partition("://")
        conditions.append("type GLOB ?")
        parameters.append(node_type)
    if pattern:
        glob = pattern if _GLOB_CHARACTERS & set(pattern) else f"*{pattern}*"
        conditions.append("(namespace GLOB ? OR name GLOB ?)")
        parameters += (glob, glob)
    if query.type is not None:
        conditions.append("type = ?")
        parameters.append(query.type)
    for kind, values in (("tag", query.tags), ("capability", query.capabilities)):
        for value in values:
            conditions.append("id IN (SELECT node_id FROM labels WHERE kind = ? AND value = ?)")
            parameters += (kind, value)
    if query.lifecycle is not None:
        conditions.append("lifecycle = ?")
        parameters.append(query.lifecycle.value)
    elif not query.all_versions:
        conditions.append("lifecycle <> ?")
        parameters.append(Lifecycle.ARCHIVED.value)
    if query.source is not None:
        conditions.append("id IN (SELECT node_id FROM origins WHERE source = ?)")
        parameters.append(query.source)
    return " AND ".join(conditions), parameters


def _write_cursor(key: Sequence[str]) -> str:
    return base64.urlsafe_b64encode(json.dumps(list(key)).encode()).decode()


def _read_cursor(cursor: str) -> list[str]:
    try:
        key = json.loads(base64.urlsafe_b64decode(cursor.encode()))
    except ValueError:
        key = None
    if not isinstance(key, list) or len(key) != 3 or not all(isinstance(p, str) for p in key):
        raise UsageError(f"{cursor!r} is not a cursor", hint='pass the "next" of the page before')
    return key


def _outcome(text: str) -> Outcome:
    match text:
        case "node" | "rejected" | "skipped":
            return text
        case _:
            raise ValueError(f"{text!r} is not an outcome of a scan")


def _write_problems(problems: Sequence[Problem]) -> str:
    return json.dumps([problem.to_json() for problem in problems]) if problems else "[]"


def _read_problems(text: str) -> tuple[Problem, ...]:
    if text == "[]":
        return ()
    return tuple(
        Problem(
            item["code"],
            Severity(item["severity"]),
            item["message"],
            Location(item["path"], item["line"], item["column"]),
            item["hint"],
        )
        for item in json.loads(text)
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")


def _current_user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return "unknown"
