"""What PostgreSQL and its driver refuse, in words that say what to do."""

from __future__ import annotations

from collections.abc import Mapping

import psycopg
from psycopg import conninfo, errors

from onex.domain.errors import (
    ConfigurationError,
    StorageConflictError,
    StorageError,
    StorageUnavailableError,
)
from onex.domain.url import without_secrets

_ESCAPES = "write special characters of the password as %40 for @, %2F for /, %3F for ?, %23 for #"
_SECRET_OPTIONS = ("password", "sslpassword")
# By the words of a server or the driver while connecting, which come without a code.
_WHILE_CONNECTING = (
    ("password authentication failed", "check the user and the password in the URL"),
    ("no password supplied", "put the password into the URL, PGPASSWORD or ~/.pgpass"),
    ("no pg_hba.conf entry", "allow this user and host in the server's pg_hba.conf"),
    ('database "', "make the database: createdb --encoding UTF8 NAME"),
    ('role "', "make the role, or name another user in the URL"),
    ("too many clients", "raise the server's max_connections, or use a pooler"),
    ("remaining connection slots", "raise the server's max_connections, or use a pooler"),
    ("translate host name", "check the host's name in the URL"),
)
_CONFLICTS = (errors.SerializationFailure, errors.DeadlockDetected)
_BY_CODE: tuple[tuple[type[psycopg.Error], str, str], ...] = (
    (
        errors.LockNotAvailable,
        "is being written by another onex",
        "wait for it to end, and try again",
    ),
    (
        errors.ReadOnlySqlTransaction,
        "can only be read: it is a standby, or the session is read-only",
        "use the primary server for commands that change something",
    ),
    (
        errors.InsufficientPrivilege,
        "does not allow that to this role",
        "grant the role the rights named in docs/operations.md, or use another",
    ),
    (
        errors.QueryCanceled,
        "ended a statement that took longer than it allows",
        "raise statement_timeout for this role",
    ),
    (
        errors.UndefinedTable,
        "holds tables of another program, or its tables were removed",
        "use a schema of its own: ?options=-csearch_path%3Donex, made with CREATE SCHEMA onex",
    ),
    (
        errors.UndefinedColumn,
        "holds tables of another program under the names that onex uses",
        "use a schema of its own: ?options=-csearch_path%3Donex, made with CREATE SCHEMA onex",
    ),
    (
        errors.DuplicateTable,
        "holds tables of another program under the names that onex uses",
        "use a schema of its own: ?options=-csearch_path%3Donex, made with CREATE SCHEMA onex",
    ),
    (
        errors.InvalidSchemaName,
        "has no schema to put tables into",
        "make the schema that search_path names: CREATE SCHEMA NAME",
    ),
    (
        errors.ProgramLimitExceeded,
        "cannot hold a value that long",
        "shorten the path, or the name of the source or workspace",
    ),
    (errors.DiskFull, "has no space left", "make room on the server"),
    (
        errors.UntranslatableCharacter,
        "cannot hold a character in its encoding",
        "use a database in UTF8: createdb --encoding UTF8 --template template0 NAME",
    ),
)


def read_connection_string(url: str) -> Mapping[str, object]:
    """The parts of a URL.

    Raises:
        ConfigurationError: it is no URL of PostgreSQL, or its password is not escaped. The
            message shows nothing of the password.
    """
    try:
        parts = conninfo.conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        raise ConfigurationError(
            f"{without_secrets(url)} is not a URL of a PostgreSQL database", hint=_ESCAPES
        ) from None
    places = [str(parts.get(name) or "") for name in ("host", "dbname", "user")]
    ports = str(parts.get("port") or "").replace(",", "")
    if any("@" in place for place in places) or not (ports.isdigit() or not ports):
        raise ConfigurationError(
            f"{without_secrets(url)} is not a URL of a PostgreSQL database", hint=_ESCAPES
        )
    return parts


def as_storage_error(
    error: psycopg.Error, place: str, parts: Mapping[str, object], *, is_connecting: bool
) -> StorageError:
    """What the driver raised, as an error with a way out and without any secret."""
    if isinstance(error, _CONFLICTS):
        return StorageConflictError(
            f"{place} ended a transaction in favour of another: {_told(error, parts)}",
            hint="nothing of it was stored; try again when the other has ended",
        )
    for kind, what, hint in _BY_CODE:
        if isinstance(error, kind):
            return StorageError(f"{place} {what}: {_told(error, parts)}", hint=hint)
    told = _told(error, parts)
    if is_connecting:
        for words, hint in _WHILE_CONNECTING:
            if words in told:
                return StorageError(f"{place} cannot be connected to: {told}", hint=hint)
    if isinstance(error, psycopg.OperationalError):
        return StorageUnavailableError(
            f"{place} does not answer: {told}",
            hint="nothing of this change was stored; check that the server runs, and try again",
        )
    return StorageError(
        f"{place} cannot be used: {told}", hint="check the database's rights and space"
    )


def _told(error: psycopg.Error, parts: Mapping[str, object]) -> str:
    """The first line of what the driver says, without the secrets of the URL."""
    text = (str(error).strip() or type(error).__name__).splitlines()[0]
    secrets = [str(parts.get(name) or "") for name in _SECRET_OPTIONS]
    # What holds a secret is not shown at all: dots in its places would tell a short one.
    return "the driver's words hold a secret" if any(s and s in text for s in secrets) else text
