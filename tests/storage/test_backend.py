"""The contract of a StorageBackend, and what SQLite adds: migrations, damage, other processes."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from onex.domain.errors import FutureDatabaseError, StorageError, UsageError
from onex.domain.lifecycle import Lifecycle
from onex.domain.metadata import Origin
from onex.domain.reference import NodeId
from onex.history.opening import open_file_journal
from onex.storage.node_record import NodeRecord
from onex.storage.opening import open_storage
from onex.storage.query import MetadataQuery
from onex.storage.sql.store import SqlBackend
from onex.storage.sqlite.connection import SqliteConnection
from tests.storage.conftest import insert, names, node


def test_versions_come_in_their_order(backend: SqlBackend) -> None:
    insert(backend, *(node("a", v) for v in ("1.10.0", "1.9.0", "2.0.0-rc.1", "2.0.0", "10.0.0")))
    found = backend.versions(NodeId("tool", "ns.a"))
    assert [str(f.metadata.version) for f in found] == [
        "1.9.0", "1.10.0", "2.0.0-rc.1", "2.0.0", "10.0.0",
    ]  # fmt: skip


def test_the_listed_version_is_the_best_one(backend: SqlBackend) -> None:
    insert(
        backend,
        node("a", "1.0.0"),
        node("a", "2.0.0", lifecycle=Lifecycle.DRAFT),
        node("a", "1.5.0-rc.1"),
        node("b", "1.0.0", lifecycle=Lifecycle.ARCHIVED),
    )
    assert names(backend) == ["a@1.0.0"]
    assert names(backend, lifecycle=Lifecycle.ARCHIVED) == ["b@1.0.0"]
    assert names(backend, all_versions=True) == ["a@1.0.0", "a@1.5.0-rc.1", "a@2.0.0", "b@1.0.0"]


def test_filters_combine(backend: SqlBackend) -> None:
    insert(
        backend,
        node("a", tags=("x", "y"), capabilities=("c",)),
        node("b", tags=("x",), capabilities=("c",)),
        node("c", tags=("y",)),
    )
    assert names(backend, tags=("x",)) == ["a@1.0.0", "b@1.0.0"]
    assert names(backend, tags=("x", "y")) == ["a@1.0.0"]
    assert names(backend, tags=("x",), capabilities=("c",), pattern="ns.b") == ["b@1.0.0"]
    assert names(backend, pattern="tool://ns.*") == ["a@1.0.0", "b@1.0.0", "c@1.0.0"]
    assert names(backend, type="agent") == []
    assert names(backend, pattern="'; DROP TABLE nodes; --") == []


def test_pages_meet_without_gap_or_overlap_while_nodes_are_added(backend: SqlBackend) -> None:
    insert(backend, *(node(f"n{i:02}") for i in range(0, 20, 2)))
    first = backend.query(MetadataQuery(limit=4))
    insert(backend, node("n01"), node("n15"))
    seen = [found.metadata.name for found in first.nodes]
    cursor = first.next
    while cursor:
        page = backend.query(MetadataQuery(limit=4, after=cursor))
        seen += [found.metadata.name for found in page.nodes]
        cursor = page.next
    assert seen == [f"n{i:02}" for i in (0, 2, 4, 6, 8, 10, 12, 14, 15, 16, 18)]
    with pytest.raises(UsageError):
        backend.query(MetadataQuery(after="nonsense"))


def test_a_failed_transaction_leaves_nothing(backend: SqlBackend) -> None:
    def insert_twice() -> None:
        with backend.writing() as writer:
            writer.insert(NodeRecord.of(node("a"), "d"), Origin("s", "/a"))
            writer.insert(NodeRecord.of(node("a"), "d"), Origin("s", "/b"))

    with pytest.raises(StorageError):
        insert_twice()
    assert backend.count() == 0
    assert list(backend.events()) == []


def test_names_lead_to_nodes(backend: SqlBackend) -> None:
    insert(backend, node("a", uuid="u-1"), node("b"))
    assert backend.find_nodes("a") == backend.find_nodes("ns.a") == backend.find_nodes("u-1")
    assert backend.find_nodes("zzz") == []


def test_a_tampered_log_is_noticed(backend: SqlBackend) -> None:
    insert(backend, node("a"), node("b"))
    backend.check()
    backend._connection.rows("UPDATE events SET actor = 'somebody' WHERE serial = 1")
    with pytest.raises(StorageError, match="entry 1"):
        backend.check()


def test_tables_that_contradict_the_log_are_noticed(backend: SqlBackend) -> None:
    insert(backend, node("a"), node("b"))
    backend._connection.rows("UPDATE nodes SET digest = 'other' WHERE name = 'b'")
    with pytest.raises(StorageError, match=r"tool://ns.b@1.0.0"):
        backend.check()


def test_eight_writers_lose_nothing_and_leave_one_chain(url: str, tmp_path: Path) -> None:
    open_storage(url, tmp_path).close()

    def write(worker: int) -> None:
        backend = open_storage(url, tmp_path)
        for number in range(20):
            insert(backend, node(f"w{worker}n{number}"))
        backend.close()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(8)))
    backend = open_storage(url, tmp_path)
    assert backend.count() == 160
    assert [event.serial for event in backend.events()] == list(range(1, 161))
    backend.check()
    backend.close()


@pytest.mark.parametrize("kind", [SqliteConnection, open_file_journal])
def test_a_database_from_the_future_is_left_alone(tmp_path: Path, kind) -> None:
    path = tmp_path / "x.db"
    kind(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 999")
    with pytest.raises(FutureDatabaseError) as caught:
        kind(path)
    assert caught.value.code == "STO002"


def test_a_server_database_from_the_future_is_left_alone(postgres: str, tmp_path: Path) -> None:
    storage = open_storage(postgres, tmp_path)
    storage._connection.rows("INSERT INTO schema_version VALUES (999)")
    storage.close()
    with pytest.raises(FutureDatabaseError):
        open_storage(postgres, tmp_path)


def test_damage_and_unusable_paths_are_explained(tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.db"
    damaged.write_bytes(b"this is not a database" * 100)
    with pytest.raises(StorageError) as caught:
        SqliteConnection(damaged)
    assert caught.value.hint
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(StorageError):
        SqliteConnection(blocked / "registry.db")
