"""The tables of the registry in a PostgreSQL database: which there are, and how they come there."""

from __future__ import annotations

import psycopg
from psycopg import errors

from onex.domain.errors import FutureDatabaseError, OldDatabaseError, StorageError
from onex.storage.migrations import read_migrations
from onex.storage.sql.connection import Row

# One number for the log's lock in each database; any would do, if it never changes.
LOG_LOCK = 0x6F6E6578
LOCK_TIMEOUT_MILLISECONDS = 60_000
ENCODING = "UTF8"


def take_log_lock(connection: psycopg.Connection[Row]) -> None:
    """Wait, for a limited time, until this transaction alone may write; raises psycopg.Error."""
    connection.execute(
        "SELECT set_config('lock_timeout', %s, true)", (str(LOCK_TIMEOUT_MILLISECONDS),)
    )
    connection.execute("SELECT pg_advisory_xact_lock(%s)", (LOG_LOCK,))


def bring_up_to_date(connection: psycopg.Connection[Row], place: str) -> None:
    """Bring the schema up to date, without any lock if it is so already.

    Raises:
        StorageError: the database is not in UTF-8.
        FutureDatabaseError: a newer onex made the schema.
        OldDatabaseError: the schema is older or missing, and this role may not change it.
        psycopg.Error: the server refused something else.
    """
    encoding = connection.info.parameter_status("server_encoding")
    if encoding != ENCODING:
        raise StorageError(
            f"{place} is in the encoding {encoding}, and onex needs {ENCODING}",
            hint=f"make another: createdb --encoding {ENCODING} --template template0 NAME",
        )
    scripts = read_migrations("onex.storage.postgres", "registry")
    newest = max(scripts)
    current = _schema_number(connection)
    if current < newest:
        try:
            current = _migrate(connection, scripts)
        except (errors.ReadOnlySqlTransaction, errors.InsufficientPrivilege) as error:
            held = f"has schema {current}" if current else "holds no registry yet"
            raise OldDatabaseError(
                f"{place} {held}, and this onex needs schema {newest}",
                hint="a role that may create tables must run a command of onex once, on the"
                " primary server",
            ) from error
    if current > newest:
        raise FutureDatabaseError(
            f"{place} has schema {current}, and this onex knows schemas up to {newest}",
            hint="upgrade onex-registry, or use another database",
        )


def _migrate(connection: psycopg.Connection[Row], scripts: dict[int, str]) -> int:
    with connection.transaction():
        take_log_lock(connection)
        # Read again under the lock: another process may just have migrated.
        current = _schema_number(connection)
        if current == 0:
            connection.execute("CREATE TABLE schema_version (number INTEGER NOT NULL)")
        for number in range(current + 1, max(scripts) + 1):
            connection.execute(scripts[number].encode())
            connection.execute("INSERT INTO schema_version VALUES (%s)", (number,))
    return max(current, *scripts)


def _schema_number(connection: psycopg.Connection[Row]) -> int:
    """The newest migration that was applied, 0 for none."""
    # Not by to_regclass, which may answer from what it knew before the lock was there.
    tables = connection.execute(
        "SELECT 1 FROM pg_catalog.pg_class WHERE relname = 'schema_version'"
        " AND pg_catalog.pg_table_is_visible(oid)"
    )
    if tables.fetchone() is None:
        return 0
    found = connection.execute("SELECT max(number) FROM schema_version").fetchone()
    return int(found[0] or 0) if found is not None else 0
