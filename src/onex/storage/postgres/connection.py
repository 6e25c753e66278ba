"""PostgresConnection: the registry in PostgreSQL, opened anew when the server comes back."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache

import psycopg

from onex.domain.url import without_secrets
from onex.storage.migrations import read_migrations
from onex.storage.postgres.failures import as_storage_error, read_connection_string
from onex.storage.postgres.row_sets import column_types, for_a_set, in_sets, touches_rows_once
from onex.storage.postgres.schema import bring_up_to_date, take_log_lock
from onex.storage.retrying import retried
from onex.storage.sql.connection import Parameter, Row

CONNECT_TIMEOUT_SECONDS = 5
_WEIGHTS = "{0.1, 0.3, 0.6, 1.0}"
# The level is said each time: under another one, which a database may have by default, a writer
# does not see what others stored before it got the lock.
_BEGIN_WRITING = "BEGIN ISOLATION LEVEL READ COMMITTED"
_BEGIN_SNAPSHOT = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"


class PostgresConnection:
    """A SqlConnection over one connection to a server, or to a pooler before it.

    Nothing is kept in the session (no prepared statement, no setting, no lock beyond a
    transaction), since a pooler may give each transaction another one. A connection that was
    lost is opened anew for the next question or transaction, if nothing of it was done yet.
    """

    row_lock = " FOR UPDATE"

    def __init__(self, url: str) -> None:
        """Connect and bring the schema up to date.

        Raises:
            ConfigurationError: the URL is not one of a PostgreSQL database.
            StorageError: the database cannot be used.
        """
        self._url = url
        self._parts = read_connection_string(url)
        self._opened: psycopg.Connection[Row] | None = None
        self._is_in_transaction = False
        try:
            with self._errors():
                bring_up_to_date(self._connection(), self.place)
        except BaseException:
            self.close()
            raise

    @property
    def place(self) -> str:
        return without_secrets(self._url)

    def rows(self, statement: str, parameters: Sequence[Parameter] = ()) -> list[Row]:
        def once() -> list[Row]:
            with self._errors():
                return self._run(_translated(statement), parameters)

        # Within a transaction all of it would have to be done again.
        return once() if self._is_in_transaction else retried(once)

    def _run(self, statement: bytes, parameters: Sequence[Parameter] = ()) -> list[Row]:
        """Run a statement; once more if the connection turns out to be lost before it."""
        try:
            cursor = self._connection().execute(statement, parameters)
        except psycopg.OperationalError:
            if self._is_in_transaction or not self._is_lost():
                raise
            cursor = self._connection().execute(statement, parameters)
        return cursor.fetchall() if cursor.description is not None else []

    def run_many(self, statement: str, parameters: Sequence[Sequence[Parameter]]) -> None:
        if not parameters:
            return
        types = column_types(parameters)
        with self._errors(), self._connection().cursor() as cursor:
            if types is None or not touches_rows_once(statement, parameters):
                cursor.executemany(_translated(statement), parameters)
                return
            for rows in in_sets(parameters):
                cursor.execute(for_a_set(statement, types), (json.dumps(rows),))

    @contextmanager
    def transaction(self) -> Iterator[None]:
        with self._errors(), self._begun(_BEGIN_WRITING):
            take_log_lock(self._connection())
            yield

    @contextmanager
    def shared_transaction(self) -> Iterator[None]:
        with self._errors(), self._begun(_BEGIN_WRITING):
            yield

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        if self._is_in_transaction:
            yield
            return
        with self._errors(), self._begun(_BEGIN_SNAPSHOT):
            yield

    @contextmanager
    def _begun(self, beginning: str) -> Iterator[None]:
        self._run(beginning.encode())
        self._is_in_transaction = True
        try:
            yield
            self._connection().execute("COMMIT")
        except BaseException:
            if not self._is_lost():
                with contextlib.suppress(psycopg.Error):
                    self._connection().execute("ROLLBACK")
            raise
        finally:
            self._is_in_transaction = False

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

    def schema_numbers(self) -> tuple[int, int]:
        newest = max(read_migrations("onex.storage.postgres", "registry"))
        return int(self.rows("SELECT max(number) FROM schema_version")[0][0]), newest

    def vacuum(self) -> None:
        """Give unused space back, and renew the statistics of the planner."""
        self.rows("VACUUM (ANALYZE)")

    def close(self) -> None:
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    def _connection(self) -> psycopg.Connection[Row]:
        if self._opened is None or self._opened.closed:
            if self._is_in_transaction:
                raise psycopg.OperationalError("the connection was lost")
            self._opened = None
            self._opened = psycopg.connect(
                self._url,
                autocommit=True,
                connect_timeout=CONNECT_TIMEOUT_SECONDS,
                client_encoding="utf8",
                prepare_threshold=None,
            )
            self._opened.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
        return self._opened

    def _is_lost(self) -> bool:
        """Whether the connection cannot be used any more; True if there is none."""
        return self._opened is None or self._opened.closed or self._opened.broken

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Turn what the driver raises into a StorageError with a way out."""
        try:
            yield
        except psycopg.Error as error:
            is_connecting = self._opened is None
            if self._is_lost():
                self.close()
            raise as_storage_error(
                error, self.place, self._parts, is_connecting=is_connecting
            ) from error


_GLOB_PART = re.compile(
    r"(?P<any>\*+)|(?P<one>\?)|\[(?P<not>[!^]?)(?P<set>\]?[^\]]*)\]|(?P<text>.)", re.DOTALL
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
            escaped = "".join(c if c.isalnum() or c == "-" else f"\\{c}" for c in part["set"])
            parts.append(f"[{'^' if part['not'] else ''}{escaped}]")
        else:
            parts.append(re.escape(part[0]))
    return "".join(parts)


@lru_cache(maxsize=256)
def _translated(statement: str) -> bytes:
    """A statement with ``?`` for parameters as the driver writes it."""
    return statement.replace("%", "%%").replace("?", "%s").encode()
