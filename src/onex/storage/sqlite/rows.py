"""Between rows of ``registry.db`` and values."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence

from onex.domain.errors import Location, Problem, Severity
from onex.domain.metadata import NodeMetadata, Origin, Outcome, RegisteredNode
from onex.domain.reference import NodeVersion
from onex.domain.version import Version

NODE_COLUMNS = "id, body, digest, registered_at, yanked"

Row = tuple[int, str, str, str, int]
Parameter = str | int | None


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


def stored_version(version: Version) -> str:
    """The version without build metadata, which does not distinguish versions."""
    return str(version).partition("+")[0]


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


def write_problems(problems: Sequence[Problem]) -> str:
    return json.dumps([problem.to_json() for problem in problems]) if problems else "[]"


def read_problems(text: str) -> tuple[Problem, ...]:
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


def read_outcome(text: str) -> Outcome:
    match text:
        case "node" | "rejected" | "skipped" | "listing" | "plain":
            return text
        case _:
            raise ValueError(f"{text!r} is not an outcome of a scan")
