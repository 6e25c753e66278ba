"""A run on a thousand workers, simulated: the real state machine, and a model of everything else.

Usage: simulation.py [--steps 1000000] [--workers 1000] [--seconds 10] and more. Simulated are the
workers, which take the calls of a batch one after another, die and come back, and the time that
the host, its database and Dask's scheduler need; what they need was measured on small clusters by
cluster.py and history.py. Real is RunState, which decides what starts, repeats what was lost, and
ends the run; what it needs itself, in time and memory, is measured here.
"""

from __future__ import annotations

import argparse
import heapq
import math
import random
import resource
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from onex.domain.errors import WorkerDiedError
from onex.domain.reference import NodeRef
from onex.domain.result import CallEnd, CallFailure, CallOutcome, IsolationLevel, RunResult
from onex.domain.retry import BreakerPolicy, RetryPolicy
from onex.domain.workflow import Step, Workflow
from onex.engines.dask import BATCH_SECONDS, MAXIMUM_BATCH, SLOTS_OF_REPEATABLE
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
    Wait,
    Write,
)
from onex.execution.run_state import PlannedRun, RunState
from onex.execution.scheduler import MAXIMUM_FAN_OUT

ATTEMPTS = 5
LATENCY_SECONDS = 0.002
DETECTION_SECONDS = 30.0
RESTART_SECONDS = 60.0
TAIL = 0.5
"""The spread of the time of calls: the standard deviation of its logarithm."""


@dataclass(frozen=True)
class Model:
    """What is simulated; times are seconds.

    ``host``, ``scheduler`` and ``entry`` are the time that the host needs for a call, Dask's
    scheduler for a batch, and the database for an entry; ``commit`` is that for a transaction.
    ``life`` is the mean time until a worker dies.
    """

    steps: int
    workers: int
    call: float
    host: float
    scheduler: float
    entry: float
    commit: float
    life: float
    seed: int


