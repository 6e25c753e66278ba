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
    glob = in_normal_form(pattern) if set(pattern) & set("*?[") else f"*{pattern}*"
    if glob is None:
        return [Condition("1 = 0", ())]
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


def in_normal_form(glob: str) -> str | None:
    """A glob that all databases read alike; None if nothing matches it.

    A range that runs backwards holds nothing, and a bracket that is not closed matches nothing.
    """
    parts, end = [], 0
    for found in _GLOB_PART.finditer(glob):
        parts.append(glob[end : found.start()])
        end = found.end()
        part = found.group()
        if part.startswith("["):
            is_negated = part[1] in "!^"
            characters = _setin_normal_form(part[2 if is_negated else 1 : -1])
            if characters:
                part = f"[{'!' if is_negated else ''}{characters}]"
            elif is_negated:
                part = "?"
            else:
                return None
        parts.append(part)
    parts.append(glob[end:])
    return None if any("[" in text for text in parts[::2]) else "".join(parts)


def _setin_normal_form(characters: str) -> str:
    """The characters of a set: ``]`` first and ``-`` last, where they are literal."""
    ranges, single, position = [], set(), 0
    while position < len(characters):
        whole = characters[position : position + 3]
        if len(whole) == 3 and whole[1] == "-":
            position += 3
            ranges += [whole] if whole[0] <= whole[2] else []
        else:
            position += 1
            single.add(whole[0])
    # No name holds what would turn the meaning of a set around at its beginning.
    plain = "".join(sorted(single - set("]-!^")))
    return "]" * ("]" in single) + plain + "".join(ranges) + "-" * ("-" in single)


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
    """The condition that a column matches a glob, and that its index is read from its prefix."""
    text, parameters = f"{ordered} >= ? AND {ordered} < ?", (start, f"{start}{_AFTER_ALL}")
    if glob == f"{start}*":
        return Condition(f"({text})", parameters)
    matches, parameter = connection.glob(column, glob)
    return Condition(f"({text} AND {matches})", (*parameters, parameter))
