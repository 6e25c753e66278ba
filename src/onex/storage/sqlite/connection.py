"""SqliteConnection: the registry in one SQLite file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from onex.storage.migrations import read_migrations
from onex.storage.sql.connection import Parameter, Row
from onex.storage.sqlite.database import Database, storage_error, storage_errors

# How much a word counts for in each column of the index: names, tags, description, README.
_WEIGHTS = "10.0, 6.0, 3.0, 1.0"


class SqliteConnection:
    """A SqlConnection over one file."""

    row_lock = ""

    def __init__(self, path: Path, migrations: str = "registry") -> None:
        """Open the database if it is there; the first write makes it.

        ``migrations`` names its schema: ``registry`` or ``history``. Raises StorageError.
        """
        self._path = path
        self._migrations = migrations
        self._database = Database(path, migrations)

    @property
    def place(self) -> str:
        return str(self._path)

    def rows(self, statement: str, parameters: Sequence[Parameter] = ()) -> list[Row]:
        # Not by the context manager, which takes as long as a third of a short statement.
        try:
            return self._database.connection.execute(statement, parameters).fetchall()
        except (sqlite3.DatabaseError, OSError) as error:
            raise storage_error(self._path, error) from error

    def run_many(self, statement: str, parameters: Sequence[Sequence[Parameter]]) -> None:
        with storage_errors(self._path):
            self._database.connection.executemany(statement, parameters)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        with self._database.transaction():
            yield

    def shared_transaction(self) -> AbstractContextManager[None]:
        # SQLite has one writer at a time.
        return self.transaction()

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        with self._database.snapshot():
            yield

    def glob(self, column: str, pattern: str) -> tuple[str, Parameter]:
        return f"{column} GLOB ?", pattern.replace("[!", "[^")

    def unindexed(self, column: str) -> str:
        return f"+{column}"

    def names_like(self, glob: str, runs: Sequence[str]) -> tuple[str, Sequence[Parameter]]:
        # The index takes the runs from the glob itself.
        del runs
        matches = [self.glob(column, glob) for column in ("namespace", "name")]
        found = " UNION ".join(f"SELECT rowid FROM name_parts WHERE {text}" for text, _ in matches)
        return found, [parameter for _, parameter in matches]

    def insert_name_parts(self) -> str:
        return "INSERT INTO name_parts (rowid, namespace, name) VALUES (?, ?, ?)"

    def insert_search(self) -> str:
        return "INSERT INTO search (rowid, name, tags, description, readme) VALUES (?, ?, ?, ?, ?)"

    def search(self, condition: str) -> str:
        return (
            f"SELECT nodes.id, -bm25(search, {_WEIGHTS}) AS score FROM search"
            " JOIN nodes ON nodes.id = search.rowid"
            f" WHERE search MATCH ? AND {condition} ORDER BY score DESC, sort_key LIMIT ?"
        )

    def search_query(self, words: Sequence[str]) -> str:
        return " AND ".join(f'"{word}"*' for word in words)

    def check(self) -> str | None:
        finding = self.rows("PRAGMA quick_check(1)")[0][0]
        return None if finding == "ok" else str(finding)

    def schema_numbers(self) -> tuple[int, int]:
        newest = max(read_migrations("onex.storage.sqlite", self._migrations))
        return int(self.rows("PRAGMA user_version")[0][0]), newest

    def close(self) -> None:
        self._database.close()

    def vacuum(self) -> None:
        """Give unused space back to the file system."""
        self.rows("VACUUM")
        self.rows("PRAGMA wal_checkpoint(TRUNCATE)")
