"""A glob over the names of nodes as conditions that read few rows."""

from __future__ import annotations

import re
from dataclasses import dataclass

from onex.storage.sql.connection import Parameter, SqlConnection

# Beyond so many nodes a walk in the order of the listing soon fills a page.
MAXIMUM_CANDIDATES = 2_000
INDEXED_LENGTH = 3

_GLOB_PART = re.compile(r"\*|\?|\[[!^]?\]?[^\]]*\]")
_AFTER_ALL = "\U0010ffff"


@dataclass(frozen=True, slots=True)
class Condition:
    """What rows of ``nodes`` must meet, and its parameters."""

    text: str
    parameters: tuple[Parameter, ...]


def name_conditions(connection: SqlConnection, pattern: str, sort_key: str) -> list[Condition]:
    """Conditions of which one must hold for a namespace or a short name to match.

    ``pattern`` is a glob, or else a part of a name. Each condition alone is quick to page
    through in the order of ``sort_key``, which begins with the namespace.
    """
    glob = pattern if _GLOB_PART.search(pattern) else f"*{pattern}*"
    first, *others = _GLOB_PART.split(glob)
    if first:
        return [
            _beginning(connection, glob, first, sort_key, "nodes.namespace"),
            *_short_names(connection, glob, first),
        ]
    runs = [run for run in others if len(run) >= INDEXED_LENGTH]
    if runs:
        statement, parameters = connection.names_like(glob, runs)
        rows = connection.rows(f"{statement} LIMIT {MAXIMUM_CANDIDATES + 1}", parameters)
        if len(rows) <= MAXIMUM_CANDIDATES:
            marks = ", ".join("?" * len(rows)) or "NULL"
            return [Condition(f"nodes.id IN ({marks})", tuple(row[0] for row in rows))]
    by_namespace, namespace = connection.glob("nodes.namespace", glob)
    by_name, name = connection.glob("nodes.name", glob)
    return [Condition(f"({by_namespace} OR {by_name})", (namespace, name))]


def _short_names(connection: SqlConnection, glob: str, start: str) -> list[Condition]:
    """The condition on short names, none if no short name begins so."""
    found = connection.rows(
        "SELECT count(*) FROM (SELECT 1 FROM nodes WHERE name >= ? AND name < ?"
        f" LIMIT {MAXIMUM_CANDIDATES + 1}) AS begun",
        (start, f"{start}{_AFTER_ALL}"),
    )
    if found[0][0] == 0:
        return []
    are_few = found[0][0] <= MAXIMUM_CANDIDATES
    column = "nodes.name" if are_few else connection.unindexed("nodes.name")
    return [_beginning(connection, glob, start, column, column)]


def _beginning(
    connection: SqlConnection, glob: str, start: str, ordered: str, column: str
) -> Condition:
    """A column matches a glob, and another, which begins with it, lies where the glob begins."""
    text, parameters = f"{ordered} >= ? AND {ordered} < ?", (start, f"{start}{_AFTER_ALL}")
    if glob == f"{start}*":
        return Condition(f"({text})", parameters)
    matches, parameter = connection.glob(column, glob)
    return Condition(f"({text} AND {matches})", (*parameters, parameter))
