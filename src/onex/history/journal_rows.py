"""The rows of a history: how runs and results of calls stand in its tables."""

from __future__ import annotations

import json
from typing import Any

from onex.domain.json_value import JsonObject, JsonValue, as_object, as_text
from onex.domain.result import (
    IsolationLevel,
    NodeExecutionResult,
    RunStatus,
    StepError,
    StepStatus,
)
from onex.domain.workflow import step_of
from onex.history.journal import RunRecord
from onex.storage.sql.connection import Parameter

SUMMARY = "run_id, workflow, status, started_at, seconds, overhead_seconds, replay_of"
CONTENT = "definition, plan, inputs, outputs, error"
STEP = (
    "step_id, node, status, started_seconds, seconds, attempts, input_digest, cache_key,"
    " cached_from, cache_note, isolation, output, error, log, in_flight"
)

_UNNAMED_RUNS = {"an earlier run": ("",), "several runs": ("", "")}
_NUL, _SHOWN_NUL = "\0", "\u2400"

encode = json.JSONEncoder(ensure_ascii=False, separators=(", ", ": ")).encode


def step_row(run_id: str, result: NodeExecutionResult) -> tuple[Parameter, ...]:
    """The run's identifier and the columns of ``STEP`` for the result of a call."""
    return (
        run_id,
        result.step_id,
        result.node,
        result.status.value,
        result.started_seconds,
        result.seconds,
        result.attempts,
        result.input_digest,
        result.cache_key,
        " ".join(result.cached_runs) if result.cached_runs else None,
        None if result.cache_note is None else storable(result.cache_note),
        None if result.isolation is None else result.isolation.value,
        None if result.output is None else encode(result.output),
        None if result.error is None else encode(result.error.to_json()),
        storable(result.log),
        int(result.in_flight),
    )


def step_result(row: tuple[Any, ...]) -> NodeExecutionResult:
    """The result of a call from the columns of ``STEP``."""
    (step_id, node, status, started, seconds, attempts, input_digest, cache_key) = row[:8]
    (cached_from, cache_note, isolation, output, error, log, in_flight) = row[8:]
    return NodeExecutionResult(
        step_id=step_id,
        node=node,
        status=StepStatus(status),
        output=None if output is None else json.loads(output),
        error=error_of(error),
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


def summary(row: tuple[Any, ...], *, is_live: bool) -> RunRecord:
    """A run from the columns of ``SUMMARY``; one that nobody runs any more was interrupted."""
    run_id, workflow, text, started_at, seconds, overhead, replay_of = row
    status = RunStatus(text)
    if status is RunStatus.RUNNING and not is_live:
        status = RunStatus.INTERRUPTED
    return RunRecord(run_id, workflow, status, started_at, seconds, overhead, replay_of)


def error_of(text: str | None) -> StepError | None:
    """The error that ``encode`` wrote."""
    if text is None:
        return None
    body: JsonValue = json.loads(text)
    return StepError.from_json(as_object(body))


def planned_node(plan: JsonObject, call_id: str) -> str:
    """The node of a call, as the plan of its run has it."""
    steps = as_object(plan["steps"])
    return as_text(as_object(steps[step_of(call_id)])["node"])


def storable(text: str) -> str:
    """A text as every database can hold it: PostgreSQL has no place for NUL."""
    return text.replace(_NUL, _SHOWN_NUL) if _NUL in text else text


def _cached_runs(text: str | None) -> tuple[str, ...]:
    """The runs that a result came from; empty texts for those that earlier versions left out."""
    if text is None:
        return ()
    return _UNNAMED_RUNS.get(text) or tuple(text.split(" "))
