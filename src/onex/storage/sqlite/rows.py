"""Between rows of ``registry.db`` and values."""

from __future__ import annotations

import json
import sqlite3

from onex.domain.metadata import NodeMetadata, Origin, Outcome, RegisteredNode
from onex.domain.reference import NodeVersion
from onex.storage.node_record import stored_version

NODE_COLUMNS = "id, body, digest, registered_at, yanked"

Row = tuple[int, str, str, str, int]
Parameter = str | int | None


def find_row(connection: sqlite3.Connection, node: NodeVersion) -> Row | None:
    """The row of one node version, None where it is not registered."""
    row: Row | None = connection.execute(
        f"SELECT {NODE_COLUMNS} FROM nodes WHERE namespace = ? AND type = ? AND version = ?",
        (node.node.namespace, node.node.type, stored_version(node.version)),
    ).fetchone()
    return row


def registered_node(connection: sqlite3.Connection, row: Row) -> RegisteredNode:
    node_id, body, digest, registered_at, yanked = row
    return RegisteredNode(
        NodeMetadata.from_json(json.loads(body)),
        digest,
        origins_of(connection, node_id),
        registered_at,
        bool(yanked),
    )


def origins_of(connection: sqlite3.Connection, node_id: int) -> tuple[Origin, ...]:
    rows = connection.execute(
        "SELECT source, path FROM origins WHERE node_id = ? ORDER BY source, path", (node_id,)
    ).fetchall()
    return tuple(Origin(*row) for row in rows)


def read_outcome(text: str) -> Outcome:
    match text:
        case "node" | "rejected" | "skipped" | "listing" | "plain":
            return text
        case _:
            raise ValueError(f"{text!r} is not an outcome of a scan")
