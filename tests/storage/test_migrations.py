"""A registry of the first schema, with what its scans left behind, opens and goes on."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from onex.domain.event import GENESIS_HASH, Event
from onex.domain.json_value import canonical_json, canonical_object
from onex.domain.metadata import NO_DECISION, Origin
from onex.domain.projection import node_state
from onex.storage.migrations import read_migrations
from onex.storage.node_record import COLUMNS, NodeRecord
from onex.storage.opening import open_storage
from tests.storage.conftest import node

TIME = "2026-01-01T00:00:00.000000+00:00"


class OldRegistry:
    """Writes what the first schema held."""

    def __init__(self, execute, mark: str) -> None:
        self._execute, self._mark = execute, mark
        self._serial, self._hash, self._ids = 0, GENESIS_HASH, 0

    def log(self, action: str, label: str, body: dict[str, str]) -> None:
        event = Event(self._serial + 1, TIME, "somebody", action, label, "allowed",
                      canonical_object(body), self._hash).sealed()  # fmt: skip
        self._serial, self._hash = event.serial, event.hash
        self._insert("events", event)

    def add(self, record: NodeRecord, origin: Origin | None, *, yanked: bool = False) -> None:
        self._ids += 1
        self._insert(f"nodes ({', '.join(COLUMNS)}, id, registered_at, yanked)",
                     (*record.columns, self._ids, TIME, int(yanked)))  # fmt: skip
        if origin is not None:
            self._insert("origins", (origin.source, origin.path, self._ids))

    def _insert(self, table: str, values) -> None:
        marks = ", ".join([self._mark] * len(values))
        self._execute(f"INSERT INTO {table} VALUES ({marks})", tuple(values))


def state(record: NodeRecord, *, yanked: bool) -> str:
    return node_state(record.body, record.digest, yanked=yanked, decision=NO_DECISION)


def fill(old: OldRegistry) -> None:
    first, second, absent, ghost = (
        NodeRecord.of(node("a", version), "d") for version in ("1.0.0", "2.0.0", "3.0.0", "4.0.0")
    )
    places = [Origin("s", f"/{number}") for number in range(4)]
    # The last two share a place, as overlapping scans left it.
    for record, place in ((first, places[0]), (second, places[1]), (absent, places[2]),
                          (ghost, places[0])):  # fmt: skip
        origin = canonical_json(place.to_json())
        after = state(record, yanked=False)
        old.log(
            "node.registered", record.label, {"before": "null", "after": after, "origin": origin}
        )
    for record in (second, absent):
        body = {"before": state(record, yanked=False), "after": state(record, yanked=True),
                "reason": '"it loses data"'}  # fmt: skip
        old.log("node.yanked", record.label, body)
    old.log("node.removed", absent.label, {"before": state(absent, yanked=True), "after": "null"})
    old.add(first, None)
    old.add(second, places[1], yanked=True)
    old.add(ghost, places[0])


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_the_first_schema_is_brought_up_to_date(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if kind == "sqlite":
        url = f"sqlite:///{tmp_path / 'registry.db'}"
        with sqlite3.connect(tmp_path / "registry.db") as connection:
            connection.executescript(read_migrations("onex.storage.sqlite", "registry")[1])
            connection.execute("PRAGMA user_version = 1")
            fill(OldRegistry(connection.execute, "?"))
        connection.close()
    else:
        import psycopg

        url = request.getfixturevalue("postgres")
        with psycopg.connect(url) as connection:
            connection.execute(read_migrations("onex.storage.postgres", "registry")[1])
            connection.execute("CREATE TABLE schema_version (number INTEGER NOT NULL)")
            connection.execute("INSERT INTO schema_version VALUES (1)")
            fill(OldRegistry(connection.execute, "%s"))
    storage = open_storage(url, tmp_path)
    storage.check()
    found = {str(n.metadata.version): n for n in storage.versions(node("a").node)}
    assert sorted(found) == ["2.0.0", "4.0.0"]
    assert found["2.0.0"].yank_reason == "it loses data"
    with storage.writing() as writer:
        writer.insert(NodeRecord.of(node("a", "3.0.0"), "d"), Origin("s", "/2"))
    returned = storage.node(node("a", "3.0.0").node_version)
    assert returned is not None
    assert returned.yanked
    storage.check()
    assert storage.rebuild() == 3
    storage.check()
    storage.close()