@dataclass
class Cluster:
    """Workers that take batches in turn, as Dask hands them out."""

    model: Model
    chance: random.Random
    idle: int = 0
    busy_seconds: float = 0.0
    lost_calls: int = 0
    deaths: int = 0
    _waiting: deque[list[CallAttempts]] = field(default_factory=deque)
    _events: list[tuple[float, int, Callable[[float], None]]] = field(default_factory=list)
    _count: int = 0
    _scheduler_free: float = 0.0
    returned: list[tuple[CallAttempts, int, CallEnd, float, float]] = field(default_factory=list)

    @property
    def next_moment(self) -> float:
        return self._events[0][0] if self._events else math.inf

    def at(self, moment: float, event: Callable[[float], None]) -> None:
        self._count += 1
        heapq.heappush(self._events, (moment, self._count, event))

    def advance(self, now: float) -> None:
        while self._events and self._events[0][0] <= now:
            moment, _, event = heapq.heappop(self._events)
            event(moment)

    def submit(self, calls: list[CallAttempts], now: float) -> None:
        share = -(-len(calls) // self.model.workers)
        size = max(1, min(share, MAXIMUM_BATCH, int(BATCH_SECONDS / self.model.call)))
        for start in range(0, len(calls), size):
            batch = calls[start : start + size]
            self._scheduler_free = max(self._scheduler_free, now) + self.model.scheduler
            self.at(self._scheduler_free + LATENCY_SECONDS, lambda m, b=batch: self._arrive(b, m))

    def _arrive(self, batch: list[CallAttempts], moment: float) -> None:
        self._waiting.append(batch)
        self._take_up(moment)

    def _free(self, moment: float) -> None:
        self.idle += 1
        self._take_up(moment)

    def _take_up(self, moment: float) -> None:
        while self.idle and self._waiting:
            self.idle -= 1
            self._work(self._waiting.popleft(), moment)

    def _work(self, batch: list[CallAttempts], moment: float) -> None:
        mean = math.log(self.model.call) - TAIL**2 / 2
        times = [self.chance.lognormvariate(mean, TAIL) for _ in batch]
        dies_at = moment + self.chance.expovariate(1 / self.model.life)
        ended = moment + sum(times)
        numbers = [attempts.attempts for attempts in batch]
        if dies_at < ended:
            self.deaths += 1
            self.lost_calls += len(batch)
            self.busy_seconds += dies_at - moment
            failure = CallFailure(WorkerDiedError("its worker died"))
            told = dies_at + DETECTION_SECONDS
            lost = [
                (attempts, number, failure, moment, told)
                for attempts, number in zip(batch, numbers, strict=True)
            ]
            self.at(told, lambda _: self.returned.extend(lost))
            self.at(dies_at + RESTART_SECONDS, self._free)
            return
        self.busy_seconds += ended - moment
        ends = []
        for attempts, number, seconds in zip(batch, numbers, times, strict=True):
            ends.append((attempts, number, CallOutcome(1), moment, moment + seconds))
            moment += seconds
        self.at(ended, self._free)
        self.at(ended + LATENCY_SECONDS, lambda _: self.returned.extend(ends))


@dataclass
class Simulated:
    """What came out: the run, its simulated seconds, and what the state machine really took."""

    result: RunResult
    seconds: float
    machine_seconds: float
    write_count: int
    recorded: dict[str, int]
    cluster: Cluster


def workflow_of(steps: int) -> Workflow:
    retry = RetryPolicy(ATTEMPTS, delay_seconds=1.0, jitter=0.5)
    node = NodeRef.parse("tool://work")

    def parts() -> Iterator[Step]:
        for number, start in enumerate(range(0, steps, MAXIMUM_FAN_OUT)):
            items = list(range(start, min(start + MAXIMUM_FAN_OUT, steps)))
            yield Step(f"map{number}", node, foreach=items, retry=retry, timeout_seconds=1e9)

    maps = {step.id: step for step in parts()}
    last = Step("reduce", node, explicit_needs=tuple(maps), retry=retry, timeout_seconds=1e9)
    return Workflow("simulated", {**maps, "reduce": last}, breaker=BreakerPolicy(0))


def simulate(model: Model) -> Simulated:
    """Run the state machine against the model, from the first call to the last."""
    chance = random.Random(model.seed)
    workflow = workflow_of(model.steps)
    node = StepNode(
        "tool://work@1.0.0", "work", IsolationLevel.PROCESS, is_idempotent=True, is_timed=True
    )
    planned = PlannedRun("simulated", workflow, {}, dict.fromkeys(workflow.steps, node))
    cluster = Cluster(model, chance, idle=model.workers)
    options = RunOptions(model.workers * SLOTS_OF_REPEATABLE, use_cache=False)
    now, machine, writes = 0.0, 0.0, 0
    recorded: dict[str, int] = {}
    unsent: list[CallAttempts] = []
    clock = time.perf_counter
    before = clock()
    state = RunState(planned, options, now, chance=chance.random)
    machine += clock() - before
    while True:
        cluster.advance(now)
        before = clock()
        for attempts, number, end, started, ended in cluster.returned:
            state.returned(attempts, number, end, started, ended)
        cluster.returned.clear()
        action = state.next(now)
        machine += clock() - before
        if not isinstance(action, LookUp | Start) or len(unsent) >= MAXIMUM_BATCH * 8:
            if unsent:
                cluster.submit(unsent, now)
            unsent = []
        before = clock()
        match action:
            case LookUp(attempts):
                state.looked_up(attempts, CallFacts())
            case Start(attempts):
                unsent.append(attempts)
                now += model.host / 2
            case Check(attempts, end):
                now += model.host / 2
                checked = CheckedOutput(1, 1) if isinstance(end, CallOutcome) else end
                state.ended(attempts, checked, now)
            case Write(entries):
                writes += 1
                now += model.commit + model.entry * len(entries)
                for entry in entries:
                    name = entry.result.step_id
                    recorded[name] = recorded.get(name, 0) + 1
            case Wait(until):
                now = max(now, min(until, cluster.next_moment))
                assert now < math.inf, "the run waits for nothing"
            case Done():
                result = state.result(now)
                return Simulated(result, now, machine, writes, recorded, cluster)
            case other:
                raise AssertionError(other)
        machine += clock() - before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("--workers", type=int, default=1_000)
    parser.add_argument("--seconds", type=float, default=10.0, help="the mean time of a call")
    parser.add_argument("--host-us", type=float, default=400.0, help="of the host for a call")
    parser.add_argument("--scheduler-us", type=float, default=500.0, help="of Dask for a task")
    parser.add_argument("--entry-us", type=float, default=170.0, help="of the database")
    parser.add_argument("--commit-ms", type=float, default=2.0)
    parser.add_argument("--life-hours", type=float, default=50.0, help="until a worker dies")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    model = Model(
        given.steps, given.workers, given.seconds, given.host_us / 1e6, given.scheduler_us / 1e6,
        given.entry_us / 1e6, given.commit_ms / 1e3, given.life_hours * 3600, given.seed,
    )  # fmt: skip
    found = simulate(model)
    cluster = found.cluster
    assert found.result.success, found.result.error
    assert set(found.recorded.values()) == {1}, "each end is recorded once"
    assert len(found.recorded) == given.steps + 1 + -(-given.steps // MAXIMUM_FAN_OUT)
    ideal = given.steps * given.seconds / given.workers
    used = cluster.busy_seconds / (found.seconds * given.workers)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{given.steps:,} calls of {given.seconds:g} s on {given.workers:,} workers (simulated)")
    print(f"takes {found.seconds:,.0f} s; without any loss {ideal:,.0f} s; workers busy {used:.0%}")
    print(f"{cluster.deaths} workers died, {cluster.lost_calls} calls were lost and repeated")
    print(f"{found.write_count:,} transactions of the host")
    machine = found.machine_seconds / given.steps * 1e6
    print(f"measured: {machine:.0f} us of the state machine a call, peak of memory {peak:,.0f} MiB")


if __name__ == "__main__":
    main()
