"""RunState on random workflows, in simulated time: faults, time limits, caches, resumes and ends.

Nothing here decides anything: the simulation does what the state says and tells it what
happened, as the loop does with real engines.
"""

from __future__ import annotations

import heapq
import math
import random
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onex.domain.circuit_breaker import CircuitBreaker
from onex.domain.errors import (
    CircuitOpenError,
    NodeRaisedError,
    RunCancelledError,
    RunTimeoutError,
    StepTimeoutError,
    WorkerDiedError,
)
from onex.domain.reference import NodeRef
from onex.domain.result import (
    CachedOutput,
    CallFailure,
    CallOutcome,
    IsolationLevel,
    NodeExecutionResult,
    RunResult,
    RunStatus,
    StepStatus,
)
from onex.domain.retry import BreakerPolicy, RetryPolicy
from onex.domain.workflow import Step, Workflow, step_of
from onex.execution.events import CallEnded, StepEnded
from onex.execution.forecast import (
    StepForecast,
    forecast_run_seconds,
    remaining_seconds,
    urgency_of,
)
from onex.execution.options import RunOptions
from onex.execution.run_actions import (
    CallAttempts,
    CallFacts,
    Check,
    CheckedOutput,
    Done,
    LookUp,
    Start,
    StepNode,
    Stop,
    StopAll,
    Wait,
    Write,
)
from onex.execution.run_state import PlannedRun, RunState

NODE = NodeRef.parse("tool://t")
CRASH, RAISED = WorkerDiedError.code, NodeRaisedError.code
FAULTS = (WorkerDiedError("fault"), NodeRaisedError("fault"))
CANCELLED = CallFailure(RunCancelledError("stopped"))
OPEN = CircuitOpenError.code


Running = tuple[float, int, CallAttempts, CallFailure | CallOutcome]


