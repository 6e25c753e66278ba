"""Copying a history from one database to another, and proving that both say the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

from onex.domain.errors import StorageCopyError
from onex.domain.result import RunStatus
from onex.history.journal_rows import CONTENT, STEP, SUMMARY, storable
from onex.history.opening import open_journal
from onex.history.sql_journal import SqlRunJournal
from onex.storage.opening import is_server
from onex.storage.sql.connection import Row, SqlConnection

BATCH_ROWS = 100
"""Of results, which may have a megabyte each."""


class _Table(NamedTuple):
    name: str
    key: str
    columns: str


_RUNS = _Table("runs", "run_id", f"{SUMMARY}, {CONTENT}")
_TABLES = (
    _Table("steps", "run_id, step_id", f"run_id, {STEP}"),
    _Table("cached_results", "key", "key, node, output, stored_at, run_id"),
    _Table("artifacts", "digest, run_id, step_id, name", "digest, run_id, step_id, name"),
    _Table("timings", "digest, run_id, step_id", "digest, run_id, step_id, calls, seconds"),
)


def require_no_history(url: str, storage: str | None, home: Path) -> None:
    """Refuse a storage that ``copy_history_to`` could not copy to, before anything is copied.

    Raises as it does.
    """
    if is_server(url) or is_server(storage):
        with closing(open_journal(url, home)) as target:
            require_no_runs(target)


def copy_history_to(url: str, storage: str | None, home: Path) -> int | None:
    """Copy the history of a registry to where it is for one in another storage.

    Args:
        url: of the other storage.
        storage: that of the registry, as ``open_journal`` takes it.
        home: the folder of the registry's state.

    Returns:
        how many runs there were; None if the history stays in the same file.

    Raises as ``open_journal`` and ``copy_history``.
    """
    if not (is_server(url) or is_server(storage)):
        return None
    with (
        closing(open_journal(storage, home)) as source,
        closing(open_journal(url, home)) as target,
    ):
        return copy_history(source, target)


def copy_history(source: SqlRunJournal, target: SqlRunJournal) -> int:
    """Copy all runs and cached results into an empty history; returns how many runs there were.

    A run that still runs is one that was interrupted in the copy.

    Raises:
        StorageCopyError: the target is not empty, or says something else afterwards.
    """
    require_no_runs(target)
    runs, before = 0, _starts_of(source)
    with source.connection.snapshot(), target.connection.shared_transaction():
        # Starts may be kept beside the database and go with their run, so they are read before the
        # snapshot and at its beginning: a run that ends later has not ended in the copy.
        starts = _starts_of(source)
        for run_id in before.keys() & starts.keys():
            starts[run_id] |= before[run_id]
        for rows in _batches(source.connection, _RUNS):
            _copy_runs(target, rows, starts)
            runs += len(rows)
        for table in _TABLES:
            marks = ", ".join("?" * len(table.columns.split(", ")))
            statement = f"INSERT INTO {table.name} ({table.columns}) VALUES ({marks})"
            for rows in _batches(source.connection, table):
                target.connection.run_many(statement, rows)
        for table in (_RUNS, *_TABLES):
            _compare(source.connection, target.connection, table)
    return runs


def require_no_runs(target: SqlRunJournal) -> None:
    """Refuse a history that holds runs; raises StorageCopyError."""
    if target.connection.rows("SELECT 1 FROM runs LIMIT 1"):
        raise StorageCopyError(
            "the history to copy to is not empty", hint="name a database that has no runs yet"
        )


def is_same_history(one: SqlRunJournal, other: SqlRunJournal) -> bool:
    """Whether two histories hold the same runs and cached results."""
    try:
        for table in (_RUNS, *_TABLES):
            _compare(one.connection, other.connection, table)
    except StorageCopyError:
        return False
    return True


def _starts_of(source: SqlRunJournal) -> dict[str, set[str]]:
    """The calls that started, by the runs that did not succeed."""
    rows = source.connection.rows(
        "SELECT run_id FROM runs WHERE status <> ?", (RunStatus.SUCCEEDED.value,)
    )
    return {run_id: set(source.holder.starts(run_id)) for (run_id,) in rows}


def _copy_runs(target: SqlRunJournal, rows: list[Row], starts: Mapping[str, set[str]]) -> None:
    nobody = target.holder.nobody
    columns = "".join(f", {one.column}" for one in nobody)
    marks = ", ".join(["?"] * len(rows[0]) + [one.expression for one in nobody])
    parameters = tuple(one.parameter for one in nobody)
    target.connection.run_many(
        f"INSERT INTO runs ({_RUNS.columns}{columns}) VALUES ({marks})",
        [(*row, *parameters) for row in rows],
    )
    for run_id, *_ in rows:
        if starts.get(run_id):
            target.holder.keep_starts(run_id, starts[run_id])


def _batches(connection: SqlConnection, table: _Table) -> Iterator[list[Row]]:
    """The rows of a table in the order of its key."""
    names = table.key.split(", ")
    places = [table.columns.split(", ").index(name) for name in names]
    marks = ", ".join("?" * len(names))
    after: list[str] = [""] * len(names)
    while True:
        rows = connection.rows(
            f"SELECT {table.columns} FROM {table.name} WHERE ({table.key}) > ({marks})"
            f" ORDER BY {table.key} LIMIT {BATCH_ROWS}",
            after,
        )
        if not rows:
            return
        # A file may hold what an earlier onex stored and a server cannot.
        yield [tuple(storable(v) if isinstance(v, str) else v for v in row) for row in rows]
        after = [rows[-1][place] for place in places]


def _compare(source: SqlConnection, target: SqlConnection, table: _Table) -> None:
    for one, other in zip_longest(_batches(source, table), _batches(target, table)):
        if one != other:
            raise StorageCopyError(
                f"the table {table.name} of the history differs",
                hint="nothing of the history was stored; please report this",
            )
