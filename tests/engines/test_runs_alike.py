"""One contract of runs for nodes that run inline, in processes, confined, and on a Dask cluster."""

from __future__ import annotations

import json
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from onex.domain.errors import OnexError
from onex.domain.grant import RunAccess
from onex.domain.reference import NodeRef
from onex.domain.result import IsolationLevel, RunResult, RunStatus, StepStatus
from onex.domain.retry import BreakerPolicy, RetryPolicy
from onex.domain.workflow import Step, Workflow
from tests.conftest import Project
from tests.engines.conftest import SECRET

NODE = """\
import os, sys, time
from pathlib import Path

def execute(context, *, do="give", value=None, file=None, seconds=0.0, folder=None, text=""):
    print(f"told {text}", flush=True)
    if do == "fail":
        raise ValueError(f"no {value}")
    if do == "die":
        os._exit(7)
    if do == "sleep":
        time.sleep(seconds)
    if do == "progress":
        for part in range(1, 5):
            context.progress(part / 4, f"part {part}")
            time.sleep(0.1)
    if do == "write":
        path = context.workdir / "made.txt"
        path.write_text(str(value))
        return {"file": context.artifact(path), "size": len(str(value))}
    if do == "read":
        return Path(file).read_text()
    if do == "count":
        place = Path(folder) / "calls"
        with place.open("a") as calls:
            calls.write("x")
        if len(place.read_text()) < value:
            raise RuntimeError("not yet")
        return len(place.read_text())
    if do == "secret":
        print("the key is", context.get_secret("KEY"))
        return len(context.get_secret("KEY"))
    if do == "nan":
        return float("nan")
    return value
"""
ENGINES = ["inline", "process", "strict", pytest.param("dask", marks=pytest.mark.slow)]
FILE = {"type": "string", "format": "path"}


@dataclass
class Runs:
    """Runs workflows of one project on one engine."""

    project: Project
    engine: str
    how: dict[str, object] = field(default_factory=dict)

    @property
    def level(self) -> IsolationLevel:
        return IsolationLevel.STRICT if self.engine == "dask" else IsolationLevel(self.engine)

    @property
    def ends_calls(self) -> bool:
        """Whether a call can be ended from outside."""
        return self.engine != "inline"

    def run(
        self, *steps: Step, observer=lambda event: None, inputs=None, outputs=None, **fields
    ) -> RunResult:
        how = {k: fields.pop(k) for k in ("use_cache", "jobs", "fail_fast") if k in fields}
        flow = Workflow("w", {s.id: s for s in steps}, outputs=outputs or {}, **fields)
        with self.project.registry() as registry:
            plan = registry.plan(flow, inputs or {}, access=RunAccess(self.level))
            return registry.run(plan, observer=observer, **self.how, **how)


@pytest.fixture(params=ENGINES)
def runs(request: pytest.FixtureRequest, project: Project, tmp_path: Path) -> Runs:
    made = Runs(project, request.param)
    project.add("it", NODE, idempotent=True, capabilities=[f"file.write:{tmp_path}/shared/**"],
                inputs={"do": {"type": "string", "default": "give"}, "value": {"default": None},
                        "file": {**FILE, "default": "/"}, "seconds": {"type": "number", "default": 0},
                        "folder": {"type": "string", "default": ""}, "text": {"type": "string", "default": ""}})  # fmt: skip
    project.add("once", NODE)
    project.add("keeper", NODE, capabilities=["secret.access:KEY"])
    project.environment["ONEX_SECRET_KEY"] = SECRET
    (tmp_path / "shared").mkdir()
    if request.param == "dask":
        cluster = request.getfixturevalue("cluster")
        project.environment["ONEX_ARTIFACTS"] = str(tmp_path / "store")
        made.how = {"engine": "dask", "scheduler": cluster.scheduler_address}
    project.scan()
    return made


def step(
    name: str, node: str = "it", *, fields: dict[str, object] | None = None, **arguments
) -> Step:
    return Step(name, NodeRef.parse(node), arguments, **(fields or {}))


def error_of(result: RunResult, name: str):
    error = result.steps[name].error
    assert error is not None
    return error


def test_results_go_from_step_to_step(runs: Runs) -> None:
    result = runs.run(
        step("a", value=[1, {"b": "ü"}]),
        step("b", value="${{ steps.a[1].b }}"),
        step("c", fields={"foreach": [1, 2, 3]}, value="${{ item }}"),
        outputs={"b": "${{ steps.b }}", "c": "${{ steps.c }}"},
    )
    assert result.success
    assert result.outputs == {"b": "ü", "c": [1, 2, 3]}
    assert result.steps["a"].isolation is runs.level
    assert result.steps["a"].attempts == 1
    assert 0 < result.steps["a"].seconds < 60