@dataclass
class Simulation:
    """A run with simulated calls, of which ``fault_rate`` fail and ``hit_rate`` are cached."""

    workflow: Workflow
    jobs: int
    fault_rate: float
    chance: random.Random
    urgency: dict[str, float] = field(default_factory=dict)
    hit_rate: float = 0.0
    options: RunOptions | None = None
    earlier: dict[str, NodeExecutionResult] = field(default_factory=dict)
    cancel_at: float | None = None
    level: IsolationLevel = IsolationLevel.PROCESS
    now: float = 0.0
    starts: list[tuple[float, str]] = field(default_factory=list)
    stops: list[tuple[float, str]] = field(default_factory=list)
    attempts: dict[str, int] = field(default_factory=dict)
    written: dict[str, NodeExecutionResult] = field(default_factory=dict)
    most_at_once: int = 0
    hits: set[str] = field(default_factory=set)

    def seconds_of(self, step_id: str) -> float:
        return 1.0 + len(step_id) % 3

    def run(self, *, fail_fast: bool = False) -> RunResult:
        options = self.options or RunOptions(self.jobs, fail_fast=fail_fast)
        node = StepNode("tool://t@1.0.0", "node", self.level, is_idempotent=True)
        nodes = dict.fromkeys(self.workflow.steps, node)
        planned = PlannedRun("r", self.workflow, {}, nodes, self.urgency, self.earlier)
        state = RunState(planned, options, self.now)
        running: list[Running] = []
        number = 0
        while True:
            action = state.next(self.now)
            match action:
                case LookUp(attempts):
                    state.looked_up(attempts, self.facts_of(action))
                case Start(attempts, alone):
                    number += 1
                    self.begin(state, attempts, len(running) + 1)
                    end = self.end_of(attempts)
                    until = self.now + self.seconds_of(attempts.step.id)
                    if alone:
                        assert not running
                        started, self.now = self.now, until
                        state.returned(attempts, attempts.attempts, end, started, self.now)
                    else:
                        heapq.heappush(running, (until, number, attempts, end))
                case Stop(attempts):
                    self.stops.append((self.now, attempts.call.id))
                    running = [entry for entry in running if entry[2] is not attempts]
                    heapq.heapify(running)
                    state.returned(
                        attempts, attempts.attempts, CANCELLED, attempts.overdue_at - 1, self.now
                    )
                case StopAll():
                    for _, _, attempts, _ in running:
                        state.returned(attempts, attempts.attempts, CANCELLED, self.now, self.now)
                    running = []
                case Check(attempts, end):
                    checked = end
                    if isinstance(end, CallOutcome):
                        checked = CheckedOutput(end.output, end.output)
                    state.ended(attempts, checked, self.now)
                case Write():
                    self.write(action)
                case Wait(until):
                    self.wait(state, running, until)
                case Done():
                    return state.result(self.now)

    def wait(self, state: RunState, running: list[Running], until: float) -> None:
        moments = [entry[0] for entry in running[:1]]
        moments += [until] if until < math.inf else []
        if self.cancel_at is not None and self.cancel_at > self.now:
            moments.append(self.cancel_at)
        assert moments, "the run waits for nothing"
        self.now = max(self.now, min(moments))
        if self.cancel_at is not None and self.now >= self.cancel_at:
            state.stop(RunCancelledError("cancelled"), self.now)
        while running and running[0][0] <= self.now:
            ended, _, attempts, end = heapq.heappop(running)
            started = ended - self.seconds_of(attempts.step.id)
            state.returned(attempts, attempts.attempts, end, started, ended)

    def write(self, batch: Write) -> None:
        for entry in batch.entries:
            name = entry.result.step_id
            assert name not in self.written, "each end is recorded once"
            self.written[name] = entry.result
        for event in batch.events:
            if isinstance(event, CallEnded | StepEnded):
                name = event.result.step_id
                assert name in self.written or name in self.earlier

    def facts_of(self, wanted: LookUp) -> CallFacts:
        if wanted.earlier is not None:
            return CallFacts(earlier=wanted.earlier)
        name = wanted.attempts.call.id
        cached = None
        if self.chance.random() < self.hit_rate and wanted.may_hit:
            self.hits.add(name)
            cached = CachedOutput(name, "tool://t@1.0.0", name, "before", has_artifacts=False)
        return CallFacts({}, "digest", name, None, cached)

    def begin(self, state: RunState, attempts: CallAttempts, at_once: int) -> None:
        name = attempts.call.id
        assert not state.is_over(self.now), "nothing starts once the run is to end"
        for needed in attempts.step.needs:
            known = self.written.get(needed) or self.earlier.get(needed)
            assert known is not None, f"{name} starts before {needed} is written"
            assert known.status is StepStatus.SUCCEEDED
        self.most_at_once = max(self.most_at_once, at_once)
        assert at_once <= state.room
        self.attempts[name] = self.attempts.get(name, 0) + 1
        self.starts.append((self.now, name))

    def end_of(self, attempts: CallAttempts) -> CallFailure | CallOutcome:
        if self.chance.random() < self.fault_rate:
            return CallFailure(self.chance.choice(FAULTS))
        return CallOutcome(attempts.call.id)


@st.composite
def workflows(draw, *, limited: bool = True) -> Workflow:
    count = draw(st.integers(1, 14))
    attempts = draw(st.integers(1, 4))
    retry = RetryPolicy(attempts, delay_seconds=draw(st.sampled_from([0.0, 0.5, 3.0])), jitter=0.0)
    steps = {}
    for number in range(count):
        needs = draw(st.sets(st.integers(0, number - 1), max_size=3)) if number else set()
        foreach = draw(st.none() | st.lists(st.integers(), max_size=4))
        steps[f"s{number}"] = Step(
            f"s{number}", NODE, explicit_needs=tuple(f"s{n}" for n in needs),
            foreach=foreach, retry=retry, timeout_seconds=draw(st.sampled_from([1.5, 100.0] if limited else [100.0])),
        )  # fmt: skip
    breaker = BreakerPolicy(draw(st.integers(0, 4)), draw(st.sampled_from([0.0, 2.0, 20.0])))
    limit = draw(st.none() | st.floats(0.5, 30.0)) if limited else None
    return Workflow("w", steps, breaker=breaker, timeout_seconds=limit)


