"""LeaseHolder: runs of many machines, each held by a lease that its process renews.

The pattern is Gray and Cheriton's ("Leases", 1989), with the clock of the database alone. A process
that could not renew its lease in time finds out with the next thing that it stores, since each
transaction asks first whether it still holds the run.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
import uuid
from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from onex.domain.errors import RunLostError, StorageError
from onex.domain.result import RunStatus
from onex.domain.workflow import step_of
from onex.history.run_holder import Assignment
from onex.storage.retrying import retried
from onex.storage.sql.connection import SqlConnection

LEASE_SECONDS = 15.0
RENEWAL_SECONDS = 2.0

LOGGER = logging.getLogger("onex.run")

_UNTIL = "clock_timestamp() + make_interval(secs => ?)"
_PUT_START = (
    "INSERT INTO starts (run_id, call_id, started_at) VALUES (?, ?, ?)"
    " ON CONFLICT (run_id, call_id) DO UPDATE SET started_at = excluded.started_at"
)


class LeaseHolder:
    """Holds runs in PostgreSQL."""

    nobody = (
        Assignment("holder", "?", ""),
        Assignment("held_until", "?::timestamptz", "-infinity"),
    )
    shown = "CASE WHEN held_until > clock_timestamp() THEN 'held' ELSE '' END"

    def __init__(self, connection: SqlConnection, connect: Callable[[], SqlConnection]) -> None:
        """``connection`` is the journal's; ``connect`` opens another, for other threads."""
        self._connection = connection
        self._beside = _SharedConnection(connect)
        self._tokens: dict[str, str] = {}
        self._logs: dict[str, TableStartLog] = {}

    def close(self) -> None:
        """Release what is beside the journal's connection."""
        self._beside.close()

    def is_live(self, shown: str) -> bool:
        return bool(shown)

    def take(self, run_id: str) -> Sequence[Assignment]:
        token = self._tokens[run_id] = uuid.uuid4().hex
        return (
            Assignment("holder", "?", token),
            Assignment("held_until", _UNTIL, LEASE_SECONDS),
            Assignment("cancel_asked", "?::boolean", "false"),
        )

    def require(self, run_id: str) -> None:
        _require(self._connection, run_id, self._token(run_id))

    def _token(self, run_id: str) -> str:
        return self._tokens.get(run_id, "")

    @contextmanager
    def held(self, run_id: str, on_cancel: Callable[[], None]) -> Iterator[None]:
        ended = threading.Event()
        renewing = threading.Thread(
            target=self._renew, args=(run_id, on_cancel, ended), name=f"onex-lease-{run_id}"
        )
        renewing.start()
        try:
            yield
        finally:
            ended.set()
            renewing.join()
            self._logs.pop(run_id, None)

    def _renew(self, run_id: str, on_cancel: Callable[[], None], ended: threading.Event) -> None:
        """Renew a lease again and again; a database that is away may be back next time."""
        is_told = False
        while not ended.wait(RENEWAL_SECONDS):
            try:
                rows = self._beside.rows(
                    f"UPDATE runs SET held_until = {_UNTIL} WHERE run_id = ? AND holder = ?"
                    " AND status = ? RETURNING cancel_asked",
                    (LEASE_SECONDS, run_id, self._token(run_id), RunStatus.RUNNING.value),
                )
                if rows and run_id in self._logs:
                    self._logs[run_id].write_pending()
            except StorageError as error:
                LOGGER.warning("the lease of run %s was not renewed: %s", run_id, error.message)
                continue
            if (not rows or rows[0][0]) and not is_told:
                # Whoever lost the run need not go on with it either.
                is_told = True
                on_cancel()

    def interrupt(self, run_id: str) -> bool:
        return bool(
            self._connection.rows(
                "UPDATE runs SET cancel_asked = true WHERE run_id = ? AND status = ?"
                " AND held_until > clock_timestamp() RETURNING run_id",
                (run_id, RunStatus.RUNNING.value),
            )
        )

    def start_log(self, run_id: str, repeatable: Container[str]) -> TableStartLog:
        log = TableStartLog(self._beside, run_id, self._token(run_id), repeatable)
        self._logs[run_id] = log
        return log

    def note_ended(self, run_id: str, call_ids: Iterable[str]) -> None:
        log = self._logs.get(run_id)
        if log is not None:
            log.note_ended(call_ids)

    def starts(self, run_id: str) -> Mapping[str, float | None]:
        rows = self._connection.rows(
            "SELECT call_id, started_at FROM starts WHERE run_id = ?", (run_id,)
        )
        return dict(rows)

    def keep_starts(self, run_id: str, call_ids: Collection[str]) -> None:
        self._connection.rows("DELETE FROM starts WHERE run_id = ?", (run_id,))
        self._connection.run_many(_PUT_START, [(run_id, call_id, None) for call_id in call_ids])

    def mark_of_starts(self, run_id: str) -> str:
        rows = self._connection.rows(
            "SELECT count(*), max(started_at) FROM starts WHERE run_id = ?", (run_id,)
        )
        return "{}.{}".format(*rows[0])