def test_artifacts_are_handed_on_and_end_up_here(runs: Runs) -> None:
    result = runs.run(
        step("a", do="write", value="content"),
        step("b", do="read", file="${{ steps.a.file }}"),
        outputs={"text": "${{ steps.b }}", "file": "${{ steps.a.file }}"},
    )
    assert result.success, [s.error for s in result.steps.values()]
    assert result.outputs["text"] == "content"
    made = Path(result.outputs["file"]["path"])
    assert made.is_relative_to(runs.project.home)
    assert made.read_text() == "content"
    with runs.project.registry() as registry:
        found = registry.history.provenance(result.outputs["file"]["$artifact"])
        assert found.calls[0].id == "a"


def test_the_second_run_is_cached_and_a_resumed_one_goes_on(runs: Runs, tmp_path: Path) -> None:
    steps = (step("a", do="write", value="x"), step("b", "once", do="fail", value="luck"),
             step("c", do="read", file="${{ steps.a.file }}"))  # fmt: skip
    first = runs.run(*steps, fail_fast=False)
    assert first.status is RunStatus.FAILED
    again = runs.run(*steps, fail_fast=False)
    assert again.steps["a"].cached
    assert again.steps["c"].cached
    assert not again.steps["b"].cached
    with runs.project.registry() as registry:
        resumed = registry.resume(first.run_id, **runs.how)
        assert resumed.run_id == first.run_id
        recorded = registry.history.run(first.run_id)
        assert recorded.steps["a"].status is StepStatus.SUCCEEDED
        assert error_of(resumed, "b").code == "EXE001"
        report = registry.replay(again.run_id, **runs.how)
        assert report.differences == ()


def test_failures_have_their_codes_logs_and_places(runs: Runs) -> None:
    bad = [
        step("fails", "once", do="fail", value="way", text="this"),
        step("odd", "once", do="nan"),
    ]
    if runs.ends_calls:
        bad.append(step("dies", "once", do="die"))
        bad.append(step("slow", "once", fields={"timeout_seconds": 1.0}, do="sleep", seconds=60.0))
    result = runs.run(*bad, step("good", value=1), fail_fast=False)
    assert not result.success
    assert result.steps["good"].status is StepStatus.SUCCEEDED
    failed = error_of(result, "fails")
    assert (failed.code, failed.message) == ("EXE001", "ValueError: no way")
    assert "node.py" in (failed.detail or "")
    assert str(runs.project.nodes) in (failed.detail or ""), (
        "places are those of the author's files"
    )
    assert result.steps["fails"].log == "told this\n"
    assert error_of(result, "odd").code == "EXE002"
    if runs.ends_calls:
        assert error_of(result, "dies").code == "EXE004"
        assert error_of(result, "slow").code == "EXE003"
        assert "within 1 s" in error_of(result, "slow").message
        assert result.steps["slow"].log == "told \n"
        assert result.steps["slow"].in_flight
        assert not result.steps["fails"].in_flight


def test_a_call_is_tried_again_as_its_policy_says(runs: Runs, tmp_path: Path) -> None:
    policy = RetryPolicy(attempts=4, delay_seconds=0.01)
    result = runs.run(
        step("a", fields={"retry": policy}, do="count", value=3, folder=str(tmp_path / "shared"))
    )
    assert result.success, error_of(result, "a")
    assert result.steps["a"].output == 3
    assert result.steps["a"].attempts == 3
    assert "attempt 2 failed with EXE001" in result.steps["a"].log


def test_the_first_failure_ends_the_run_if_it_is_to(runs: Runs, tmp_path: Path) -> None:
    started = time.monotonic()
    long = 60.0 if runs.ends_calls else 0.5
    result = runs.run(
        step("fails", "once", do="fail", value="chance"),
        step("long", "once", do="sleep", seconds=long),
        step("after", needs=None, value="${{ steps.long }}")
        if False
        else step("after", value="${{ steps.long }}"),
        fail_fast=True,
    )
    assert time.monotonic() - started < 50
    assert error_of(result, "fails").code == "EXE001"
    if runs.ends_calls:
        assert result.steps["long"].status is StepStatus.CANCELLED
    assert result.steps["after"].status is StepStatus.CANCELLED


