"""Runs that a Python program starts: in one line, beside others, and until it changes its mind."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import subprocess
import sys
import threading
from datetime import datetime, timedelta
from pathlib import Path

import pytest

import onex
from onex import (
    Cancellation,
    RunEnded,
    RunFailedError,
    RunStarted,
    RunStatus,
    StepStarted,
)
from tests.conftest import Project

SLOW = """
import time

def execute(context, *, seconds: float = 60.0):
    (context.workdir / "begun").write_text("")
    time.sleep(seconds)
    return seconds
"""


@pytest.fixture
def project(make_project) -> Project:
    project = make_project("p")
    project.write("onex.toml", '[[sources]]\nname = "nodes"\npath = "nodes"\n')
    project.add("echo")
    project.add("slow", SLOW)
    project.add("fail", "def execute(context):\n    raise ValueError('no such row')\n")
    project.add(
        "write",
        "def execute(context, *, text):\n"
        "    file = context.workdir / 'made.txt'\n    file.write_text(text)\n"
        "    return {'file': context.artifact(file)}\n",
    )
    project.workflow(
        {
            "one": {"node": "echo", "with": {"a": "${{ inputs.a }}"}},
            "two": {"node": "echo", "foreach": [1, 2], "with": {"b": "${{ item }}"}},
        },
        inputs={"a": {"type": "integer", "default": 7}},
        outputs={"a": "${{ steps.one.a }}"},
    )
    return project


# What can be run


def test_a_node_by_any_name_and_a_workflow_by_any_path(project: Project) -> None:
    with project.registry() as registry:
        for target in ("echo", "tool://test.echo@^1", onex.NodeRef.parse("echo")):
            assert registry.run(target, {"x": 1}).outputs == {"result": {"x": 1}}
        file = project.root / "test.workflow.yaml"
        for path in (file, str(file), onex.load_workflow(file)):
            assert registry.run(path, {"a": 3}).outputs == {"a": 3}
        plan = registry.plan(onex.load_workflow(file), {"a": 4})
        assert registry.run(plan).outputs == {"a": 4}


def test_a_path_among_the_inputs_is_handed_over(project: Project) -> None:
    with project.registry() as registry:
        result = registry.run("echo", {"place": Path("/tmp/x")})
    assert result["node"].output == {"place": "/tmp/x"}


def test_the_lock_of_the_project_holds_as_on_the_command_line(project: Project) -> None:
    assert project.onex("lock").code == 0
    project.add("echo", version="1.1.0")
    with project.registry() as registry:
        result = registry.run(project.root / "test.workflow.yaml")
        assert result["one"].node == "tool://test.echo@1.0.0"
        other = project.root / "other.lock"
        with pytest.raises(onex.ConfigurationError):
            registry.run(project.root / "test.workflow.yaml", lock=other)


def test_what_is_not_there_is_refused_with_a_code_and_a_hint(project: Project) -> None:
    with project.registry() as registry:
        with pytest.raises(onex.UsageError) as missing:
            registry.run("missing.workflow.yaml")
        assert missing.value.code == "USE002"
        assert missing.value.hint
        with pytest.raises(onex.NodeNotFoundError):
            registry.run("missing")
        with pytest.raises(TypeError):
            registry.run("echo", job=2)  # type: ignore[call-arg]


# What comes out


def test_a_result_by_step_with_its_files_and_its_timeline(project: Project) -> None:
    with project.registry() as registry:
        result = registry.run(project.root / "test.workflow.yaml")
        assert result["one"].output == {"a": 7}
        assert result["two[1]"].output == {"b": 2}
        assert [row.step_id for row in result.timeline.rows] == ["one", "two"]
        with pytest.raises(onex.UsageError) as unknown:
            result["three"]
        assert unknown.value.hint == "its steps are: one, two"
        made = registry.run("write", {"text": "hello"})
        (artifact,) = made.artifacts
        assert (artifact.name, artifact.size_bytes) == ("made.txt", 5)
        assert Path(artifact.path).read_text() == "hello"
        assert made["node"].artifacts == (artifact,)


def test_a_failed_run_raises_when_it_is_asked_to(project: Project) -> None:
    with project.registry() as registry:
        result = registry.run("fail")
        assert not result.success
        with pytest.raises(RunFailedError) as failed:
            result.raise_for_status()
        error = failed.value
        assert (error.code, error.step_id, error.run_id) == ("EXE001", "node", result.run_id)
        assert "no such row" in error.message
        assert "raise ValueError" in (error.detail or "")
        fine = registry.run("echo")
        assert fine.raise_for_status() is fine


def test_a_call_in_a_script_returns_the_output_or_raises(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in project.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(project.root)
    assert onex.call("echo", x=[1]) == {"x": [1]}
    with pytest.raises(RunFailedError, match=r"step node of run .*no such row"):
        onex.call("fail")
    with pytest.raises(onex.UsageError, match="is a workflow"):
        onex.call("test.workflow.yaml")


# Beside others


def test_runs_that_are_awaited_together(project: Project) -> None:
    async def main() -> None:
        with project.registry() as registry:
            results = await asyncio.gather(
                *(registry.arun("slow", {"seconds": 1.0}) for _ in range(3))
            )
            assert all(result.success for result in results)
            begun = [datetime.fromisoformat(r.started_at) for r in registry.history.runs(None)]
            # One after the other would begin a second apart.
            assert len(begun) == 3
            assert max(begun) - min(begun) < timedelta(seconds=2)

    asyncio.run(main())


def test_events_end_with_the_result(project: Project) -> None:
    async def main() -> None:
        with project.registry() as registry:
            events = [e async for e in registry.run_events("echo", {"x": 1})]
        assert [e.kind for e in events] == [
            "run_started", "step_started", "step_ended", "run_ended",
        ]  # fmt: skip
        ended = events[-1]
        assert isinstance(ended, RunEnded)
        assert ended.result.outputs == {"result": {"x": 1}}

    asyncio.run(main())


def test_an_observer_is_called_by_the_event_loop(project: Project) -> None:
    threads = set()

    async def main() -> None:
        with project.registry() as registry:
            await registry.arun("echo", observer=lambda e: threads.add(threading.get_ident()))

    asyncio.run(main())
    assert threads == {threading.get_ident()}


def test_what_cannot_run_raises_where_it_is_awaited(project: Project) -> None:
    async def main() -> None:
        with project.registry() as registry:
            with pytest.raises(onex.NodeNotFoundError):
                await registry.arun("missing")
            with pytest.raises(onex.NodeNotFoundError):
                async for _ in registry.run_events("missing"):
                    pass

    asyncio.run(main())


# Until somebody changes their mind


def test_cancelling_the_task_cancels_the_run(project: Project) -> None:
    async def main() -> None:
        with project.registry() as registry:
            started = asyncio.Event()

            def observe(event: onex.RunEvent) -> None:
                if isinstance(event, StepStarted):
                    started.set()

            task = asyncio.create_task(registry.arun("slow", observer=observe))
            await started.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            (record,) = registry.history.runs(None)
            assert record.status is RunStatus.CANCELLED

    asyncio.run(main())


def test_leaving_the_events_cancels_the_run(project: Project) -> None:
    async def main() -> None:
        with project.registry() as registry:
            async with contextlib.aclosing(registry.run_events("slow")) as events:
                async for event in events:
                    if isinstance(event, StepStarted):
                        break
            (record,) = registry.history.runs(None)
            assert record.status is RunStatus.CANCELLED

    asyncio.run(main())


def test_another_thread_ends_a_run(project: Project) -> None:
    cancellation = Cancellation()

    def observe(event: onex.RunEvent) -> None:
        if isinstance(event, StepStarted):
            threading.Thread(target=cancellation.request).start()

    with project.registry() as registry:
        result = registry.run("slow", observer=observe, cancellation=cancellation)
    assert result.status is RunStatus.CANCELLED


def test_a_run_that_is_not_wanted_any_more_does_not_begin(project: Project) -> None:
    cancellation = Cancellation()
    cancellation.request()
    seen: list[onex.RunEvent] = []
    with project.registry() as registry:
        result = registry.run("slow", observer=seen.append, cancellation=cancellation)
    assert result.status is RunStatus.CANCELLED
    assert isinstance(seen[0], RunStarted)
    assert not any(isinstance(event, StepStarted) for event in seen)


def test_an_observer_that_fails_at_the_end_leaves_the_record_as_it_is(project: Project) -> None:
    def observe(event: onex.RunEvent) -> None:
        if isinstance(event, RunEnded):
            raise ZeroDivisionError

    with project.registry() as registry:
        with pytest.raises(ZeroDivisionError):
            registry.run("echo", observer=observe)
        (record,) = registry.history.runs(None)
        assert record.status is RunStatus.SUCCEEDED


# The names


def test_every_public_name_is_there_and_says_what_it_is() -> None:
    for name in onex.__all__:
        thing = getattr(onex, name)
        if inspect.isclass(thing) or inspect.isfunction(thing):
            assert thing.__doc__, name
            assert not thing.__doc__.startswith(f"{name}("), name
    assert set(dir(onex)) >= set(onex.__all__)
    with pytest.raises(AttributeError):
        _ = onex.nothing  # type: ignore[attr-defined]


def test_importing_the_package_imports_nothing_else() -> None:
    told = subprocess.run(
        [sys.executable, "-c", "import onex, sys; print([m for m in sys.modules if 'onex' in m])"],
        capture_output=True, text=True, timeout=60, check=True,
    ).stdout  # fmt: skip
    assert told.strip() == "['onex']"
