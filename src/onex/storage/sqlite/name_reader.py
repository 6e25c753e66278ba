"""The names of nodes in a SQLite database, for completion, which has no time to open a storage."""

from __future__ import annotations

import sqlite3

MAXIMUM_NAMES = 200


def names_beginning(file: str, beginning: str) -> list[str]:
    """References to nodes that begin so: short names, ``type://namespace``, or versions.

    Args:
        file: the path of the database; nothing is found in one that cannot be read.
        beginning: with ``://`` full names are found, and with ``@`` versions; else short names.
    """
    name, at, version = beginning.partition("@")
    node_type, scheme, namespace = name.partition("://")
    try:
        connection = sqlite3.connect(f"file:{_quoted(file)}?mode=ro", uri=True, timeout=0.2)
    except sqlite3.Error:
        return []
    try:
        if at:
            column, values = ("namespace", (node_type, namespace)) if scheme else ("name", (name,))
            where = f"{'type = ? AND ' if scheme else ''}{column} = ?"
            rows = connection.execute(
                f"SELECT version FROM nodes WHERE {where} AND substr(version, 1, ?) = ?"
                " ORDER BY preference, version_order DESC LIMIT ?",
                (*values, len(version), version, MAXIMUM_NAMES),
            )
            return [f"{name}@{row[0]}" for row in rows]
        if scheme:
            rows = connection.execute(
                "SELECT DISTINCT type, namespace FROM nodes WHERE type = ? AND is_best = 1"
                " AND namespace >= ? AND namespace < ? ORDER BY namespace LIMIT ?",
                (node_type, namespace, f"{namespace}\U0010ffff", MAXIMUM_NAMES),
            )
            return [f"{row[0]}://{row[1]}" for row in rows]
        rows = connection.execute(
            "SELECT DISTINCT name FROM nodes WHERE is_best = 1 AND name >= ? AND name < ?"
            " ORDER BY name LIMIT ?",
            (name, f"{name}\U0010ffff", MAXIMUM_NAMES),
        )
        return [row[0] for row in rows]
    except sqlite3.Error:
        return []
    finally:
        connection.close()


def _quoted(file: str) -> str:
    return file.replace("%", "%25").replace("?", "%3f").replace("#", "%23")
