"""Opening a SQLite file: settings, numbered migrations, and errors that say what to do."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from onex.domain.errors import FutureDatabaseError, StorageError
from onex.storage.migrations import read_migrations

BUSY_TIMEOUT_MILLISECONDS = 10_000
WRITER_PATIENCE_SECONDS = 30.0

# SQLite sleeps longer after each try, up to 0.1 s, so that among busy writers the one that
# has waited longest is served last. Rounds this short keep its sleeps near a millisecond.
_WAITING_ROUND_MILLISECONDS = 20


def open_database(path: Path, migrations: str) -> sqlite3.Connection:
    """Open or create a database and bring its schema up to date.

    Args:
        path: the file; its folder is created where it is missing.
        migrations: the folder under ``migrations`` that holds the schema's steps.

    Raises:
        FutureDatabaseError: a newer onex has migrated the file.
        StorageError: the file cannot be opened, is damaged, or stays locked.
    """
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(path, isolation_level=None)
        try:
            connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MILLISECONDS}")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("PRAGMA foreign_keys = ON")
            _migrate(connection, path, migrations)
        except BaseException:
            connection.close()
            raise
        return connection


def _migrate(connection: sqlite3.Connection, path: Path, migrations: str) -> None:
    scripts = read_migrations("onex.storage.sqlite", migrations)
    newest = max(scripts)
    if _schema_number(connection) == newest:
        return
    with transaction(connection):
        # Read again under the lock: another process may just have migrated.
        current = _schema_number(connection)
        if current > newest:
            raise FutureDatabaseError(
                f"{path} has schema {current}, and this onex knows schemas up to {newest}",
                hint="upgrade onex-registry, or choose another folder with --home",
            )
        for number in range(current + 1, newest + 1):
            for statement in _statements(scripts[number]):
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {newest}")


def _schema_number(connection: sqlite3.Connection) -> int:
    row: tuple[int] = connection.execute("PRAGMA user_version").fetchone()
    return row[0]


def _statements(script: str) -> Iterator[str]:
    """Split a script; ``executescript`` would commit the transaction that must hold it together."""
    pending = ""
    for line in script.splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            yield pending
            pending = ""


def _begin(connection: sqlite3.Connection) -> None:
    """Wait for the right to write; raises sqlite3.OperationalError when it does not come."""
    deadline = time.monotonic() + WRITER_PATIENCE_SECONDS
    connection.execute(f"PRAGMA busy_timeout = {_WAITING_ROUND_MILLISECONDS}")
    try:
        while True:
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                is_busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
                if not is_busy or time.monotonic() > deadline:
                    raise
            else:
                return
    finally:
        connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MILLISECONDS}")


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """A write transaction: all of the block is stored, or none of it."""
    _begin(connection)
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn what SQLite and the file system raise into a StorageError with a way out."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            hint = "another onex is writing; wait for it to end"
        else:
            hint = "check that the folder can be written and the disk has space, or use --home"
        raise StorageError(f"{path} cannot be used: {error}", hint=hint) from error
    except sqlite3.IntegrityError as error:
        raise StorageError(
            f"a change of {path} contradicts what is there, so none of it was stored: {error}",
            hint="this is a defect of onex: report it with the command that you ran",
        ) from error
    except sqlite3.DatabaseError as error:
        raise StorageError(
            f"{path} is damaged: {error}",
            hint="keep it, and restore a backup: onex storage restore FILE --home FOLDER",
        ) from error
    except OSError as error:
        raise StorageError(
            f"{path} cannot be used: {error.strerror}",
            hint="check that the folder can be written, or use --home",
        ) from error