@settings(deadline=None, max_examples=150)
@given(
    workflows(), st.integers(1, 5), st.floats(0, 1), st.floats(0, 1), st.integers(), st.booleans(),
    st.none() | st.floats(0, 20), st.sampled_from([IsolationLevel.PROCESS, IsolationLevel.INLINE]),
)  # fmt: skip
def test_every_run_ends_and_keeps_its_promises(
    workflow, jobs, fault_rate, hit_rate, seed, fail_fast, cancel_at, level
) -> None:
    simulation = Simulation(
        workflow, jobs, fault_rate, random.Random(seed),
        hit_rate=hit_rate, cancel_at=cancel_at, level=level,
    )  # fmt: skip
    result = simulation.run(fail_fast=fail_fast)
    written = simulation.written
    assert written.keys() >= workflow.steps.keys()
    assert all(found.status.is_final for found in written.values())
    assert result.steps.keys() == written.keys()
    for name, attempts in simulation.attempts.items():
        assert attempts <= workflow.steps[step_of(name)].retry.attempts
        assert written[name].attempts == attempts
        assert name not in simulation.hits
    for name in simulation.hits:
        assert written[name].status is StepStatus.SUCCEEDED
        assert written[name].cached
    refused = {n for n, r in written.items() if r.error is not None and r.error.code == OPEN}
    if not workflow.breaker.failures:
        assert not refused
    deadline = workflow.timeout_seconds
    if (
        deadline is None
        and cancel_at is None
        and not fault_rate
        and level is IsolationLevel.PROCESS
    ):
        slow = {s.id for s in workflow.steps.values()
                if s.timeout_seconds < simulation.seconds_of(s.id)}  # fmt: skip
        if not slow:
            assert result.status is RunStatus.SUCCEEDED
            assert not refused
    for moment, name in simulation.stops:
        limit = workflow.steps[step_of(name)].timeout_seconds
        assert any(c == name and abs(s + limit - moment) < 1e-9 for s, c in simulation.starts)
    if result.error is not None:
        assert result.error.code in (RunCancelledError.code, RunTimeoutError.code)
        ends = [m for m in (cancel_at, deadline) if m is not None]
        assert simulation.now >= min(ends)


@settings(deadline=None, max_examples=60)
@given(workflows(), st.integers(1, 4), st.floats(0, 1), st.integers(), st.floats(0, 15))
def test_a_run_that_goes_on_repeats_nothing_that_succeeded(
    workflow, jobs, fault_rate, seed, cancel_at
) -> None:
    first = Simulation(workflow, jobs, fault_rate, random.Random(seed), cancel_at=cancel_at)
    first.run()
    known = {n: r for n, r in first.written.items() if "[" in n or not workflow.steps[n].is_fan_out}
    options = RunOptions(jobs, fail_fast=False, rerun_in_flight=True)
    second = Simulation(workflow, jobs, 0.0, random.Random(0), options=options, earlier=known)
    second.run()
    done = {name for name, result in known.items() if result.status is StepStatus.SUCCEEDED}
    assert not done & second.attempts.keys()
    assert not done & second.written.keys()


def test_a_call_left_in_flight_is_not_repeated_unless_that_is_safe_or_wanted() -> None:
    workflow = Workflow("w", {"s": Step("s", NODE)})
    left = NodeExecutionResult("s", "tool://t@1.0.0", StepStatus.RUNNING, attempts=1)
    for is_idempotent, rerun, ends in (
        (False, False, "EXE010"),
        (False, True, None),
        (True, False, None),
    ):
        node = StepNode("tool://t@1.0.0", "node", IsolationLevel.PROCESS, is_idempotent)
        planned = PlannedRun("r", workflow, {}, {"s": node}, {}, {"s": left})
        state = RunState(planned, RunOptions(1, rerun_in_flight=rerun), 0.0)
        action = state.next(0.0)
        assert isinstance(action, LookUp)
        state.looked_up(action.attempts, CallFacts())
        action = state.next(0.0)
        if ends is None:
            assert isinstance(action, Start)
        else:
            assert isinstance(action, Write)
            assert action.entries[0].result.error.code == ends
            assert action.entries[0].result.is_left_in_flight


