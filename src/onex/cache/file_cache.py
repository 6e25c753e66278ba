"""FileCache: answers that outlive the process, in a file that may be deleted at any time."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

MAXIMUM_ENTRIES = 10_000
BUSY_TIMEOUT_SECONDS = 1.0

_SCHEMA = """
CREATE TABLE IF NOT EXISTS entries (
    key       TEXT PRIMARY KEY,
    value     BLOB NOT NULL,
    stored_at REAL NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS entries_by_age ON entries (stored_at);
CREATE TABLE IF NOT EXISTS statistics (
    cache  TEXT PRIMARY KEY,
    hits   INTEGER NOT NULL,
    misses INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
"""

_Column = str | bytes | int | float


@dataclass(frozen=True, slots=True)
class CacheStatistics:
    """How often a cache had what was asked of it."""

    hits: int = 0
    misses: int = 0

    @property
    def hit_ratio(self) -> float | None:
        """Hits among all questions, from 0 to 1; None where nothing was asked."""
        asked = self.hits + self.misses
        return self.hits / asked if asked else None

    def __add__(self, other: CacheStatistics) -> CacheStatistics:
        return CacheStatistics(self.hits + other.hits, self.misses + other.misses)


class FileCache:
    """Bytes by key, and statistics by name of cache, in one SQLite file.

    A cache that cannot be used has nothing and keeps nothing; ``failure`` then
    says why. A damaged file is replaced. One object serves one thread.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._opened: sqlite3.Connection | None = None
        self.failure: str | None = None

    def get(self, key: str) -> bytes | None:
        """The value stored under a key, or None."""
        rows = self._execute("SELECT value FROM entries WHERE key = ?", (key,))
        value = rows[0][0] if rows else None
        return value if isinstance(value, bytes) else None

    def set(self, key: str, value: bytes) -> None:
        """Store a value; the oldest make room for it when there are too many."""
        self._execute("INSERT OR REPLACE INTO entries VALUES (?, ?, ?)", (key, value, time.time()))
        self._execute(
            "DELETE FROM entries WHERE key IN (SELECT key FROM entries"
            " ORDER BY stored_at DESC LIMIT -1 OFFSET ?)",
            (MAXIMUM_ENTRIES,),
        )

    def count(self, prefix: str) -> int:
        """How many keys begin with a prefix."""
        rows = self._execute(
            "SELECT count(*) FROM entries WHERE substr(key, 1, length(?1)) = ?1", (prefix,)
        )
        return int(rows[0][0]) if rows else 0

    def clear(self) -> None:
        """Drop every value and all statistics."""
        self._execute("DELETE FROM entries")
        self._execute("DELETE FROM statistics")

    def add_statistics(self, cache: str, statistics: CacheStatistics) -> None:
        """Add to what is known of a cache."""
        self._execute(
            "INSERT INTO statistics VALUES (?1, ?2, ?3) ON CONFLICT (cache)"
            " DO UPDATE SET hits = hits + ?2, misses = misses + ?3",
            (cache, statistics.hits, statistics.misses),
        )

    def statistics(self, cache: str) -> CacheStatistics:
        """What is known of a cache from all processes that used this file."""
        rows = self._execute("SELECT hits, misses FROM statistics WHERE cache = ?", (cache,))
        return CacheStatistics(int(rows[0][0]), int(rows[0][1])) if rows else CacheStatistics()

    def close(self) -> None:
        """Release the file."""
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    def _execute(
        self, statement: str, parameters: Sequence[_Column] = ()
    ) -> list[tuple[_Column, ...]]:
        """The rows of a statement; none once the file has failed."""
        if self.failure is not None:
            return []
        try:
            if self._opened is None:
                self._opened = _open(self._path)
            return self._opened.execute(statement, parameters).fetchall()
        except (sqlite3.Error, OSError) as error:
            self.failure = f"{self._path} cannot be used: {error}"
            self.close()
            return []


def _open(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        return _connect(path)
    except sqlite3.OperationalError:
        raise
    except sqlite3.DatabaseError:
        for suffix in ("", "-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        return _connect(path)


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