class TableStartLog:
    """The starts of one run in the history itself, noted by any thread.

    A call that must not be made twice does not begin before its start is stored. The starts of
    others are of interest while they last, and stored with the next renewal of the lease.
    """

    def __init__(
        self, beside: _SharedConnection, run_id: str, token: str, repeatable: Container[str]
    ) -> None:
        self._beside = beside
        self._run_id = run_id
        self._token = token
        self._repeatable = repeatable
        self._pending: dict[str, float] = {}
        self._lock = threading.Lock()

    def note(self, call_id: str) -> None:
        if step_of(call_id) in self._repeatable:
            with self._lock:
                self._pending[call_id] = time.time()
            return
        retried(lambda: self._write([(self._run_id, call_id, time.time())]), LEASE_SECONDS)

    def note_ended(self, call_ids: Iterable[str]) -> None:
        """These calls are in the history as ended."""
        with self._lock:
            for call_id in call_ids:
                self._pending.pop(call_id, None)

    def write_pending(self) -> None:
        """Store the starts of what still lasts; raises StorageError."""
        with self._lock:
            rows = [(self._run_id, call_id, at) for call_id, at in self._pending.items()]
            self._pending.clear()
        if rows:
            self._write(rows)

    def _write(self, rows: Sequence[tuple[str, str, float]]) -> None:
        with self._beside.transaction() as connection:
            _require(connection, self._run_id, self._token)
            connection.run_many(_PUT_START, rows)

    def close(self) -> None:
        """Note nothing more."""
        with self._lock:
            self._pending.clear()

    def remove(self) -> None:
        with contextlib.suppress(StorageError):
            # What is left of a run that ended is passed over, and goes with the run.
            self._beside.rows("DELETE FROM starts WHERE run_id = ?", (self._run_id,))


class _SharedConnection:
    """A connection for several threads, opened when it is first needed."""

    def __init__(self, connect: Callable[[], SqlConnection]) -> None:
        self._connect = connect
        self._opened: SqlConnection | None = None
        self._lock = threading.Lock()

    def rows(self, statement: str, parameters: Sequence[str | float]) -> list[tuple[object, ...]]:
        with self._lock:
            return self._connection().rows(statement, parameters)

    @contextmanager
    def transaction(self) -> Iterator[SqlConnection]:
        with self._lock:
            connection = self._connection()
            with connection.shared_transaction():
                yield connection

    def _connection(self) -> SqlConnection:
        if self._opened is None:
            self._opened = self._connect()
        return self._opened

    def close(self) -> None:
        with self._lock:
            if self._opened is not None:
                self._opened.close()
                self._opened = None


def _require(connection: SqlConnection, run_id: str, token: str) -> None:
    """Keep a run from being taken over until the transaction ends; raises RunLostError."""
    # Whatever its status is: it may have ended by this transaction, whose answer was lost.
    held = connection.rows(
        "SELECT 1 FROM runs WHERE run_id = ? AND holder = ? FOR SHARE", (run_id, token)
    )
    if not held:
        raise RunLostError(
            f"run {run_id} does not belong to this process any more: its lease ran out, and another"
            " took it over or removed it",
            hint=f"see what became of it: onex runs show {run_id}",
        )
