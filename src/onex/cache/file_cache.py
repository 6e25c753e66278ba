"""FileCache: the level that outlives the process, in a file that may be deleted at any time."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from onex.cache.entry import CacheStatistics, Entry
from onex.local_machine import create_file

MAXIMUM_ENTRIES = 10_000
MAXIMUM_BYTES = 256 * 1024 * 1024
BUSY_TIMEOUT_SECONDS = 1.0

_Column = str | bytes | int | float | None
_Row = tuple[Any, ...]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS entries (
    key        TEXT PRIMARY KEY,
    value      BLOB NOT NULL,
    stored_at  REAL NOT NULL,
    expires_at REAL
) STRICT;
CREATE INDEX IF NOT EXISTS entries_by_age ON entries (stored_at, length(value));
CREATE TABLE IF NOT EXISTS statistics (
    cache  TEXT PRIMARY KEY,
    hits   INTEGER NOT NULL,
    misses INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
-- What the shared cache had dropped when this machine listened to it last.
CREATE TABLE IF NOT EXISTS generation (only INTEGER PRIMARY KEY, value TEXT NOT NULL) STRICT;
"""


class FileCache:
    """Entries by key, and statistics by name of cache, in one SQLite file.

    A cache that cannot be used has nothing and keeps nothing; ``failure`` then
    says why. A damaged file is replaced. One object serves one thread.
    """

    def __init__(
        self,
        path: Path,
        maximum_entries: int = MAXIMUM_ENTRIES,
        maximum_bytes: int = MAXIMUM_BYTES,
    ) -> None:
        self._path = path
        self._maximum_entries = maximum_entries
        self._maximum_bytes = maximum_bytes
        self._opened: sqlite3.Connection | None = None
        self._written = self._passed_over = 0
        self.failure: str | None = None

    def get(self, key: str) -> Entry | None:
        """The entry under a key, or None."""
        rows = self._execute("SELECT value, expires_at FROM entries WHERE key = ?", (key,))
        if not rows:
            return None
        value, expires_at = rows[0]
        entry = Entry(bytes(value), expires_at)
        return entry if entry.is_alive else None

    def set(self, key: str, entry: Entry) -> None:
        """Store an entry; the oldest make room for it when there are too many."""
        self._execute(
            "INSERT OR REPLACE INTO entries VALUES (?, ?, ?, ?)",
            (key, entry.value, time.time(), entry.expires_at),
        )
        self._written += 1
        if self._written % 64 == 1:
            self._make_room()

    def _make_room(self) -> None:
        self._execute("DELETE FROM entries WHERE expires_at < ?", (time.time(),))
        self._execute(
            "DELETE FROM entries WHERE rowid IN (SELECT rowid FROM (SELECT rowid,"
            " row_number() OVER newest AS place, sum(length(value)) OVER newest AS bytes"
            " FROM entries WINDOW newest AS (ORDER BY stored_at DESC))"
            " WHERE place > ? OR bytes > ?)",
            (self._maximum_entries, self._maximum_bytes),
        )

    def delete(self, key: str) -> None:
        """Drop an entry, if it is there."""
        self._execute("DELETE FROM entries WHERE key = ?", (key,))

    def invalidate(self, glob: str, generation: str | None = None) -> bool:
        """Drop the entries whose keys match; returns whether that was done.

        A ``generation`` of the shared cache is noted as the one up to which this file is current,
        but only once the entries are gone.
        """
        is_dropped = self._did("DELETE FROM entries WHERE key GLOB ?", glob.replace("[!", "[^"))
        if is_dropped and generation is not None:
            self._did("INSERT OR REPLACE INTO generation VALUES (1, ?)", generation)
        return is_dropped

    def count(self, prefix: str = "") -> int:
        """How many keys begin with a prefix."""
        rows = self._execute(
            "SELECT count(*) FROM entries WHERE substr(key, 1, ?) = ?", (len(prefix), prefix)
        )
        return int(rows[0][0]) if rows else 0

    def generation(self) -> str | None:
        """The generation of the shared cache up to which this file is current, if one is known."""
        rows = self._execute("SELECT value FROM generation")
        return str(rows[0][0]) if rows else None

    def clear(self) -> bool:
        """Drop every entry and all statistics; returns whether that was done."""
        done = [self._did(f"DELETE FROM {table}") for table in ("entries", "statistics")]
        return all(done)

    def add_statistics(self, cache: str, statistics: CacheStatistics) -> None:
        """Add hits and misses to those of a cache."""
        hits, misses = statistics.hits, statistics.misses
        self._execute(
            "INSERT INTO statistics VALUES (?, ?, ?) ON CONFLICT (cache)"
            " DO UPDATE SET hits = hits + excluded.hits, misses = misses + excluded.misses",
            (cache, hits, misses),
        )

    def statistics(self, cache: str) -> CacheStatistics:
        """The hits and misses of a cache in all processes that used this file."""
        rows = self._execute("SELECT hits, misses FROM statistics WHERE cache = ?", (cache,))
        return CacheStatistics(int(rows[0][0]), int(rows[0][1])) if rows else CacheStatistics()

    def close(self) -> None:
        """Release the file."""
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    def _did(self, statement: str, *parameters: _Column) -> bool:
        """Run a statement; returns whether it was run, as it is not if another process writes."""
        before = self._passed_over
        self._execute(statement, parameters)
        return self._passed_over == before and self.failure is None

    def _execute(self, statement: str, parameters: Sequence[_Column] = ()) -> list[_Row]:
        """The rows of a statement; none once the file has failed."""
        folder = self._path.parent
        if self.failure is not None or not (folder.is_dir() or folder.exists()):
            # Answers about a registry that is not there yet are not worth a folder.
            return []
        try:
            if self._opened is None:
                self._opened = _open(self._path)
            return self._opened.execute(statement, parameters).fetchall()
        except sqlite3.OperationalError as error:
            if "locked" in str(error):
                # Another process writes; this answer is simply not kept, or not found.
                self._passed_over += 1
                return []
            self._fail(error)
        except sqlite3.ProgrammingError:
            # Of another thread: what this one asks is not found, and not kept.
            self._passed_over += 1
        except sqlite3.DatabaseError:
            self._replace()
        except (sqlite3.Error, OSError) as error:
            self._fail(error)
        return []

    def _replace(self) -> None:
        """Begin with an empty file, since this one is damaged."""
        self.close()
        try:
            _remove(self._path)
        except OSError as error:
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        self.failure = f"{self._path} cannot be used: {error}"
        self.close()


def _open(path: Path) -> sqlite3.Connection:
    create_file(path)
    try:
        return _connect(path)
    except sqlite3.OperationalError:
        raise
    except sqlite3.DatabaseError:
        _remove(path)
        return _connect(path)


def _remove(path: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        Path(f"{os.fspath(path)}{suffix}").unlink(missing_ok=True)


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_SECONDS, isolation_level=None)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = OFF")
        connection.executescript(_SCHEMA)
    except BaseException:
        connection.close()
        raise
    return connection
