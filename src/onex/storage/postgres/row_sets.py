"""One statement for many rows: what is written row by row elsewhere, PostgreSQL takes as a set.

The rows travel as one JSON array, which costs half of what a parameter for each value does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache

from onex.storage.sql.connection import Parameter

MAXIMUM_ROWS = 500
MAXIMUM_CHARACTERS = 16_000_000
_NOTHING = "null"
_ROWS = "jsonb_array_elements(%s::jsonb) AS given"
_CONFLICT = re.compile(r"INSERT INTO \w+ \((?P<columns>[^)]*)\) .*ON CONFLICT \((?P<key>[^)]*)\)")


def column_types(rows: Sequence[Sequence[Parameter]]) -> tuple[str, ...] | None:
    """The type of each column of rows; None if they hold what JSON cannot."""
    types = []
    for column in zip(*rows, strict=True):
        kinds = {type(value) for value in column} - {type(None)}
        if not kinds:
            types.append(_NOTHING)
        elif kinds <= {str}:
            types.append("text")
        elif kinds <= {int}:
            types.append("bigint")
        elif kinds <= {int, float}:
            types.append("double precision")
        else:
            return None
    return tuple(types)


def touches_rows_once(statement: str, rows: Sequence[Sequence[Parameter]]) -> bool:
    """Whether a statement can take a set of rows: no two of them concern one row of the table.

    For a statement that takes a set, the order among those would be lost.
    """
    if " VALUES (" not in statement and statement.startswith("INSERT"):
        return False
    conflict = _CONFLICT.match(statement)
    if conflict is not None:
        columns, key = (conflict[name].split(", ") for name in ("columns", "key"))
        places = [columns.index(name) for name in key]
        return len({tuple(row[place] for place in places) for row in rows}) == len(rows)
    if statement.startswith("UPDATE"):
        count = statement.partition(" WHERE ")[2].count("?")
        return len({tuple(row[-count:]) for row in rows}) == len(rows)
    return True


def in_sets(rows: Sequence[Sequence[Parameter]]) -> Iterator[list[Sequence[Parameter]]]:
    """Rows in sets that each are small enough for one statement."""
    some: list[Sequence[Parameter]] = []
    characters = 0
    for row in rows:
        some.append(row)
        characters += sum(len(value) for value in row if isinstance(value, str))
        if len(some) == MAXIMUM_ROWS or characters > MAXIMUM_CHARACTERS:
            yield some
            some, characters = [], 0
    if some:
        yield some


@lru_cache(maxsize=256)
def for_a_set(statement: str, types: tuple[str, ...]) -> bytes:
    """A statement with ``?`` for the values of a row as one for a JSON array of rows."""
    parts = statement.replace("%", "%%").split("?")
    values = [
        "NULL" if kind == _NOTHING else f"(given ->> {place})::{kind}"
        for place, kind in enumerate(types)
    ]
    text = "".join(f"{part}{value}" for part, value in zip(parts, [*values, ""], strict=True))
    if text.startswith("INSERT"):
        before, _, behind = text.partition("VALUES (")
        end = _end_of_group(behind)
        text = f"{before}SELECT {behind[:end]} FROM {_ROWS}{behind[end + 1 :]}"
    else:
        joined = "FROM" if text.startswith("UPDATE") else "USING"
        before, _, behind = text.partition(" WHERE ")
        text = f"{before} {joined} {_ROWS} WHERE {behind}"
    return text.encode()


def _end_of_group(text: str) -> int:
    """Where the parenthesis closes that is open at the start of a text."""
    depth = 1
    for place, character in enumerate(text):
        depth += {"(": 1, ")": -1}.get(character, 0)
        if depth == 0:
            return place
    raise ValueError(f"the parenthesis is not closed: {text}")
