"""The scheduler on random graphs with random failures, and the cases that are easy to get wrong."""

from __future__ import annotations

import random
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onex.domain.json_value import JsonValue
from onex.domain.reference import NodeRef
from onex.domain.result import StepError, StepStatus
from onex.domain.workflow import Step, Workflow
from onex.execution.scheduler import Call, Scheduler

NODE = NodeRef.parse("tool://t")
ERROR = StepError("EXE001", "boom")


def scheduler(
    steps: Mapping[str, Step], *, fail_fast: bool = False, **inputs: JsonValue
) -> Scheduler:
    return Scheduler(Workflow("w", steps), inputs, run_id="r", fail_fast=fail_fast)


def take(running: Scheduler, limit: int) -> list[Call]:
    calls = (running.take_ready() for _ in range(limit))
    return [call for call in calls if call is not None]


def drain(running: Scheduler, outcome, *, parallel: int = 4, seed: int = 0) -> list[str]:
    """Run to the end with ends in random order; returns the calls in the order they started."""
    chance = random.Random(seed)
    started: list[str] = []
    open_calls: list[Call] = []
    while not running.is_done:
        taken = take(running, parallel - len(open_calls))
        started += [call.id for call in taken]
        open_calls += taken
        call = open_calls.pop(chance.randrange(len(open_calls)))
        status = outcome(call)
        output = {"id": call.id, "inputs": call.inputs}
        error = None if status is StepStatus.SUCCEEDED else ERROR
        running.finished(call, status, output, error, output)
    return started


@st.composite
def graphs(draw) -> dict[str, Step]:
    count = draw(st.integers(1, 12))
    steps = {}
    for number in range(count):
        needs = draw(st.sets(st.integers(0, number - 1), max_size=3)) if number else set()
        arguments = {f"n{n}": f"${{{{ steps.s{n}.id }}}}" for n in needs}
        steps[f"s{number}"] = Step(f"s{number}", NODE, arguments)
    return steps


@settings(deadline=None)
@given(graphs(), st.sets(st.integers(0, 11)), st.integers(1, 5), st.integers(), st.booleans())
def test_every_step_ends_once_and_after_its_needs(
    steps, failing, parallel, seed, fail_fast
) -> None:
    running = scheduler(steps, fail_fast=fail_fast)
    failed = {f"s{n}" for n in failing}
    started = drain(
        running,
        lambda call: StepStatus.FAILED if call.id in failed else StepStatus.SUCCEEDED,
        parallel=parallel,
        seed=seed,
    )
    ends = [end.step.id for end in running.take_ended()]
    assert sorted(ends) == sorted(steps)
    assert len(started) == len(set(started))
    status = running.status
    assert all(state.is_final for state in status.values())
    for name in started:
        assert all(status[needed] is StepStatus.SUCCEEDED for needed in steps[name].needs)
        assert all(started.index(needed) < started.index(name) for needed in steps[name].needs)
    if not fail_fast:
        doomed = set(failed)
        for name, step in steps.items():
            if step.needs & doomed:
                doomed.add(name)
        assert {n for n, s in status.items() if s is StepStatus.SUCCEEDED} == set(steps) - doomed
        assert {n for n, s in status.items() if s is StepStatus.SKIPPED} == doomed - failed | {
            n for n in failed if n in steps and steps[n].needs & doomed
        }


def fan_out(items: JsonValue) -> dict[str, Step]:
    return {
        "each": Step("each", NODE, {"x": "${{ item.v }}"}, foreach="${{ inputs.items }}"),
        "after": Step("after", NODE, {"all": "${{ steps.each }}"}),
    }


def test_fan_out_keeps_the_order_of_its_items() -> None:
    running = scheduler(fan_out(None), items=[{"v": n} for n in range(20)])
    started = drain(running, lambda call: StepStatus.SUCCEEDED, seed=3)
    assert started[-1] == "after"
    (each, _) = running.take_ended()
    assert [child["inputs"]["x"] for child in each.output] == list(range(20))