@pytest.mark.parametrize("level", [IsolationLevel.PROCESS, IsolationLevel.INLINE])
def test_a_call_that_takes_too_long_is_told_so_at_every_level(level) -> None:
    workflow = Workflow("w", {"s": Step("s", NODE, timeout_seconds=0.25)})
    simulation = Simulation(workflow, 1, 0.0, random.Random(0), level=level)
    simulation.run()
    assert simulation.written["s"].error.code == StepTimeoutError.code
    assert simulation.written["s"].in_flight
    assert bool(simulation.stops) is (level is IsolationLevel.PROCESS)


@settings(deadline=None)
@given(
    st.integers(1, 5),
    st.floats(0.1, 50),
    st.lists(st.tuples(st.floats(0, 20), st.sampled_from([None, CRASH, RAISED])), max_size=40),
)
def test_a_circuit_opens_rests_and_probes(failures, cooldown, calls) -> None:
    breaker = CircuitBreaker(BreakerPolicy(failures, cooldown))
    now, in_a_row, opened = 0.0, 0, None
    for wait, code in calls:
        now += wait
        admitted = breaker.admits("node", now)
        assert admitted == (opened is None or now >= opened + cooldown)
        if not admitted:
            continue
        if opened is not None:
            assert not breaker.admits("node", now), "one call at a time probes"
        breaker.note("node", code, now)
        in_a_row = in_a_row + 1 if code == CRASH else 0
        if code == CRASH and (in_a_row >= failures or opened is not None):
            opened = now
        elif code != CRASH:
            opened = None
        assert breaker.admits("another", now)


def test_a_breaker_of_no_failures_never_opens() -> None:
    breaker = CircuitBreaker(BreakerPolicy(0))
    for _ in range(100):
        assert breaker.admits("node", 0.0)
        breaker.note("node", CRASH, 0.0)


@settings(deadline=None)
@given(workflows(limited=False), st.integers(1, 5))
def test_the_forecast_is_what_the_simulation_takes(workflow, jobs) -> None:
    """Within what any order of equally good choices may change: it lies between the two bounds."""
    simulation = Simulation(workflow, jobs, 0.0, random.Random(0))
    simulation.urgency = remaining_seconds(
        workflow, {s: simulation.seconds_of(s) for s in workflow.steps}
    )
    simulation.run()
    forecasts = {
        name: StepForecast(len(step.foreach) if step.is_fan_out else 1, simulation.seconds_of(name))
        for name, step in workflow.steps.items()
    }
    seconds = forecast_run_seconds(workflow, forecasts, urgency_of(workflow, forecasts), jobs)
    total = sum(f.calls * f.call_seconds for f in forecasts.values())
    longest = remaining_seconds(
        workflow, {n: f.call_seconds if f.calls else 0.0 for n, f in forecasts.items()}
    )
    for found in (seconds, simulation.now):
        assert max(total / jobs, *longest.values()) - 1e-6 <= found
        # Graham's bound for list scheduling.
        assert found <= total / jobs + max(longest.values()) * (1 - 1 / jobs) + 1e-6


def test_the_most_urgent_step_starts_first() -> None:
    steps = {
        "short": Step("short", NODE),
        "long": Step("long", NODE),
        "after": Step("after", NODE, explicit_needs=("long",)),
    }
    workflow = Workflow("w", steps)
    urgency = remaining_seconds(workflow, {"short": 3.0, "long": 1.0, "after": 5.0})
    assert urgency == {"short": 3.0, "long": 6.0, "after": 5.0}
    simulation = Simulation(workflow, 1, 0.0, random.Random(0), urgency)
    simulation.run()
    assert [call for _, call in simulation.starts] == ["long", "after", "short"]
