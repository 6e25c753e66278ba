"""Opening the history: beside the registry in PostgreSQL, or in a file of its own."""

from __future__ import annotations

from pathlib import Path

from onex.history.kept_measurements import HISTORY_FILE, KeptMeasurements
from onex.history.process_holder import ProcessHolder
from onex.history.sql_journal import SqlRunJournal
from onex.storage.opening import connect_to_server, is_server
from onex.storage.sqlite.connection import SqliteConnection

STARTS_FOLDER = "starts"


def open_journal(storage: str | None, home: Path) -> SqlRunJournal:
    """Open the history of a registry.

    Args:
        storage: the URL of the registry's storage, as ``open_storage`` takes it. Only a history in
            PostgreSQL is shared; any other is a file in ``home``.
        home: the folder of the registry's state.

    Raises:
        ConfigurationError: the driver of the database is not installed.
        StorageError: the database cannot be used.
    """
    if storage is None or not is_server(storage):
        return open_file_journal(home / HISTORY_FILE)
    from onex.history.lease_holder import LeaseHolder

    connection = connect_to_server(storage)
    holder = LeaseHolder(connection, lambda: connect_to_server(storage))
    # Each machine measures itself, and shows what it measured.
    return SqlRunJournal(connection, holder, KeptMeasurements(home))


def open_file_journal(file: Path) -> SqlRunJournal:
    """Open the history in a SQLite file; raises StorageError."""
    connection = SqliteConnection(file, "history")
    holder = ProcessHolder(connection, file.with_name(STARTS_FOLDER))
    return SqlRunJournal(connection, holder)