def test_an_empty_fan_out_succeeds_with_an_empty_list() -> None:
    running = scheduler(fan_out(None), items=[])
    assert drain(running, lambda call: StepStatus.SUCCEEDED) == ["after"]


@pytest.mark.parametrize("items", ["text", 7, {"a": 1}, None])
def test_a_fan_out_over_something_else_fails_the_step(items: JsonValue) -> None:
    running = scheduler(fan_out(None), items=items)
    assert drain(running, lambda call: StepStatus.SUCCEEDED) == []
    each, after = running.take_ended()
    assert (each.status, each.error.code) == (StepStatus.FAILED, "EXE007")
    assert (after.status, after.error.code) == (StepStatus.SKIPPED, "EXE009")


@pytest.mark.parametrize("fail_fast", [True, False])
def test_a_failed_child_fails_the_step_and_the_others_count(fail_fast: bool) -> None:
    running = scheduler(fan_out(None), fail_fast=fail_fast, items=[{"v": n} for n in range(10)])
    started = drain(
        running,
        lambda call: StepStatus.FAILED if call.id == "each[2]" else StepStatus.SUCCEEDED,
        parallel=1,
    )
    assert len(started) == (3 if fail_fast else 10)
    assert running.status["each"] is StepStatus.FAILED
    assert running.status["after"] is (StepStatus.CANCELLED if fail_fast else StepStatus.SKIPPED)


def test_when_skips_a_step_and_what_needs_it() -> None:
    steps = {
        "a": Step("a", NODE, when="${{ inputs.go }}"),
        "b": Step("b", NODE, explicit_needs=("a",)),
        "c": Step("c", NODE),
    }
    running = scheduler(steps, go=False)
    assert drain(running, lambda call: StepStatus.SUCCEEDED) == ["c"]
    assert running.status["b"] is StepStatus.SKIPPED
    assert drain(scheduler(steps, go=True), lambda call: StepStatus.SUCCEEDED) == ["a", "c", "b"]


def test_a_reference_to_a_missing_part_fails_only_its_step() -> None:
    steps = {"a": Step("a", NODE), "b": Step("b", NODE, {"x": "${{ steps.a.nothing.here }}"})}
    running = scheduler(steps)
    drain(running, lambda call: StepStatus.SUCCEEDED)
    _, b = running.take_ended()
    assert (b.status, b.error.code) == (StepStatus.FAILED, "EXE007")
    assert "'nothing'" in b.error.message


def test_cancelling_ends_everything_that_has_not_started() -> None:
    running = scheduler(fan_out(None), items=[{"v": n} for n in range(5)])
    (first,) = take(running, 1)
    running.cancel()
    assert take(running, 10) == []
    running.finished(first, StepStatus.CANCELLED, None, ERROR, None)
    assert running.is_done
    assert set(running.status.values()) == {StepStatus.CANCELLED}


def test_a_long_chain_needs_no_recursion() -> None:
    steps = {
        f"s{n}": Step(f"s{n}", NODE, explicit_needs=(f"s{n - 1}",) if n else ())
        for n in range(5000)
    }
    assert len(drain(scheduler(steps), lambda call: StepStatus.SUCCEEDED)) == 5000
    failing = scheduler(steps)
    drain(failing, lambda call: StepStatus.FAILED)
    assert list(failing.status.values()).count(StepStatus.SKIPPED) == 4999


def test_a_long_chain_of_empty_fan_outs_needs_no_recursion() -> None:
    steps = {
        f"s{n}": Step(f"s{n}", NODE, foreach=f"${{{{ steps.s{n - 1} }}}}" if n else [])
        for n in range(3000)
    }
    running = scheduler(steps)
    assert running.is_done
    assert set(running.status.values()) == {StepStatus.SUCCEEDED}


def test_a_child_whose_inputs_cannot_be_had_fails_the_step_before_any_runs() -> None:
    running = scheduler(fan_out(None), items=[{"v": 1}, {"w": 2}])
    assert drain(running, lambda call: StepStatus.SUCCEEDED) == []
    assert running.status["each"] is StepStatus.FAILED
