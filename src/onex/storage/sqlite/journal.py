"""SqliteRunJournal: the history of runs and the result cache in ``history.db``."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from onex.domain.json_value import JsonObject, JsonValue
from onex.domain.result import NodeExecutionResult, RunResult, RunStatus
from onex.storage.journal import RunRecord
from onex.storage.sqlite.database import open_database, storage_errors

_RUN_COLUMNS = (
    "run_id, workflow, status, started_at, process_id, seconds, overhead_seconds,"
    " plan, inputs, outputs, error"
)
RunRow = tuple[
    str, str, str, str, int, float | None, float | None, str, str, str | None, str | None
]


class SqliteRunJournal:
    """A RunJournal in a SQLite file. One object serves one thread."""

    def __init__(self, path: Path) -> None:
        """Open or create the database; raises StorageError."""
        self._path = path
        self._connection = open_database(path, "history")

    def close(self) -> None:
        self._connection.close()

    def begin(
        self, run_id: str, workflow: str, started_at: str, plan: JsonObject, inputs: JsonObject
    ) -> None:
        self._write(
            "INSERT INTO runs (run_id, workflow, status, started_at, process_id, plan, inputs)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                run_id,
                workflow,
                RunStatus.RUNNING.value,
                started_at,
                os.getpid(),
                json.dumps(plan),
                json.dumps(inputs),
            ),
        )

    def record(self, run_id: str, result: NodeExecutionResult) -> None:
        record = result.to_json() | {"log": result.log}
        self._write(
            "INSERT OR REPLACE INTO steps (run_id, step_id, status, record, output)"
            " VALUES (?, ?, ?, ?, ?)",
            (
                run_id,
                result.step_id,
                result.status.value,
                json.dumps(record),
                None if result.output is None else json.dumps(result.output),
            ),
        )

    def finish(self, result: RunResult) -> None:
        self._write(
            "UPDATE runs SET status = ?, seconds = ?, overhead_seconds = ?, outputs = ?, error = ?"
            " WHERE run_id = ?",
            (
                result.status.value,
                result.seconds,
                result.overhead_seconds,
                json.dumps(result.outputs),
                json.dumps(result.error.to_json()) if result.error else None,
                result.run_id,
            ),
        )

    def runs(self, limit: int) -> Sequence[RunRecord]:
        with storage_errors(self._path):
            rows = self._connection.execute(
                f"SELECT {_RUN_COLUMNS} FROM runs ORDER BY started_at DESC, run_id LIMIT ?",
                (limit,),
            ).fetchall()
        return [_record(row, with_content=False) for row in rows]

    def run(self, run_id: str) -> RunRecord | None:
        with storage_errors(self._path):
            rows = self._connection.execute(
                f"SELECT {_RUN_COLUMNS} FROM runs WHERE run_id = ?1"
                " OR substr(run_id, 1, length(?1)) = ?1 ORDER BY run_id <> ?1 LIMIT 2",
                (run_id,),
            ).fetchall()
            if not rows or (len(rows) == 2 and rows[0][0] != run_id):
                return None
            steps = self._connection.execute(
                "SELECT step_id, record, output FROM steps WHERE run_id = ?", (rows[0][0],)
            ).fetchall()
        listed = [
            {"step_id": step_id}
            | json.loads(record)
            | {"output": None if output is None else json.loads(output)}
            for step_id, record, output in steps
        ]
        return replace(_record(rows[0], with_content=True), steps=listed)

    def cached_output(self, key: str) -> tuple[JsonValue] | None:
        with storage_errors(self._path):
            row = self._connection.execute(
                "SELECT output FROM cached_results WHERE key = ?", (key,)
            ).fetchone()
        return None if row is None else (json.loads(row[0]),)

    def store_output(self, key: str, node: str, output: JsonValue, run_id: str) -> None:
        self._write(
            "INSERT OR REPLACE INTO cached_results (key, node, output, stored_at, run_id)"
            " VALUES (?, ?, ?, ?, ?)",
            (key, node, json.dumps(output), datetime.now(UTC).isoformat(), run_id),
        )

    def _write(self, statement: str, parameters: Sequence[str | float | None]) -> None:
        with storage_errors(self._path):
            self._connection.execute(statement, parameters)


def _record(row: RunRow, *, with_content: bool) -> RunRecord:
    run_id, workflow, status, started_at, process_id, seconds, overhead = row[:7]
    plan, inputs, outputs, error = row[7:]
    if status == RunStatus.RUNNING and not _is_alive(process_id):
        status = RunStatus.INTERRUPTED.value
    return RunRecord(
        run_id,
        workflow,
        status,
        started_at,
        seconds,
        overhead,
        json.loads(plan) if with_content else {},
        json.loads(inputs) if with_content else {},
        json.loads(outputs) if with_content and outputs else None,
        json.loads(error) if with_content and error else None,
    )


def _is_alive(process_id: int) -> bool:
    """Whether a process exists; where that cannot be asked safely, it is taken to exist."""
    if os.name != "posix":
        return True
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
