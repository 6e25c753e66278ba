"""SqliteRunJournal: the history of runs and the result cache in ``history.db``."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from onex.domain.json_value import JsonObject, JsonValue, as_object, as_text
from onex.domain.result import (
    CachedOutput,
    IsolationLevel,
    NodeExecutionResult,
    RunResult,
    RunStatus,
    StepError,
    StepStatus,
    Timing,
)
from onex.domain.workflow import index_of, step_of
from onex.history.journal import (
    ArtifactUse,
    JournalEntries,
    NewRun,
    Pruned,
    RunProgress,
    RunRecord,
)
from onex.history.kept_measurements import add_measurements
from onex.history.live_log import mark_of_file
from onex.history.start_log import StartLog, read_starts, write_starts
from onex.storage.sqlite.database import Database, storage_errors
from onex.telemetry.measurements import Measurements


def start_of_process(process_id: int) -> str:
    """When a process started, in a form that only serves to compare; empty if unknown."""
    try:
        status = Path(f"/proc/{process_id}/stat").read_text(encoding="utf-8", errors="replace")
        # The name in brackets may hold spaces; the start is the 22nd field (proc(5)).
        return status.rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def is_running(process_id: int, started: str) -> bool:
    """Whether a process exists; true if the system cannot tell.

    Args:
        process_id: its number.
        started: what ``start_of_process`` said of it, or nothing.
    """
    if os.name != "posix":
        return True
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    if _has_ended(process_id):
        return False
    now = start_of_process(process_id)
    return not started or not now or started == now


def _has_ended(process_id: int) -> bool:
    """Whether a process ended and only waits for the one that started it to notice."""
    try:
        status = Path(f"/proc/{process_id}/stat").read_text(encoding="utf-8", errors="replace")
        return status.rpartition(")")[2].split()[0] in ("Z", "X")
    except (OSError, IndexError):
        return False


_SUMMARY = (
    "run_id, workflow, status, started_at, seconds, overhead_seconds, replay_of, process_id,"
    " process_started"
)
_CONTENT = "definition, plan, inputs, outputs, error"
_STEP = (
    "step_id, node, status, started_seconds, seconds, attempts, input_digest, cache_key,"
    " cached_from, cache_note, isolation, output, error, log, in_flight"
)
_PUT_STEP = (
    f"INSERT OR REPLACE INTO steps (run_id, {_STEP})"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
# From the row of the call, so that its output is not encoded twice.
_KEEP_OUTPUT = (
    "INSERT OR REPLACE INTO cached_results (key, node, output, stored_at, run_id)"
    " SELECT cache_key, node, coalesce(output, 'null'), ?, run_id FROM steps"
    " WHERE run_id = ? AND step_id = ?"
)
_PUT_ARTIFACT = (
    "INSERT OR REPLACE INTO artifacts (digest, run_id, step_id, name) VALUES (?, ?, ?, ?)"
)
_PUT_TIMING = (
    "INSERT OR REPLACE INTO timings (digest, run_id, step_id, calls, seconds)"
    " VALUES (?, ?, ?, ?, ?)"
)
_TIMING_WINDOW_RUNS = 10
_UNNAMED_RUNS = {"an earlier run": ("",), "several runs": ("", "")}
_ARTIFACT_IN_TEXT = re.compile(r'"\$artifact": ?"(sha256:[0-9a-f]{64})"')

_SummaryRow = tuple[str, str, str, str, float | None, float | None, str | None, int, str]
_StepRow = tuple[
    str, str, str, float | None, float, int, str | None, str | None, str | None, str | None,
    str | None, str | None, str | None, str, int,
]  # fmt: skip
_encode = json.JSONEncoder(ensure_ascii=False, separators=(", ", ": ")).encode


class SqliteRunJournal:
    """A RunJournal in a SQLite file. One object serves one thread."""

    def __init__(self, path: Path) -> None:
        """Open the database if it is there; the first write makes it. Raises StorageError."""
        self._path = path
        self._database = Database(path, "history")

    def close(self) -> None:
        self._database.close()

    def begin(self, run: NewRun) -> None:
        with self._database.transaction():
            self._database.connection.execute(
                "INSERT INTO runs (run_id, workflow, status, started_at, replay_of, process_id,"
                f" process_started, {_CONTENT}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL, NULL)",
                (
                    run.run_id,
                    run.workflow,
                    RunStatus.RUNNING.value,
                    run.started_at,
                    run.replay_of,
                    os.getpid(),
                    start_of_process(os.getpid()),
                    _encode(run.definition),
                    _encode(run.plan),
                    _encode(run.inputs),
                ),
            )

    def resume(self, run_id: str, plan: JsonObject, again: Collection[str]) -> RunRecord | None:
        with self._database.transaction():
            record = self.run(run_id)
            if record is None or record.status in (RunStatus.RUNNING, RunStatus.SUCCEEDED):
                return None
            record = replace(
                record,
                steps={n: r for n, r in record.steps.items() if step_of(n) not in again},
            )
            # Delete the old outcome, so that a start recorded from now on is never paired with
            # an end from the earlier attempt.
            in_flight = [name for name, r in record.steps.items() if r.is_left_in_flight]
            write_starts(self._starts_of(record.run_id), in_flight)
            recorded = self._database.connection.execute(
                "SELECT step_id, status FROM steps WHERE run_id = ?", (record.run_id,)
            ).fetchall()
            self._database.connection.executemany(
                "DELETE FROM steps WHERE run_id = ? AND step_id = ?",
                [
                    (record.run_id, name)
                    for name, status in recorded
                    if status != StepStatus.SUCCEEDED or step_of(name) in again
                ],
            )
            self._database.connection.execute(
                "UPDATE runs SET status = ?, process_id = ?, process_started = ?, plan = ?"
                " WHERE run_id = ?",
                (
                    RunStatus.RUNNING.value,
                    os.getpid(),
                    start_of_process(os.getpid()),
                    _encode(plan),
                    record.run_id,
                ),
            )
        return record

    def record(self, run_id: str, entries: JournalEntries) -> None:
        rows = [_row(run_id, result) for result in entries.ended]
        with self._database.transaction():
            self._database.connection.executemany(_PUT_STEP, rows)
            if entries.kept:
                now = datetime.now(UTC).isoformat()
                self._database.connection.executemany(
                    _KEEP_OUTPUT, [(now, run_id, result.step_id) for result in entries.kept]
                )
            if entries.artifacts:
                self._database.connection.executemany(
                    _PUT_ARTIFACT,
                    [(use.digest, use.run_id, use.step_id, use.name) for use in entries.artifacts],
                )
            self._keep(entries.measured)

    def start_log(self, run_id: str) -> StartLog:
        return StartLog(self._starts_of(run_id))

    def _starts_of(self, run_id: str) -> Path:
        return self._path.with_name("starts") / run_id

    def finish(
        self,
        result: RunResult,
        timings: Iterable[Timing] = (),
        measured: Measurements | None = None,
    ) -> None:
        with self._database.transaction():
            self._database.connection.execute(
                "UPDATE runs SET status = ?, seconds = ?, overhead_seconds = ?, outputs = ?,"
                " error = ? WHERE run_id = ?",
                (
                    result.status.value,
                    result.seconds,
                    result.overhead_seconds,
                    _encode(result.outputs),
                    _encode(result.error.to_json()) if result.error else None,
                    result.run_id,
                ),
            )
            self._database.connection.executemany(
                _PUT_TIMING,
                [(t.digest, result.run_id, t.step_id, t.calls, t.seconds) for t in timings],
            )
            self._keep(measured)

    def _keep(self, measured: Measurements | None) -> None:
        if measured:
            add_measurements(self._database.connection, measured)

    def runs(self, limit: int | None) -> Sequence[RunRecord]:
        with storage_errors(self._path):
            rows = self._database.connection.execute(
                f"SELECT {_SUMMARY} FROM runs ORDER BY started_at DESC, run_id LIMIT ?",
                (-1 if limit is None else limit,),
            ).fetchall()
        return [_summary(row) for row in rows]

    def in_progress(self) -> Sequence[RunProgress]:
        with storage_errors(self._path):
            rows = self._database.connection.execute(
                f"SELECT {_SUMMARY}, json_extract(plan, '$.steps') FROM runs WHERE status = ?"
                " ORDER BY started_at DESC, run_id",
                (RunStatus.RUNNING.value,),
            ).fetchall()
            return [
                self._progress(found, json.loads(row[9]))
                for row in rows
                if (found := _summary(row[:9])).status is RunStatus.RUNNING
            ]

    def mark(self) -> str:
        with storage_errors(self._path):
            rows = self._database.connection.execute(
                f"SELECT {_SUMMARY} FROM runs ORDER BY started_at DESC, run_id LIMIT 50"
            ).fetchall()
        running = [run for row in rows if (run := _summary(row)).status is RunStatus.RUNNING]
        latest = rows[0][0] if rows else ""
        return f"{latest}-{len(rows)}-" + "-".join(self.mark_of(run.run_id) for run in running)

    def mark_of(self, run_id: str) -> str:
        with storage_errors(self._path):
            row = self._database.connection.execute(
                f"SELECT {_SUMMARY}, (SELECT count(*) FROM steps WHERE steps.run_id = runs.run_id)"
                " FROM runs WHERE run_id = ?",
                (run_id,),
            ).fetchone()
        if row is None:
            return ""
        return f"{_summary(row[:9]).status}-{row[9]}-{mark_of_file(self._starts_of(run_id))}"

    def interrupt(self, run_id: str) -> bool:
        with storage_errors(self._path):
            row = self._database.connection.execute(
                "SELECT process_id, process_started FROM runs WHERE run_id = ? AND status = ?",
                (run_id, RunStatus.RUNNING.value),
            ).fetchone()
        if row is None or not row[1] or not is_running(*row):
            return False
        try:
            os.kill(row[0], signal.SIGINT)
        except OSError:
            return False
        return True

    def _progress(self, run: RunRecord, steps: JsonObject) -> RunProgress:
        rows = self._database.connection.execute(
            "SELECT step_id FROM steps WHERE run_id = ?", (run.run_id,)
        )
        ended = {step_id for (step_id,) in rows}
        calls = sorted(read_starts(self._starts_of(run.run_id)).keys() - ended)
        begun = {step_of(call_id) for call_id in calls} | ended
        return RunProgress(run, calls, len(steps.keys() - begun), len(steps))

    def run(self, run_id: str) -> RunRecord | None:
        with storage_errors(self._path):
            rows = self._database.connection.execute(
                f"SELECT {_SUMMARY}, {_CONTENT} FROM runs WHERE run_id = ?1"
                " OR substr(run_id, 1, length(?1)) = ?1 ORDER BY run_id <> ?1 LIMIT 2",
                (run_id,),
            ).fetchall()
            if not rows or (len(rows) == 2 and rows[0][0] != run_id):
                return None
            steps = self._database.connection.execute(
                f"SELECT {_STEP} FROM steps WHERE run_id = ?", (rows[0][0],)
            ).fetchall()
        summary = _summary(rows[0][:9])
        definition, plan_text, inputs, outputs, error = rows[0][9:]
        plan = json.loads(plan_text)
        workflow = json.loads(definition) if definition else {}
        listed = [step["id"] for step in workflow.get("steps", ())]
        order = {name: place for place, name in enumerate(listed or plan.get("steps", ()))}
        steps.sort(key=lambda row: (order.get(step_of(row[0]), len(order)), index_of(row[0])))
        results = {row[0]: _result(row) for row in steps}
        began = datetime.fromisoformat(summary.started_at).timestamp()
        for call_id, moment in read_starts(self._starts_of(summary.run_id)).items():
            if call_id in results or step_of(call_id) not in plan["steps"]:
                # A damaged line names a call that the run never had.
                continue
            results[call_id] = NodeExecutionResult(
                call_id,
                _planned_node(plan, call_id),
                StepStatus.RUNNING,
                attempts=1,
                started_seconds=None if moment is None else max(0.0, moment - began),
            )
        return replace(
            summary,
            definition=workflow,
            plan=plan,
            inputs=json.loads(inputs),
            outputs=json.loads(outputs) if outputs else None,
            error=_error(error),
            steps=results,
        )

    def cached_output(self, key: str) -> CachedOutput | None:
        with storage_errors(self._path):
            row = self._database.connection.execute(
                "SELECT node, output, run_id FROM cached_results WHERE key = ?", (key,)
            ).fetchone()
        if row is None:
            return None
        node, output, run_id = row
        has_artifacts = _ARTIFACT_IN_TEXT.search(output) is not None
        return CachedOutput(key, node, json.loads(output), run_id, has_artifacts)

    def timings(self, digests: Iterable[str]) -> Mapping[str, Sequence[Timing]]:
        found: dict[str, list[Timing]] = {}
        with storage_errors(self._path):
            for digest in set(digests):
                # Identifiers of runs begin with their time.
                rows = self._database.connection.execute(
                    "SELECT step_id, calls, seconds FROM timings WHERE digest = ?"
                    " ORDER BY run_id DESC LIMIT ?",
                    (digest, _TIMING_WINDOW_RUNS),
                ).fetchall()
                found[digest] = [Timing(step, digest, calls, took) for step, calls, took in rows]
        return found

    def artifact_uses(self, digest: str) -> Sequence[ArtifactUse]:
        with storage_errors(self._path):
            rows = self._database.connection.execute(
                "SELECT digest, run_id, step_id, name FROM artifacts WHERE digest = ?"
                " ORDER BY run_id, step_id",
                (digest,),
            ).fetchall()
        return [ArtifactUse(*row) for row in rows]

    def artifact_digests(self) -> frozenset[str]:
        with storage_errors(self._path):
            used = {
                row[0] for row in self._database.connection.execute("SELECT digest FROM artifacts")
            }
            texts = self._database.connection.execute(
                "SELECT output FROM cached_results WHERE instr(output, '$artifact') > 0"
            )
            for (text,) in texts:
                used.update(_ARTIFACT_IN_TEXT.findall(text))
        return frozenset(used)

    def prune(self, run_ids: Iterable[str]) -> Pruned:
        removed: list[str] = []
        with self._database.transaction():
            for run_id in run_ids:
                rows = self._database.connection.execute(
                    f"SELECT {_SUMMARY} FROM runs WHERE run_id = ?", (run_id,)
                ).fetchall()
                # It may have been resumed since it was chosen.
                if not rows or _summary(rows[0]).status is RunStatus.RUNNING:
                    continue
                self._database.connection.execute("DELETE FROM runs WHERE run_id = ?", (run_id,))
                self._starts_of(run_id).unlink(missing_ok=True)
                removed.append(run_id)
            results = self._database.connection.execute(
                "DELETE FROM cached_results WHERE run_id NOT IN (SELECT run_id FROM runs)"
                " AND key NOT IN (SELECT cache_key FROM steps WHERE cache_key IS NOT NULL)"
            ).rowcount
        return Pruned(removed, results)


def _row(run_id: str, result: NodeExecutionResult) -> tuple[str | float | None, ...]:
    return (
        run_id,
        result.step_id,
        result.node,
        result.status,
        result.started_seconds,
        result.seconds,
        result.attempts,
        result.input_digest,
        result.cache_key,
        " ".join(result.cached_runs) if result.cached_runs else None,
        result.cache_note,
        result.isolation,
        None if result.output is None else _encode(result.output),
        None if result.error is None else _encode(result.error.to_json()),
        result.log,
        int(result.in_flight),
    )


def _result(row: _StepRow) -> NodeExecutionResult:
    (step_id, node, status, started, seconds, attempts, input_digest, cache_key) = row[:8]
    (cached_from, cache_note, isolation, output, error, log, in_flight) = row[8:]
    return NodeExecutionResult(
        step_id=step_id,
        node=node,
        status=StepStatus(status),
        output=None if output is None else json.loads(output),
        error=_error(error),
        started_seconds=started,
        seconds=seconds,
        attempts=attempts,
        cached_runs=_cached_runs(cached_from),
        cache_note=cache_note,
        isolation=None if isolation is None else IsolationLevel(isolation),
        log=log,
        input_digest=input_digest,
        cache_key=cache_key,
        in_flight=bool(in_flight),
    )


def _cached_runs(text: str | None) -> tuple[str, ...]:
    """The runs that a result came from; empty texts for those that earlier versions left out."""
    if text is None:
        return ()
    return _UNNAMED_RUNS.get(text) or tuple(text.split(" "))


def _planned_node(plan: JsonObject, call_id: str) -> str:
    steps = as_object(plan["steps"])
    return as_text(as_object(steps[step_of(call_id)])["node"])


def _error(text: str | None) -> StepError | None:
    if text is None:
        return None
    body: JsonValue = json.loads(text)
    return StepError.from_json(as_object(body))


def _summary(row: _SummaryRow) -> RunRecord:
    run_id, workflow, text, started_at, seconds, overhead, replay_of, process, began = row
    status = RunStatus(text)
    if status is RunStatus.RUNNING and not is_running(process, began):
        status = RunStatus.INTERRUPTED
    return RunRecord(
        run_id=run_id,
        workflow=workflow,
        status=status,
        started_at=started_at,
        seconds=seconds,
        overhead_seconds=overhead,
        replay_of=replay_of,
    )
