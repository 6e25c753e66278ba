"""SqlRunJournal: the history of runs and the result cache, in SQLite or PostgreSQL."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Container, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, datetime

from onex.domain.json_value import JsonObject, as_object
from onex.domain.result import (
    CachedOutput,
    NodeExecutionResult,
    RunResult,
    RunStatus,
    StepStatus,
    Timing,
)
from onex.domain.workflow import index_of, step_of
from onex.history.journal import (
    EVERY_RUN,
    ArtifactUse,
    JournalEntries,
    NewRun,
    Pruned,
    RunFilter,
    RunProgress,
    RunRecord,
)
from onex.history.journal_rows import (
    CONTENT,
    STEP,
    SUMMARY,
    encode,
    error_of,
    planned_node,
    step_result,
    step_row,
    storable,
    summary,
)
from onex.history.kept_measurements import KeptMeasurements, add_measurements
from onex.history.run_holder import RunHolder
from onex.history.start_log import StartLog
from onex.storage.retrying import retried
from onex.storage.sql.connection import Row, SqlConnection
from onex.telemetry.measurements import Measurements

PATIENCE_SECONDS = 15.0
"""How long a run waits for a database that does not answer, before it ends."""

TIMING_WINDOW_RUNS = 10
LISTED_RUNS = 50

_STEP_COLUMNS = STEP.split(", ")
_PUT_STEP = (
    f"INSERT INTO steps (run_id, {STEP}) VALUES (?, {', '.join('?' * len(_STEP_COLUMNS))})"
    " ON CONFLICT (run_id, step_id) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in _STEP_COLUMNS[1:])
)
# From the row of the call, so that its output is not encoded twice.
_KEEP_OUTPUT = (
    "INSERT INTO cached_results (key, node, output, stored_at, run_id)"
    " SELECT cache_key, node, coalesce(output, 'null'), ?, run_id FROM steps"
    " WHERE run_id = ? AND step_id = ?"
    " ON CONFLICT (key) DO UPDATE SET node = excluded.node, output = excluded.output,"
    " stored_at = excluded.stored_at, run_id = excluded.run_id"
)
_PUT_ARTIFACT = (
    "INSERT INTO artifacts (digest, run_id, step_id, name) VALUES (?, ?, ?, ?)"
    " ON CONFLICT (digest, run_id, step_id, name) DO NOTHING"
)
_PUT_TIMING = (
    "INSERT INTO timings (digest, run_id, step_id, calls, seconds) VALUES (?, ?, ?, ?, ?)"
    " ON CONFLICT (digest, run_id, step_id) DO UPDATE SET calls = excluded.calls,"
    " seconds = excluded.seconds"
)
_IS_USED = (
    "EXISTS (SELECT 1 FROM steps WHERE steps.cache_key = cached_results.key"
    " AND steps.cached_from IS NOT NULL AND steps.run_id <> ?)"
)
_DROP_USED = (
    "DELETE FROM cached_results WHERE key IN"
    " (SELECT cache_key FROM steps WHERE run_id = ? AND cached_from IS NOT NULL)"
    " AND NOT EXISTS (SELECT 1 FROM runs WHERE runs.run_id = cached_results.run_id)"
    f" AND NOT {_IS_USED} RETURNING key"
)
_DROP_MADE = f"DELETE FROM cached_results WHERE run_id = ? AND NOT {_IS_USED} RETURNING key"
_ARTIFACT_IN_TEXT = re.compile(r'"\$artifact": ?"sha256:[0-9a-f]{64}"')
_AFTER_ALL = "\U0010ffff"


class SqlRunJournal:
    """A RunJournal over one connection. One object serves one thread.

    ``connection`` leads to the tables, ``holder`` knows who runs a run.
    """

    def __init__(
        self,
        connection: SqlConnection,
        holder: RunHolder,
        measurements: KeptMeasurements | None = None,
    ) -> None:
        """Keep the history that a connection leads to.

        Args:
            connection: to a database that has the tables.
            holder: knows who runs a run.
            measurements: keeps what was measured; None to keep it in the same database, in the
                transactions of what was recorded.
        """
        self.connection = connection
        self.holder = holder
        self._measurements = measurements

    def close(self) -> None:
        self.holder.close()
        self.connection.close()

    def begin(self, run: NewRun) -> None:
        taken = self.holder.take(run.run_id)
        columns = "".join(f", {one.column}" for one in taken)
        expressions = "".join(f", {one.expression}" for one in taken)
        statement = (
            "INSERT INTO runs (run_id, workflow, status, started_at, replay_of, definition, plan,"
            f" inputs{columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?{expressions})"
            " ON CONFLICT (run_id) DO NOTHING"
        )
        self._written(
            lambda: self.connection.rows(
                statement,
                (
                    run.run_id,
                    storable(run.workflow),
                    RunStatus.RUNNING.value,
                    run.started_at,
                    run.replay_of,
                    encode(run.definition),
                    encode(run.plan),
                    encode(run.inputs),
                    *(one.parameter for one in taken),
                ),
            )
        )

    def resume(self, run_id: str, plan: JsonObject, again: Collection[str]) -> RunRecord | None:
        with self.connection.shared_transaction():
            self._lock(run_id)
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
            self.holder.keep_starts(run_id, in_flight)
            recorded = self.connection.rows(
                "SELECT step_id, status FROM steps WHERE run_id = ?", (run_id,)
            )
            self.connection.run_many(
                "DELETE FROM steps WHERE run_id = ? AND step_id = ?",
                [
                    (run_id, name)
                    for name, status in recorded
                    if status != StepStatus.SUCCEEDED or step_of(name) in again
                ],
            )
            taken = self.holder.take(run_id)
            changes = "".join(f", {one.column} = {one.expression}" for one in taken)
            self.connection.rows(
                f"UPDATE runs SET status = ?, plan = ?{changes} WHERE run_id = ?",
                (
                    RunStatus.RUNNING.value,
                    encode(plan),
                    *(one.parameter for one in taken),
                    run_id,
                ),
            )
        return record

    def _lock(self, run_id: str) -> None:
        self.connection.rows(
            f"SELECT 1 FROM runs WHERE run_id = ?{self.connection.row_lock}", (run_id,)
        )

    def held(self, run_id: str, on_cancel: Callable[[], None]) -> AbstractContextManager[None]:
        return self.holder.held(run_id, on_cancel)

    def record(self, run_id: str, entries: JournalEntries) -> None:
        rows = [step_row(run_id, result) for result in entries.ended]
        # In one order, so that of two journals none waits for the other while that waits for it.
        kept = sorted(entries.kept, key=lambda result: result.cache_key or "")

        def store() -> None:
            self.holder.require(run_id)
            self.connection.run_many(_PUT_STEP, rows)
            if kept:
                now = datetime.now(UTC).isoformat()
                self.connection.run_many(
                    _KEEP_OUTPUT, [(now, run_id, result.step_id) for result in kept]
                )
            if entries.artifacts:
                self.connection.run_many(
                    _PUT_ARTIFACT,
                    [
                        (use.digest, use.run_id, use.step_id, storable(use.name))
                        for use in entries.artifacts
                    ],
                )

        self._written(store, entries.measured)
        self.holder.note_ended(run_id, [result.step_id for result in entries.ended])

    def start_log(self, run_id: str, repeatable: Container[str] = ()) -> StartLog:
        return self.holder.start_log(run_id, repeatable)

    def finish(
        self,
        result: RunResult,
        timings: Iterable[Timing] = (),
        measured: Measurements | None = None,
    ) -> None:
        times = [(t.digest, result.run_id, t.step_id, t.calls, t.seconds) for t in timings]

        def store() -> None:
            self.holder.require(result.run_id)
            self.connection.run_many(_PUT_TIMING, times)
            self.connection.rows(
                "UPDATE runs SET status = ?, seconds = ?, overhead_seconds = ?, outputs = ?,"
                " error = ? WHERE run_id = ?",
                (
                    result.status.value,
                    result.seconds,
                    result.overhead_seconds,
                    encode(result.outputs),
                    encode(result.error.to_json()) if result.error else None,
                    result.run_id,
                ),
            )

        self._written(store, measured)

    def _written(self, store: Callable[[], object], measured: Measurements | None = None) -> None:
        """Store in one transaction, which may be repeated: it says the same each time.

        Measurements add up, so in a database where it may be repeated they have no part in it.
        """

        def transaction() -> None:
            with self.connection.shared_transaction():
                store()
                if measured and self._measurements is None:
                    add_measurements(self.connection, measured)

        retried(transaction, PATIENCE_SECONDS)
        if measured and self._measurements is not None:
            self._measurements.add(measured)

    def runs(self, limit: int | None, which: RunFilter = EVERY_RUN) -> Sequence[RunRecord]:
        parameters: list[str | int] = []
        conditions = []
        # What is recorded as running may have been interrupted, as only its holder tells.
        is_open = which.status in (RunStatus.RUNNING, RunStatus.INTERRUPTED)
        if which.status is not None:
            conditions.append("status = ?")
            parameters.append(RunStatus.RUNNING.value if is_open else which.status.value)
        if which.workflow is not None:
            conditions.append("workflow = ?")
            parameters.append(which.workflow)
        if which.since is not None:
            conditions.append("started_at >= ?")
            parameters.append(which.since)
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        limited = ""
        if limit is not None and not is_open:
            limited = " LIMIT ?"
            parameters.append(limit)
        rows = self.connection.rows(
            f"SELECT {SUMMARY}, {self.holder.shown} FROM runs{where}"
            f" ORDER BY started_at DESC, run_id{limited}",
            tuple(parameters),
        )
        found = [self._summary(row) for row in rows]
        if is_open:
            found = [record for record in found if record.status is which.status][:limit]
        return found

    def _summary(self, row: Row) -> RunRecord:
        """A run from the columns of its summary, and who holds it."""
        is_live = row[2] == RunStatus.RUNNING and self.holder.is_live(row[-1])
        return summary(row[:7], is_live=is_live)

    def in_progress(self) -> Sequence[RunProgress]:
        rows = self.connection.rows(
            f"SELECT {SUMMARY}, plan, {self.holder.shown} FROM runs WHERE status = ?"
            " ORDER BY started_at DESC, run_id",
            (RunStatus.RUNNING.value,),
        )
        return [
            self._progress(found, as_object(json.loads(row[7])["steps"]))
            for row in rows
            if (found := self._summary(row)).status is RunStatus.RUNNING
        ]

    def mark(self) -> str:
        listed = self.runs(LISTED_RUNS)
        latest = listed[0].run_id if listed else ""
        running = [self.mark_of(r.run_id) for r in listed if r.status is RunStatus.RUNNING]
        return "-".join((latest, str(len(listed)), *running))

    def mark_of(self, run_id: str) -> str:
        rows = self.connection.rows(
            f"SELECT {SUMMARY}, (SELECT count(*) FROM steps WHERE steps.run_id = runs.run_id),"
            f" {self.holder.shown} FROM runs WHERE run_id = ?",
            (run_id,),
        )
        if not rows:
            return ""
        status = self._summary(rows[0]).status
        return f"{status}-{rows[0][7]}-{self.holder.mark_of_starts(run_id)}"

    def interrupt(self, run_id: str) -> bool:
        return self.holder.interrupt(run_id)

    def _progress(self, run: RunRecord, steps: JsonObject) -> RunProgress:
        rows = self.connection.rows("SELECT step_id FROM steps WHERE run_id = ?", (run.run_id,))
        ended = {step_id for (step_id,) in rows}
        calls = sorted(self.holder.starts(run.run_id).keys() - ended)
        begun = {step_of(call_id) for call_id in calls} | ended
        return RunProgress(run, calls, len(steps.keys() - begun), len(steps))

    def run(self, run_id: str) -> RunRecord | None:
        rows = self.connection.rows(
            f"SELECT {SUMMARY}, {CONTENT}, {self.holder.shown} FROM runs"
            " WHERE run_id >= ? AND run_id < ? ORDER BY run_id LIMIT 2",
            (run_id, run_id + _AFTER_ALL),
        )
        if not rows or (len(rows) == 2 and rows[0][0] != run_id):
            return None
        found = self._summary(rows[0])
        steps = self.connection.rows(f"SELECT {STEP} FROM steps WHERE run_id = ?", (found.run_id,))
        definition, plan_text, inputs, outputs, error = rows[0][7:12]
        plan = json.loads(plan_text)
        workflow = json.loads(definition) if definition else {}
        listed = [step["id"] for step in workflow.get("steps", ())]
        order = {name: place for place, name in enumerate(listed or plan.get("steps", ()))}
        steps.sort(key=lambda row: (order.get(step_of(row[0]), len(order)), index_of(row[0])))
        results = {row[0]: step_result(row) for row in steps}
        if found.status is not RunStatus.SUCCEEDED:
            self._add_started(found, plan, results)
        return replace(
            found,
            definition=workflow,
            plan=plan,
            inputs=json.loads(inputs),
            outputs=json.loads(outputs) if outputs else None,
            error=error_of(error),
            steps=results,
        )

    def _add_started(
        self, run: RunRecord, plan: JsonObject, results: dict[str, NodeExecutionResult]
    ) -> None:
        """Add the calls that started and did not end, as running."""
        began = datetime.fromisoformat(run.started_at).timestamp()
        for call_id, moment in self.holder.starts(run.run_id).items():
            if call_id in results or step_of(call_id) not in as_object(plan["steps"]):
                # A damaged line names a call that the run never had.
                continue
            results[call_id] = NodeExecutionResult(
                call_id,
                planned_node(plan, call_id),
                StepStatus.RUNNING,
                attempts=1,
                started_seconds=None if moment is None else max(0.0, moment - began),
            )

    def cached_output(self, key: str) -> CachedOutput | None:
        rows = self.connection.rows(
            "SELECT node, output, run_id FROM cached_results WHERE key = ?", (key,)
        )
        if not rows:
            return None
        node, output, run_id = rows[0]
        has_artifacts = _ARTIFACT_IN_TEXT.search(output) is not None
        return CachedOutput(key, node, json.loads(output), run_id, has_artifacts)

    def timings(self, digests: Iterable[str]) -> Mapping[str, Sequence[Timing]]:
        found: dict[str, list[Timing]] = {}
        for digest in set(digests):
            # Identifiers of runs begin with their time.
            rows = self.connection.rows(
                "SELECT step_id, calls, seconds FROM timings WHERE digest = ?"
                " ORDER BY run_id DESC LIMIT ?",
                (digest, TIMING_WINDOW_RUNS),
            )
            found[digest] = [Timing(step, digest, calls, took) for step, calls, took in rows]
        return found

    def artifact_uses(self, digest: str) -> Sequence[ArtifactUse]:
        rows = self.connection.rows(
            "SELECT digest, run_id, step_id, name FROM artifacts WHERE digest = ?"
            " ORDER BY run_id, step_id",
            (digest,),
        )
        return [ArtifactUse(*row) for row in rows]

    def artifact_digests(self) -> frozenset[str]:
        # The artifacts of a cached result are those of the run that made it or of one that used it.
        return frozenset(
            digest for (digest,) in self.connection.rows("SELECT DISTINCT digest FROM artifacts")
        )

    def prune(self, run_ids: Iterable[str]) -> Pruned:
        # A transaction for each, so that those who record meanwhile need not wait for all.
        removed: list[str] = []
        results = 0
        for run_id in run_ids:
            with self.connection.shared_transaction():
                self._lock(run_id)
                rows = self.connection.rows(
                    f"SELECT {SUMMARY}, {self.holder.shown} FROM runs WHERE run_id = ?", (run_id,)
                )
                # It may have been resumed since it was chosen.
                if not rows or self._summary(rows[0]).status is RunStatus.RUNNING:
                    continue
                results += len(self.connection.rows(_DROP_USED, (run_id, run_id)))
                results += len(self.connection.rows(_DROP_MADE, (run_id, run_id)))
                self.holder.keep_starts(run_id, ())
                self.connection.rows("DELETE FROM runs WHERE run_id = ?", (run_id,))
                removed.append(run_id)
        return Pruned(removed, results)
