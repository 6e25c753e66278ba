"""PostgreSQL as operators have it: poolers, roles that only read, other defaults, odd databases."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
from psycopg import conninfo

from onex.domain.errors import (
    ConfigurationError,
    OldDatabaseError,
    StorageConflictError,
    StorageError,
)
from onex.domain.metadata import Origin
from onex.domain.reference import NodeId
from onex.registry import Registry
from onex.storage.node_record import NodeRecord
from onex.storage.opening import open_storage
from onex.storage.postgres.schema import LOG_LOCK
from onex.storage.query import MetadataQuery
from onex.storage.retrying import retried
from onex.storage.sql.store import SqlBackend
from tests.conftest import Project
from tests.pooler import Pooler
from tests.storage.conftest import insert, names, node

CUT_OFF_ALL_OTHERS = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


@pytest.fixture
def filled(postgres: str, tmp_path: Path) -> str:
    """A database that holds one node."""
    storage = open_storage(postgres, tmp_path)
    insert(storage, node("a"))
    storage.close()
    return postgres


@pytest.fixture
def role(postgres_server: str, filled: str) -> Iterator[str]:
    """The name of a role that may connect to the filled database and nothing else."""
    name = f"reader_{threading.get_ident()}"
    with psycopg.connect(filled, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {name} LOGIN")
        yield name
        connection.execute(f"DROP OWNED BY {name}")
        connection.execute(f"DROP ROLE {name}")


def database_of(url: str) -> str:
    return str(conninfo.conninfo_to_dict(url)["dbname"])


def opened(url: str) -> SqlBackend:
    return open_storage(url, Path())


def test_a_pooler_gives_each_transaction_another_session(filled: str) -> None:
    parts = conninfo.conninfo_to_dict(filled)
    with tempfile.TemporaryDirectory() as folder:
        server = Path(str(parts["host"])) / ".s.PGSQL.5432"
        pooler = Pooler(Path(folder), server, database_of(filled))
        url = f"postgresql:///{database_of(filled)}?host={folder}&port={pooler.port}&user=postgres"
        storages = [opened(url) for _ in range(3)]
        for number in range(40):
            storage = storages[number % 3]
            insert(storage, node(f"n{number}"))
            assert f"n{number}@1.0.0" in names(storages[(number + 1) % 3], pattern=f"n{number}")
            assert storage.search("tool", MetadataQuery()).hits
        storages[0].check()
        assert pooler.transactions > 100
        for storage in storages:
            storage.close()
        pooler.close()


def test_reading_waits_for_no_lock(filled: str) -> None:
    with psycopg.connect(filled) as holder:
        holder.execute("SELECT pg_advisory_xact_lock(%s)", (LOG_LOCK,))
        storage = opened(filled)
        assert names(storage) == ["a@1.0.0"]
        storage.check()
        storage.close()


def test_a_role_that_may_only_read_reads(filled: str, role: str) -> None:
    with psycopg.connect(filled, autocommit=True) as connection:
        connection.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}")
    storage = opened(filled.replace("user=postgres", f"user={role}"))
    assert names(storage) == ["a@1.0.0"]
    assert storage.search("a", MetadataQuery()).hits
    with pytest.raises(StorageError, match="does not allow that to this role"):
        insert(storage, node("b"))
    assert names(storage) == ["a@1.0.0"]
    storage.close()


def test_a_session_that_may_only_read_reads(filled: str) -> None:
    storage = opened(f"{filled}&options={quote('-cdefault_transaction_read_only=on')}")
    assert names(storage) == ["a@1.0.0"]
    with pytest.raises(StorageError, match="can only be read"):
        insert(storage, node("b"))
    storage.close()


def test_an_empty_database_that_may_only_be_read_is_told_as_that(postgres: str) -> None:
    with pytest.raises(OldDatabaseError, match="holds no registry yet"):
        opened(f"{postgres}&options={quote('-cdefault_transaction_read_only=on')}")


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
def test_writers_under_another_default_level_lose_nothing(postgres: str, level: str) -> None:
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(
            f"ALTER DATABASE {database_of(postgres)} SET default_transaction_isolation = '{level}'"
        )

    def write(writer: int) -> None:
        storage = opened(postgres)
        for number in range(10):
            insert(storage, node(f"w{writer}n{number}"))
        storage.close()

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    storage = opened(postgres)
    assert storage.count() == 40
    storage.check()
    storage.close()


def test_a_write_after_an_idle_connection_was_cut_is_made(filled: str) -> None:
    storage = opened(filled)
    for number in range(3):
        with psycopg.connect(filled, autocommit=True) as connection:
            connection.execute(CUT_OFF_ALL_OTHERS)
        insert(storage, node(f"n{number}"))
        with psycopg.connect(filled, autocommit=True) as connection:
            connection.execute(CUT_OFF_ALL_OTHERS)
        assert storage.query(MetadataQuery()).total == number + 2
    storage.close()


def test_a_connection_that_is_cut_during_a_write_stores_nothing(filled: str) -> None:
    storage = opened(filled)

    def write() -> None:
        with storage.writing() as writer:
            writer.insert(NodeRecord.of(node("b"), "d"), Origin("test", "/b"))
            with psycopg.connect(filled, autocommit=True) as connection:
                connection.execute(CUT_OFF_ALL_OTHERS)

    with pytest.raises(StorageError, match="does not answer"):
        write()
    assert names(storage) == ["a@1.0.0"]
    storage.close()


@pytest.mark.parametrize(
    ("held", "wanted", "work"),
    [
        (
            "LOCK TABLE nodes IN ACCESS EXCLUSIVE MODE",
            f"SELECT pg_advisory_xact_lock({LOG_LOCK})",
            lambda storage: storage.write(
                lambda writer: writer.insert(NodeRecord.of(node("b"), "d"), Origin("test", "/b"))
            ),
        ),
        (
            "LOCK TABLE labels IN ACCESS EXCLUSIVE MODE",
            "LOCK TABLE nodes IN ACCESS EXCLUSIVE MODE",
            lambda storage: storage.facets(["type", "tag"]),
        ),
    ],
    ids=["write", "snapshot"],
)
def test_what_a_deadlock_ends_is_done_again(filled: str, held: str, wanted: str, work) -> None:
    # Whoever waits this long looks for a deadlock, and is the one that is ended.
    storage = opened(f"{filled}&options={quote('-cdeadlock_timeout=2s')}")
    waiting = (
        "SELECT 1 FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    with (
        ThreadPoolExecutor(1) as threads,
        psycopg.connect(filled, autocommit=True) as watching,
        psycopg.connect(filled) as other,
    ):
        other.execute("SET deadlock_timeout = '60s'")
        other.execute(held)
        done = threads.submit(work, storage)
        until = time.monotonic() + 60
        while watching.execute(waiting).fetchone() is None and time.monotonic() < until:
            time.sleep(0.01)
        other.execute(wanted)
        other.commit()
        done.result(60)
    storage.check()
    storage.close()


def test_a_transaction_that_is_ended_again_and_again_is_given_up() -> None:
    tries = []

    def fail() -> None:
        tries.append(1)
        raise StorageConflictError("ended")

    with pytest.raises(StorageConflictError):
        retried(fail)
    assert len(tries) == 5


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_databases_in_other_encodings_are_refused(postgres: str, encoding: str) -> None:
    name = f"{database_of(postgres)}_other"
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(
            f"CREATE DATABASE {name} ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C'"
            " TEMPLATE template0"
        )
        try:
            with pytest.raises(StorageError, match=f"encoding {encoding}") as caught:
                opened(postgres.replace(database_of(postgres), name))
            assert "createdb --encoding UTF8" in str(caught.value.hint)
        finally:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def test_a_database_with_tables_of_another_program_is_left_alone(postgres: str) -> None:
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute("CREATE TABLE nodes (a int)")
        with pytest.raises(StorageError, match="tables of another program"):
            opened(postgres)
        connection.execute("CREATE SCHEMA onex")
        storage = opened(f"{postgres}&options={quote('-csearch_path=onex')}")
        insert(storage, node("a"))
        storage.close()
        found = connection.execute("SELECT count(*) FROM onex.nodes").fetchone()
        assert found == (1,)


@pytest.mark.parametrize(
    ("change", "hint"),
    [
        (lambda url: url.replace("user=postgres", "user=nobody_here"), "make the role"),
        (lambda url: url.replace("/onex_", "/absent_"), "make the database"),
        (lambda url: f"{url}&options={quote('-cstatement_timeout=1')}", "raise statement_timeout"),
        (lambda url: f"{url}&options={quote('-csearch_path=absent')}", "CREATE SCHEMA"),
    ],
)
def test_what_a_server_refuses_has_words_of_its_own(postgres: str, change, hint: str) -> None:
    def use() -> None:
        storage = opened(change(postgres))
        for _ in range(50):
            storage.query(MetadataQuery())
            insert(storage, *(node(f"n{number}") for number in range(300)))

    with pytest.raises(StorageError) as caught:
        use()
    assert hint in str(caught.value.hint), caught.value


@pytest.mark.parametrize("secret", ["pa/SECRET", "pa@SECRET", "SE?CRET", "SE#C RET"])
def test_a_password_that_was_not_escaped_is_not_shown(secret: str) -> None:
    with pytest.raises((ConfigurationError, StorageError)) as caught:
        opened(f"postgresql://me:{secret}@127.0.0.1:1/base")
    shown = f"{caught.value.message} {caught.value.hint}"
    assert not {"SECRET", "CRET", "RET"} & set(shown.replace("/", " ").split())
    assert "SECRET" not in shown


def test_names_found_by_one_writer_are_there_for_another(filled: str) -> None:
    one, other = opened(filled), opened(filled)
    insert(one, node("b"))
    assert other.find_nodes("b") == [NodeId("tool", "ns.b")]
    one.close()
    other.close()


@pytest.mark.slow
def test_the_command_line_shows_no_password(project: Project, postgres: str) -> None:
    project.add("a")
    url = f"{postgres}&password=SECRETWORD"
    project.environment["ONEX_STORAGE"] = url
    for command in (["scan", "nodes"], ["doctor"], ["storage", "check"], ["list"]):
        for form in ("human", "json"):
            done = project.onex(*command, "--format", form)
            assert "SECRETWORD" not in done.stdout + done.stderr
    with Registry.open(project.home, environment=project.environment) as registry:
        assert "SECRETWORD" not in registry.storage.place


def test_the_url_to_migrate_to_is_taken_from_a_file(project: Project, postgres: str) -> None:
    project.add("a")
    project.scan()
    file = project.write("url.txt", f"{postgres}\n")
    assert project.onex("storage", "migrate", "--to-file", file).code == 0
    assert names(opened(postgres)) == ["a@1.0.0"]
    assert project.onex("storage", "migrate", "--format", "json").json["error"]["code"] == "USE001"


def test_a_role_as_operations_describe_it_writes(filled: str, role: str) -> None:
    with psycopg.connect(filled, autocommit=True) as connection:
        connection.execute(f"GRANT USAGE ON SCHEMA public TO {role}")
        connection.execute(
            f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}"
        )
    storage = opened(filled.replace("user=postgres", f"user={role}"))
    insert(storage, node("b"))
    storage.rebuild()
    assert names(storage, pattern="ns.*") == ["a@1.0.0", "b@1.0.0"]
    storage.close()
