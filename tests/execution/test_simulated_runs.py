"""Scheduler, retries and circuit breaker on random graphs, in simulated time with random faults."""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from onex.domain.reference import NodeRef
from onex.domain.result import StepError, StepStatus
from onex.domain.retry import COUNTED, BreakerPolicy, RetryPolicy
from onex.domain.workflow import Step, Workflow
from onex.execution.circuit_breaker import CircuitBreaker
from onex.execution.forecast import (
    StepForecast,
    forecast_run_seconds,
    remaining_seconds,
    urgency_of,
)
from onex.execution.scheduler import Call, Scheduler

NODE = NodeRef.parse("tool://t")
CRASH, RAISED, OPEN = "EXE004", "EXE001", "EXE011"
assert CRASH in COUNTED
assert RAISED not in COUNTED


@dataclass
class Simulation:
    """The shell of a run with a clock of its own: a call takes time, fails by chance, is tried again."""

    workflow: Workflow
    jobs: int
    fault_rate: float
    chance: random.Random
    urgency: dict[str, float] = field(default_factory=dict)
    now: float = 0.0
    starts: list[tuple[float, str]] = field(default_factory=list)
    attempts: dict[str, int] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)
    ended_at: dict[str, float] = field(default_factory=dict)
    most_at_once: int = 0

    def seconds_of(self, step_id: str) -> float:
        return 1.0 + len(step_id) % 3

    def run(self, *, fail_fast: bool = False) -> Scheduler:
        scheduler = Scheduler(
            self.workflow, {}, run_id="r", fail_fast=fail_fast, urgency=self.urgency
        )
        breaker = CircuitBreaker(self.workflow.breaker)
        pending: list[tuple[float, int, Call, str | None]] = []
        delayed: list[tuple[float, int, Call]] = []
        number = 0
        while not scheduler.is_done:
            starting: list[Call] = []
            while (
                delayed and delayed[0][0] <= self.now and len(pending) + len(starting) < self.jobs
            ):
                starting.append(heapq.heappop(delayed)[2])
            room = self.jobs - len(pending) - len(starting)
            for call in [*starting, *scheduler.take_ready(room)]:
                number += 1
                if not breaker.admits("node", self.now):
                    self.refused.add(call.id)
                    self.end(scheduler, call, OPEN)
                    continue
                self.attempts[call.id] = self.attempts.get(call.id, 0) + 1
                self.starts.append((self.now, call.id))
                code = None
                if self.chance.random() < self.fault_rate:
                    code = self.chance.choice([CRASH, RAISED])
                heapq.heappush(
                    pending, (self.now + self.seconds_of(call.step.id), number, call, code)
                )
            self.most_at_once = max(self.most_at_once, len(pending))
            moments = [entry[0] for entry in pending[:1]]
            if delayed and len(pending) < self.jobs:
                moments.append(delayed[0][0])
            if not moments:
                continue
            self.now = max(self.now, min(moments))
            while pending and pending[0][0] <= self.now:
                _, _, call, code = heapq.heappop(pending)
                breaker.note("node", code, self.now)
                attempt = self.attempts[call.id]
                delay = None if code is None else call.step.retry.delay_after(attempt, code, 0.5)
                if delay is None or scheduler.is_stopping:
                    self.end(scheduler, call, code)
                else:
                    number += 1
                    heapq.heappush(delayed, (self.now + delay, number, call))
            if scheduler.is_stopping:
                while delayed:
                    self.end(scheduler, delayed.pop()[2], "EXE005")
        return scheduler

    def end(self, scheduler: Scheduler, call: Call, code: str | None) -> None:
        self.ended_at[call.id] = self.now
        error = None if code is None else StepError(code, "fault")
        status = StepStatus.SUCCEEDED if code is None else StepStatus.FAILED
        scheduler.finished(call, status, call.id, error)


@st.composite
def workflows(draw) -> Workflow:
    count = draw(st.integers(1, 14))
    attempts = draw(st.integers(1, 4))
    retry = RetryPolicy(attempts, delay_seconds=draw(st.sampled_from([0.0, 0.5, 3.0])), jitter=0.0)
    steps = {}
    for number in range(count):
        needs = draw(st.sets(st.integers(0, number - 1), max_size=3)) if number else set()
        foreach = draw(st.none() | st.lists(st.integers(), max_size=4))
        steps[f"s{number}"] = Step(
            f"s{number}", NODE, explicit_needs=tuple(f"s{n}" for n in needs),
            foreach=foreach, retry=retry,
        )  # fmt: skip
    breaker = BreakerPolicy(draw(st.integers(0, 4)), draw(st.sampled_from([0.0, 2.0, 20.0])))
    return Workflow("w", steps, breaker=breaker)


@settings(deadline=None, max_examples=300)
@given(workflows(), st.integers(1, 5), st.floats(0, 1), st.integers(), st.booleans())
def test_every_run_ends_and_keeps_its_promises(workflow, jobs, fault_rate, seed, fail_fast) -> None:
    simulation = Simulation(workflow, jobs, fault_rate, random.Random(seed))
    scheduler = simulation.run(fail_fast=fail_fast)
    assert all(status.is_final for status in scheduler.status.values())
    assert simulation.most_at_once <= jobs
    for call_id, attempts in simulation.attempts.items():
        assert attempts <= workflow.steps[call_id.partition("[")[0]].retry.attempts
    for moment, call_id in simulation.starts:
        for needed in workflow.steps[call_id.partition("[")[0]].needs:
            assert scheduler.status[needed] is StepStatus.SUCCEEDED
            ends = [
                t for name, t in simulation.ended_at.items() if name.partition("[")[0] == needed
            ]
            assert all(end <= moment for end in ends)
    if not fault_rate:
        assert set(scheduler.status.values()) == {StepStatus.SUCCEEDED}
        assert not simulation.refused
    if not workflow.breaker.failures:
        assert not simulation.refused


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
@given(workflows(), st.integers(1, 5))
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
