"""PostgresConnection: the registry in PostgreSQL, opened anew when the server comes back."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache

import psycopg

from onex.domain.errors import FutureDatabaseError, StorageError
from onex.storage.migrations import read_migrations
from onex.storage.sql.connection import Parameter, Row
from onex.storage.sql.store import safe_place

CONNECT_TIMEOUT_SECONDS = 5
LOCK_TIMEOUT_MILLISECONDS = 60_000
# One number for the log's lock in each database; any would do, if it never changes.
_LOG_LOCK = 0x6F6E6578
_WEIGHTS = "{0.1, 0.3, 0.6, 1.0}"


class PostgresConnection:
    """A SqlConnection over one connection to a server.

    A connection that was lost is opened anew for the next question. A question outside a
    transaction is asked once more then, since it changes nothing twice.
    """

    def __init__(self, url: str) -> None:
        """Connect and bring the schema up to date; raises StorageError."""
        self._url = url
        self._opened: psycopg.Connection[Row] | None = None
        self._is_writing = False
        with self._errors():
            self._migrate()

    @property
    def place(self) -> str:
        return safe_place(self._url)

    def rows(self, statement: str, parameters: Sequence[Parameter] = ()) -> list[Row]:
        with self._errors():
            try:
                return self._run(statement, parameters)
            except psycopg.OperationalError:
                if self._is_writing or not self._is_lost():
                    raise
                return self._run(statement, parameters)

    def _run(self, statement: str, parameters: Sequence[Parameter]) -> list[Row]:
        cursor = self._connection().execute(_translated(statement), parameters)
        return cursor.fetchall() if cursor.description is not None else []

    def run_many(self, statement: str, parameters: Sequence[Sequence[Parameter]]) -> None:
        if parameters:
            with self._errors(), self._connection().cursor() as cursor:
                cursor.executemany(_translated(statement), parameters)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        with self._errors():
            if self._is_lost():
                self._opened = None
            connection = self._connection()
            self._is_writing = True
            try:
                with connection.transaction():
                    connection.execute(
                        "SELECT set_config('lock_timeout', %s, true)",
                        (str(LOCK_TIMEOUT_MILLISECONDS),),
                    )
                    connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOG_LOCK,))
                    yield
            finally:
                self._is_writing = False

    def glob(self, column: str, pattern: str) -> tuple[str, Parameter]:
        return f"{column} ~ ?", f"^(?:{_expression(pattern)})$"

    def unindexed(self, column: str) -> str:
        # The planner knows how often names begin alike.
        return column

    def names_like(self, glob: str, runs: Sequence[str]) -> tuple[str, Sequence[Parameter]]:
        has_runs = ["parts @> parts_of(?)"] * len(runs)
        matches = [self.glob(column, glob) for column in ("namespace", "name")]
        either = " OR ".join(text for text, _ in matches)
        found = f"SELECT rowid FROM name_parts WHERE {' AND '.join(has_runs)} AND ({either})"
        return found, [*runs, *(parameter for _, parameter in matches)]

    def insert_name_parts(self) -> str:
        return (
            "INSERT INTO name_parts SELECT id, namespace, name, parts_of(namespace || '/' || name)"
            " FROM (VALUES (?::bigint, ?, ?)) AS given (id, namespace, name)"
        )

    def insert_search(self) -> str:
        return (
            "INSERT INTO search (rowid, document) VALUES (?,"
            " setweight(to_tsvector('simple', ?), 'A') || setweight(to_tsvector('simple', ?), 'B')"
            " || setweight(to_tsvector('simple', ?), 'C')"
            " || setweight(to_tsvector('simple', ?), 'D'))"
        )

    def search(self, condition: str) -> str:
        return (
            f"SELECT nodes.id, ts_rank('{_WEIGHTS}', document, asked) AS score"
            " FROM to_tsquery('simple', ?) AS asked, search"
            " JOIN nodes ON nodes.id = search.rowid"
            f" WHERE document @@ asked AND {condition} ORDER BY score DESC, sort_key LIMIT ?"
        )

    def search_query(self, words: Sequence[str]) -> str:
        return " & ".join(f"{word}:*" for word in words)

    def check(self) -> str | None:
        self.rows("SELECT 1")
        return None

    def vacuum(self) -> None:
        """Give unused space back, and renew the statistics of the planner."""
        self.rows("VACUUM (ANALYZE)")

    def close(self) -> None:
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    def _connection(self) -> psycopg.Connection[Row]:
        if self._opened is None or self._opened.closed:
            self._opened = psycopg.connect(
                self._url, autocommit=True, connect_timeout=CONNECT_TIMEOUT_SECONDS
            )
        return self._opened

    def _is_lost(self) -> bool:
        """Whether the connection is of no use any more; True also where there is none."""
        return self._opened is None or self._opened.closed or self._opened.broken

    def _migrate(self) -> None:
        connection = self._connection()
        scripts = read_migrations("onex.storage.postgres", "registry")
        newest = max(scripts)
        with connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOG_LOCK,))
            connection.execute(
                "CREATE TABLE IF NOT EXISTS schema_version (number INTEGER NOT NULL)"
            )
            found = connection.execute("SELECT max(number) FROM schema_version").fetchone()
            current = (found and found[0]) or 0
            if current > newest:
                raise FutureDatabaseError(
                    f"{self.place} has schema {current}, and this onex knows schemas up to"
                    f" {newest}",
                    hint="upgrade onex-registry, or use another database",
                )
            for number in range(current + 1, newest + 1):
                connection.execute(scripts[number].encode())
                connection.execute("INSERT INTO schema_version VALUES (%s)", (number,))

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Turn what the driver raises into a StorageError with a way out."""
        try:
            yield
        except psycopg.errors.LockNotAvailable as error:
            raise StorageError(
                f"{self.place} is being written by another onex",
                hint="wait for it to end, and try again",
            ) from error
        except psycopg.OperationalError as error:
            self.close()
            raise StorageError(
                f"{self.place} does not answer: {_first_line(error)}",
                hint="nothing of this change was stored; check that the server runs, and try again",
            ) from error
        except psycopg.Error as error:
            raise StorageError(
                f"{self.place} cannot be used: {_first_line(error)}",
                hint="check the database's rights and space",
            ) from error


_GLOB_PART = re.compile(
    r"(?P<any>\*+)|(?P<one>\?)|\[(?P<not>[!^]?)(?P<set>\]?[^\]\\]*)\]|(?P<text>.)", re.DOTALL
)


def _expression(glob: str) -> str:
    """A regular expression of PostgreSQL for a glob."""
    parts = []
    for part in _GLOB_PART.finditer(glob):
        if part["any"]:
            parts.append(".*")
        elif part["one"]:
            parts.append(".")
        elif part["set"]:
            parts.append(f"[{'^' if part['not'] else ''}{part['set']}]")
        else:
            parts.append(re.escape(part[0]))
    return "".join(parts)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


@lru_cache(maxsize=256)
def _translated(statement: str) -> bytes:
    """A statement with ``?`` for parameters as the driver writes it."""
    return statement.replace("%", "%%").replace("?", "%s").encode()
