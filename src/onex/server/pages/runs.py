"""The pages of runs: the list, one run as it goes on, one of its steps, and two runs compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response

from onex.domain.access_control import Action
from onex.domain.artifact_records import artifacts_in, without_paths
from onex.domain.errors import UsageError
from onex.domain.json_value import JsonObject, JsonValue, as_list, as_object
from onex.domain.result import NodeExecutionResult, RunStatus, StepStatus
from onex.domain.timeline import Timeline, TimelineRow, timeline_of
from onex.domain.workflow import is_child, step_of
from onex.history.journal import RunRecord
from onex.history.replay import ReplayReport, compare_runs
from onex.server.pages.charts import state_of, state_of_call, waterfall
from onex.server.pages.site import Site

SHOWN_RUNS = 50
SHOWN_STEPS = 60
SHOWN_CALLS = 10
SHOWN_LIVE_LOGS = 6
SHOWN_LOG_CHARACTERS = 12_000
SHOWN_DIFFERENCES = 30


@dataclass(frozen=True, slots=True)
class StepRow:
    """One step in the table: how it stands, and what its calls say if there are several."""

    row: TimelineRow
    state: str
    seconds: float
    states: Sequence[tuple[str, int]]
    error: str


@dataclass(frozen=True, slots=True)
class StepDetail:
    """One step with what went in and came out; of many calls, the slowest and those that failed."""

    step_id: str
    result: NodeExecutionResult
    states: Sequence[tuple[str, int]]
    slowest: Sequence[NodeExecutionResult]
    failed: Sequence[NodeExecutionResult]
    log: str
    output: object
    artifacts: Sequence[JsonObject]
    arguments: object


def runs_page(site: Site, request: Request) -> Response:
    """The latest runs."""
    caller = site.caller(request)
    if not site.may(caller, Action.DECIDE):
        return site.needs_token(request, caller)
    history = site.registry(caller).history
    records = history.runs(SHOWN_RUNS)
    progress = {one.run.run_id: one for one in history.journal.in_progress()}
    return site.page(request, "runs.html", caller, records=records, progress=progress, live="runs")


def run_page(site: Site, request: Request, failure_of: Callable[[str], str]) -> Response:
    """One run: its waterfall, its steps, and the step that was asked for.

    ``failure_of`` says why what the owner asked for the run was not done.
    """
    caller = site.caller(request)
    if not site.may(caller, Action.DECIDE):
        return site.needs_token(request, caller)
    history = site.registry(caller).history
    record = history.run(request.path_params["run_id"])
    timeline = timeline_of(record.steps, record.seconds or 0.0)
    is_running = record.status is RunStatus.RUNNING
    until = _age_seconds(record) if is_running else timeline.seconds
    rows = [_step_row(row, until) for row in timeline.rows[:SHOWN_STEPS]]
    waiting = [s for s in _planned_steps(record) if s not in {row.step_id for row in timeline.rows}]
    live_logs = history.live_logs(record.run_id) if is_running else {}
    wanted = request.query_params.get("step") or _first_failure(record)
    return site.page(
        request, "run.html", caller, record=record, rows=rows, waiting=waiting,
        hidden_rows=len(timeline.rows) - len(rows), until=until,
        chart=_chart(record.run_id, timeline, until), is_running=is_running,
        live=f"run:{record.run_id}",
        live_logs=dict(list(live_logs.items())[-SHOWN_LIVE_LOGS:]),
        inputs=without_paths(record.inputs), outputs=without_paths(record.outputs),
        detail=_detail(record, wanted) if wanted else None,
        others=[r for r in history.runs(20) if r.workflow == record.workflow
                and r.run_id != record.run_id][:8],
        artifacts=list(artifacts_in(record.outputs))[:20],
        failure=failure_of(record.run_id) if caller.is_owner else "",
    )  # fmt: skip


def compare_page(site: Site, request: Request) -> Response:
    """Two runs of one workflow: inputs, versions, times, and which results differ, and why."""
    caller = site.caller(request)
    if not site.may(caller, Action.DECIDE):
        return site.needs_token(request, caller)
    history = site.registry(caller).history
    before = history.run(request.query_params.get("with", ""))
    after = history.run(request.path_params["run_id"])
    return site.page(
        request, "compare.html", caller, before=before, after=after,
        report=_compared(before, after), shown_differences=SHOWN_DIFFERENCES,
        versions=_versions(before, after), times=_times(before, after),
        inputs=sorted(
            name for name in {**before.inputs, **after.inputs}
            if before.inputs.get(name) != after.inputs.get(name)
        ),
    )  # fmt: skip


def _compared(before: RunRecord, after: RunRecord) -> ReplayReport:
    steps = [list(as_object(record.plan["steps"])) for record in (before, after)]
    if sorted(steps[0]) != sorted(steps[1]):
        raise UsageError("the two runs have other steps", hint="compare runs of one workflow")
    return compare_runs(before, after)


def _versions(before: RunRecord, after: RunRecord) -> list[tuple[str, str, str]]:
    """The steps whose nodes differ: the step, the node before, and the node after."""
    old, new = (as_object(record.plan["steps"]) for record in (before, after))
    pairs = [(name, str(as_object(old[name])["node"]), str(as_object(new[name])["node"]))
             for name in old if name in new]  # fmt: skip
    return [pair for pair in pairs if pair[1] != pair[2]]


def _times(before: RunRecord, after: RunRecord) -> list[tuple[str, float | None, float | None]]:
    """How long each step took in both runs."""
    names = [name for name in after.steps if not is_child(name)]
    found: list[tuple[str, float | None, float | None]] = []
    for name in names[:SHOWN_STEPS]:
        old, new = before.steps.get(name), after.steps[name]
        found.append((name, None if old is None else old.seconds, new.seconds))
    return found


def _age_seconds(record: RunRecord) -> float:
    started = datetime.fromisoformat(record.started_at)
    return max(0.0, (datetime.now(UTC) - started).total_seconds())


def _planned_steps(record: RunRecord) -> list[str]:
    return list(as_object(record.plan.get("steps") or {}))


def _chart(run_id: str, timeline: Timeline, until: float) -> Markup:
    started = [row for row in timeline.rows if row.calls]
    if len(started) > SHOWN_STEPS:
        # The longest, in the order in which they began.
        started = sorted(started, key=lambda row: row.start_seconds - row.end_seconds)[:SHOWN_STEPS]
        started.sort(key=lambda row: row.start_seconds)
    return waterfall(run_id, until, started)


def _step_row(row: TimelineRow, until: float) -> StepRow:
    counted = Counter(map(state_of_call, row.calls)) if len(row.calls) > 1 else Counter()
    failed = next((call for call in row.calls if call.error is not None), None)
    error = f"{failed.error.code}: {failed.error.message}" if failed and failed.error else ""
    is_running = row.status is StepStatus.RUNNING
    took = (until if is_running else row.end_seconds) - row.start_seconds
    return StepRow(row, state_of(row), took, counted.most_common(), error)


def _first_failure(record: RunRecord) -> str | None:
    failed = (name for name, step in record.steps.items() if step.status is StepStatus.FAILED)
    return next(failed, None)


def _arguments(record: RunRecord, step_id: str) -> JsonValue:
    """What the workflow hands to a step, before references are replaced."""
    steps = as_list(record.definition.get("steps") or [])
    found = (as_object(step) for step in steps if as_object(step).get("id") == step_id)
    step = next(found, {})
    return {name: step[name] for name in ("with", "foreach", "when") if step.get(name)}


def _detail(record: RunRecord, wanted: str) -> StepDetail | None:
    """What is known of a step, or of one call of it."""
    calls = {n: r for n, r in record.steps.items() if step_of(n) == step_of(wanted)}
    chosen = calls.get(wanted) or calls.get(step_of(wanted)) or next(iter(calls.values()), None)
    if chosen is None:
        return None
    children = [call for name, call in calls.items() if is_child(name)]
    return StepDetail(
        step_id=wanted,
        result=chosen,
        states=Counter(map(state_of_call, children)).most_common(),
        slowest=sorted(children, key=lambda call: -call.seconds)[:SHOWN_CALLS],
        failed=[c for c in children if c.status is StepStatus.FAILED][:SHOWN_CALLS],
        arguments=_arguments(record, step_of(wanted)),
        log=chosen.log[-SHOWN_LOG_CHARACTERS:],
        output=without_paths(chosen.output),
        artifacts=list(artifacts_in(chosen.output))[:20],
    )
