"""SqliteBackend: the registry in one SQLite file."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from onex.domain.errors import StorageError, UsageError
from onex.domain.event import Event, first_broken_link
from onex.domain.lifecycle import Lifecycle
from onex.domain.metadata import RegisteredNode
from onex.domain.projection import changed_names
from onex.domain.reference import NodeId, NodeVersion
from onex.domain.version import Version
from onex.storage.backend import SeenFile
from onex.storage.folder_memory import FolderMemory
from onex.storage.problems import read_problems
from onex.storage.query import MetadataQuery, Page
from onex.storage.sqlite.database import open_database, storage_errors, transaction
from onex.storage.sqlite.rows import (
    NODE_COLUMNS,
    Parameter,
    Row,
    find_row,
    read_outcome,
    registered_node,
)
from onex.storage.sqlite.writer import SqliteWriter

MAXIMUM_CHANGES = 1000

_GLOB_CHARACTERS = frozenset("*?[")


class SqliteBackend:
    """A StorageBackend over ``registry.db``. One object serves one thread."""

    def __init__(self, path: Path) -> None:
        """Open or create the database; raises StorageError."""
        self._path = path
        self._connection = open_database(path, "registry")

    def close(self) -> None:
        self._connection.close()

    @contextmanager
    def writing(self) -> Iterator[SqliteWriter]:
        with storage_errors(self._path), transaction(self._connection):
            yield SqliteWriter(self._connection)

    def node(self, node: NodeVersion) -> RegisteredNode | None:
        with storage_errors(self._path):
            row = find_row(self._connection, node)
        return None if row is None else self._read(row)

    def versions(self, node: NodeId) -> Sequence[RegisteredNode]:
        return self._nodes(
            f"SELECT {NODE_COLUMNS} FROM nodes WHERE namespace = ? AND type = ? "
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
        page = f"SELECT {NODE_COLUMNS}, namespace, type, version_order FROM ({chosen})"
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
        return Page([self._read(row[:5]) for row in rows], total, following)

    def nodes_sharing_uuid(self) -> Mapping[str, Sequence[NodeId]]:
        with storage_errors(self._path):
            rows = self._connection.execute(
                "SELECT DISTINCT uuid, type, namespace FROM nodes WHERE uuid IN (SELECT uuid"
                " FROM nodes WHERE uuid IS NOT NULL GROUP BY uuid"
                " HAVING min(namespace) <> max(namespace) OR min(type) <> max(type))"
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

    def count(self) -> int:
        return int(self._rows("SELECT count(*) FROM nodes")[0][0])

    def fingerprints(self, source: str) -> Mapping[str, str]:
        return dict(
            self._rows("SELECT path, fingerprint FROM seen_files WHERE source = ?", (source,))
        )

    def folders(self, source: str) -> Mapping[str, FolderMemory]:
        rows = self._rows(
            "SELECT path, stamp, rules, files, folders, fingerprint FROM folders WHERE source = ?",
            (source,),
        )
        return {row[0]: FolderMemory._make(row) for row in rows}

    def outcomes(self, source: str) -> Mapping[str, int]:
        return dict(
            self._rows(
                "SELECT outcome, count(*) FROM seen_files WHERE source = ? GROUP BY outcome",
                (source,),
            )
        )

    def files_with_problems(self, source: str) -> Sequence[SeenFile]:
        rows = self._rows(
            "SELECT path, fingerprint, outcome, problems FROM seen_files"
            " WHERE source = ? AND problems <> '[]' ORDER BY path",
            (source,),
        )
        return [
            SeenFile(path, fingerprint, read_outcome(outcome), read_problems(problems))
            for path, fingerprint, outcome, problems in rows
        ]

    def events(self, after: int = 0) -> Sequence[Event]:
        with storage_errors(self._path):
            rows = self._connection.execute(
                "SELECT serial, time, actor, action, object, outcome, body, previous_hash, hash"
                " FROM events WHERE serial > ? ORDER BY serial",
                (after,),
            ).fetchall()
        return [Event(*row) for row in rows]

    def serial(self) -> int:
        with storage_errors(self._path):
            found: tuple[int | None] = self._connection.execute(
                "SELECT max(serial) FROM events"
            ).fetchone()
        return found[0] or 0

    def names_changed(self, after: int) -> frozenset[str] | None:
        with storage_errors(self._path):
            rows = self._connection.execute(
                "SELECT object, body FROM events WHERE serial > ? AND action LIKE 'node.%' LIMIT ?",
                (after, MAXIMUM_CHANGES + 1),
            ).fetchall()
        if len(rows) > MAXIMUM_CHANGES:
            return None
        return frozenset(name for row in rows for name in changed_names(*row))

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
        return [self._read(row) for row in rows]

    def _rows(self, statement: str, parameters: Sequence[Parameter] = ()) -> list[Any]:
        with storage_errors(self._path):
            return self._connection.execute(statement, parameters).fetchall()

    def _read(self, row: Row) -> RegisteredNode:
        with storage_errors(self._path):
            return registered_node(self._connection, row)


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
