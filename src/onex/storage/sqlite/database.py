"""Opening a SQLite file: settings, numbered migrations, and errors that say what to do."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from onex.domain.errors import FutureDatabaseError, OldDatabaseError, StorageError
from onex.local_machine import create_file, make_folder
from onex.storage.migrations import read_migrations

_BUSY_PAUSE_SECONDS = 0.01
BUSY_TIMEOUT_MILLISECONDS = 10_000
# Transactions of a scan touch all indexes: the default of 2 MiB would read their pages again.
CACHE_KIBIBYTES = 32_768
# The log of one transaction of a scan, so that pages are not copied back after each.
CHECKPOINT_PAGES = 4_000
WRITER_PATIENCE_SECONDS = 30.0

# SQLite sleeps longer after each try, up to 0.1 s, so that among busy writers the one that
# has waited longest is served last. Rounds this short keep its sleeps near a millisecond.
_WAITING_ROUND_MILLISECONDS = 20


class Database:
    """One SQLite file. Until the first write it is opened for reading alone, and never made."""

    def __init__(self, path: Path, migrations: str) -> None:
        """Open the file if it is there.

        Args:
            path: the file; the first write makes it, and its folder, if they are missing.
            migrations: the folder under ``migrations`` that holds the schema's steps.

        Raises:
            StorageError: the file is there and cannot be used.
        """
        self.path = path
        self._migrations = migrations
        self._opened: sqlite3.Connection | None = None
        self._is_writable = self._is_missing = self._is_in_snapshot = False
        with storage_errors(path):
            self._open_for_reading()

    @property
    def connection(self) -> sqlite3.Connection:
        """The open file; an empty database in memory while there is none."""
        is_made = self._is_missing and not self._is_in_snapshot and self.path.exists()
        if self._opened is None or is_made:
            with storage_errors(self.path):
                self._open_for_reading()
        if self._opened is None:
            raise AssertionError("a database is open after it was opened")
        return self._opened

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """A write transaction: all of the block is stored, or none of it."""
        with storage_errors(self.path):
            if self._opened is None or not self._is_writable:
                self.close()
                self._opened = _open_for_writing(self.path, self._migrations)
                self._is_writable, self._is_missing = True, False
            with _transaction(self._opened):
                yield self._opened

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Read everything in the block from one state of the file."""
        connection = self.connection
        if connection.in_transaction:
            yield
            return
        with storage_errors(self.path):
            connection.execute("BEGIN")
        self._is_in_snapshot = True
        try:
            yield
        finally:
            self._is_in_snapshot = False
            with storage_errors(self.path):
                connection.rollback()

    def close(self) -> None:
        """Release the file."""
        if self._opened is not None:
            self._opened.close()
            self._opened = None
        self._is_writable = self._is_missing = False

    def _open_for_reading(self) -> None:
        self.close()
        try:
            self.path.stat()
        except FileNotFoundError:
            self._opened = sqlite3.connect(":memory:", isolation_level=None)
            _migrate(self._opened, self.path, self._migrations)
            self._is_missing = True
            return
        if _may_write(self.path):
            self._opened = _open_for_writing(self.path, self._migrations)
            self._is_writable = True
        else:
            self._opened = _open_read_only(self.path, self._migrations)


def _may_write(path: Path) -> bool:
    """Whether this user may write a database: the file, and the files that SQLite puts beside."""
    return os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)


def _open_for_writing(path: Path, migrations: str) -> sqlite3.Connection:
    make_folder(path.parent)
    create_file(path)
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MILLISECONDS}")
        _use_write_ahead_log(connection)
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute(f"PRAGMA cache_size = -{CACHE_KIBIBYTES}")
        connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
        _migrate(connection, path, migrations)
    except BaseException:
        connection.close()
        raise
    return connection


def _use_write_ahead_log(connection: sqlite3.Connection) -> None:
    """Have a database keep a log beside it (WAL), as it does from the first time on.

    SQLite does not wait then for others that open a new database at the same moment.
    """
    until = time.monotonic() + BUSY_TIMEOUT_MILLISECONDS / 1000
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
            time.sleep(_BUSY_PAUSE_SECONDS)
        else:
            return


def _open_read_only(path: Path, migrations: str) -> sqlite3.Connection:
    """Open a database of somebody else's, leaving nothing beside it.

    Without a write-ahead log nobody is writing, and the file is taken as it stands. With one
    SQLite needs its shared-memory file too, which must be there already.
    """
    log, shared = (Path(f"{path}{suffix}") for suffix in ("-wal", "-shm"))
    has_log = log.exists() and log.stat().st_size > 0
    if has_log and not shared.exists():
        raise StorageError(
            f"{path} was not closed properly, and you may not repair it",
            hint="its owner must run any command of onex once",
        )
    options = "mode=ro" if has_log else "mode=ro&immutable=1"
    uri = f"{path.absolute().as_uri()}?{options}"
    connection = sqlite3.connect(uri, uri=True, isolation_level=None)
    try:
        connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MILLISECONDS}")
        _require_schema(connection, path, max(_scripts(migrations)))
    except BaseException:
        connection.close()
        raise
    return connection


def _migrate(connection: sqlite3.Connection, path: Path, migrations: str) -> None:
    scripts = _scripts(migrations)
    newest = max(scripts)
    if _schema_number(connection) == newest:
        return
    with _transaction(connection):
        # Read again under the lock: another process may just have migrated.
        current = _schema_number(connection)
        if current > newest:
            raise _from_the_future(path, current, newest)
        for number in range(current + 1, newest + 1):
            for statement in _statements(scripts[number]):
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {newest}")


def _scripts(migrations: str) -> dict[int, str]:
    return read_migrations("onex.storage.sqlite", migrations)


def _require_schema(connection: sqlite3.Connection, path: Path, newest: int) -> None:
    current = _schema_number(connection)
    if current > newest:
        raise _from_the_future(path, current, newest)
    if current < newest:
        raise OldDatabaseError(
            f"{path} has schema {current}, and this onex needs schema {newest}",
            hint="you may not write it: its owner must run a command that writes once",
        )


def _from_the_future(path: Path, current: int, newest: int) -> FutureDatabaseError:
    return FutureDatabaseError(
        f"{path} has schema {current}, and this onex knows schemas up to {newest}",
        hint="upgrade onex-registry, or choose another folder with --home",
    )


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
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
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
    except (sqlite3.DatabaseError, OSError) as error:
        raise storage_error(path, error) from error


def storage_error(path: Path, error: sqlite3.DatabaseError | OSError) -> StorageError:
    """What SQLite or the file system raised, as an error with a way out."""
    match error:
        case OSError():
            return StorageError(
                f"{path} cannot be used: {error.strerror}",
                hint="check that the folder can be written, or use --home",
            )
        case sqlite3.ProgrammingError():
            return StorageError(
                f"{path} is used by another thread than the one that opened it",
                hint="open a Registry in each thread, or use its arun",
            )
        case sqlite3.OperationalError():
            if "locked" in str(error):
                hint = "another onex is writing; wait for it to end"
            else:
                hint = "check that the file and its folder can be written and the disk has space"
            return StorageError(f"{path} cannot be used: {error}", hint=hint)
        case sqlite3.IntegrityError():
            return StorageError(
                f"a change of {path} contradicts what is there, so none of it was stored: {error}",
                hint="this is a defect of onex: report it with the command that you ran",
            )
        case _:
            return StorageError(
                f"{path} is damaged: {error}",
                hint="keep it, and restore a backup: onex storage restore FILE --home FOLDER",
            )