def test_a_node_that_fails_on_and_on_rests(runs: Runs) -> None:
    if not runs.ends_calls:
        pytest.skip("failures of inline nodes are those of their inputs, which are not counted")
    result = runs.run(
        *(step(f"s{n}", "once", do="die") for n in range(6)),
        fail_fast=False, jobs=1, breaker=BreakerPolicy(2, 60.0),
    )  # fmt: skip
    codes = [error_of(result, f"s{n}").code for n in range(6)]
    assert sorted(codes) == codes
    assert codes.count("EXE011") >= 2


def test_cancelling_ends_what_runs_and_starts_nothing_more(runs: Runs, tmp_path: Path) -> None:
    if not runs.ends_calls:
        pytest.skip("a thread cannot be ended: inline calls end by themselves")
    shared = tmp_path / "shared"
    runs.project.workflow(
        {
            "long": {"node": "once", "with": {"do": "sleep", "seconds": 60.0}},
            "many": {
                "node": "it",
                # Many enough to outlast a test that is held up for seconds.
                "foreach": list(range(400)),
                "with": {"do": "count", "value": 0, "folder": str(shared), "seconds": 0.3},
            },
            "more": {
                "node": "once",
                "foreach": list(range(9)),
                "with": {"do": "sleep", "seconds": 60.0},
            },
        }
    )
    options = [f"--{name}={value}" for name, value in runs.how.items()]
    process = runs.project.start(
        "run", "test.workflow.yaml", "--jobs", "4", "--isolation", runs.level.value, *options
    )
    deadline = time.monotonic() + 60
    while not (shared / "calls").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 130
    made = (shared / "calls").read_text()
    with runs.project.registry() as registry:
        (listed,) = registry.history.runs()
        run = registry.history.run(listed.run_id)
    assert run.status is RunStatus.CANCELLED
    assert {run.steps[name].status for name in ("long", "many", "more")} == {StepStatus.CANCELLED}
    begun = [s for s in run.steps.values() if s.in_flight]
    assert len(begun) <= 5, "what did not begin is not in flight"
    time.sleep(0.5)
    assert (shared / "calls").read_text() == made, "none runs afterwards"


def test_progress_and_prints_are_told_live(runs: Runs) -> None:
    seen: list[tuple[str, object]] = []
    live: list[str] = []

    def observer(event) -> None:
        seen.append((event.kind, getattr(event, "fraction", None)))
        with runs.project.registry() as registry:
            running = [r for r in registry.history.runs() if r.status is RunStatus.RUNNING]
            for run in running:
                live.extend(registry.history.live_logs(run.run_id).values())

    result = runs.run(
        step("a", do="progress"),
        step("b", do="sleep", seconds=0.8, text="while it runs"),
        observer=observer,
    )
    assert result.success
    if runs.engine == "inline":
        return
    fractions = [fraction for kind, fraction in seen if kind == "progress"]
    assert 1.0 in fractions or len(fractions) >= 2
    assert "told while it runs\n" in live
    assert result.steps["b"].log == "told while it runs\n"


def test_secrets_are_had_and_never_shown(runs: Runs) -> None:
    result = runs.run(step("a", "keeper", do="secret"))
    assert result.success, error_of(result, "a")
    assert result.steps["a"].output == len(SECRET)
    assert SECRET not in result.steps["a"].log
    assert "[secret KEY]" in result.steps["a"].log
    with runs.project.registry() as registry:
        recorded = json.dumps(registry.history.run(result.run_id).to_json(), default=str)
    assert SECRET not in recorded


def test_a_confined_node_reads_nothing_that_it_was_not_handed(runs: Runs, tmp_path: Path) -> None:
    if runs.level is not IsolationLevel.STRICT:
        pytest.skip("only what is confined is held to this")
    outside = tmp_path / "outside.txt"
    outside.write_text("private")
    refused = runs.run(step("a", "once", do="read", file=str(outside)))
    assert error_of(refused, "a").code == "EXE001"
    assert "denied" in error_of(refused, "a").message.lower()
    handed = runs.run(step("a", do="read", file=str(outside)))
    assert handed.steps["a"].output == "private", error_of(handed, "a")


def test_what_a_run_asks_of_a_node_that_is_not_there_is_refused(runs: Runs) -> None:
    (runs.project.nodes / "it-1.0.0" / "node.py").write_text("changed = 1\n")
    with pytest.raises(OnexError) as refused:
        runs.run(step("a", value=1))
    assert refused.value.code == "SEC002"
