"""Opening the registry's storage by its URL, or in a folder if there is no URL."""

from __future__ import annotations

from pathlib import Path

from onex.domain.errors import ConfigurationError
from onex.domain.url import without_secrets
from onex.storage.sql.connection import SqlConnection
from onex.storage.sql.store import SqlBackend
from onex.storage.sqlite.connection import SqliteConnection

POSTGRES_SCHEMES = ("postgresql://", "postgres://")
SQLITE_SCHEME = "sqlite:///"
DATABASE_FILE = "registry.db"


def is_server(url: str | None) -> bool:
    """Whether a storage is on a server, which other machines may use too."""
    return url is not None and url.startswith(POSTGRES_SCHEMES)


def connect_to_server(url: str) -> SqlConnection:
    """Connect to a database whose URL ``is_server`` knows, and bring its schema up to date.

    Raises:
        ConfigurationError: the URL is not valid, or the driver is not installed.
        StorageError: the database cannot be used.
    """
    try:
        from onex.storage.postgres.connection import PostgresConnection
    except ImportError as error:
        raise ConfigurationError(
            "PostgreSQL needs the driver psycopg",
            hint="pip install 'onex-registry[postgres]'",
        ) from error
    return PostgresConnection(url)


def open_storage(url: str | None, home: Path) -> SqlBackend:
    """Open a storage, and create it if it does not exist yet.

    Args:
        url: ``postgresql://...`` or ``sqlite:///PATH``; None for a file in ``home``.
        home: the folder of the registry's state.

    Raises:
        ConfigurationError: the URL is of no known kind, or its driver is not installed.
        StorageError: the storage cannot be used.
    """
    if url is None:
        return SqlBackend(SqliteConnection(home / DATABASE_FILE))
    if url.startswith(SQLITE_SCHEME):
        return SqlBackend(SqliteConnection(Path(url.removeprefix(SQLITE_SCHEME))))
    if is_server(url):
        return SqlBackend(connect_to_server(url))
    raise ConfigurationError(
        f"{without_secrets(url)!r} is not a storage",
        hint="write postgresql://... or sqlite:///PATH",
    )
