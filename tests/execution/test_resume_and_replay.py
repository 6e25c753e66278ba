"""Runs that go on after they were killed, and runs that are repeated and compared."""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from onex.domain.retry import BreakerPolicy, RetryPolicy
from onex.domain.workflow import Step, Workflow
from tests.conftest import Project
from tests.execution.test_run import processes_of

pytestmark = pytest.mark.unconfined

COUNTING = """
import pathlib, time
def execute(context, *, folder: str, name: str, wait: bool = False, after: list = ()):
    path = pathlib.Path(folder)
    runs = len(list(path.glob(name + ".*")))
    (path / f"{name}.{runs}").touch()
    while wait and not (path / "go").exists():
        time.sleep(0.01)
    return name
"""


@pytest.fixture
def counting(project: Project) -> Project:
    """A node that leaves a file for each of its calls, idempotent and not."""
    (project.root / "calls").mkdir()
    project.add("once", COUNTING)
    project.add("again", COUNTING, idempotent=True)
    project.scan()
    return project


def calls(project: Project, name: str) -> int:
    return len(list((project.root / "calls").glob(f"{name}.*")))


def step(project: Project, node: str, name: str, **fields: object) -> dict[str, object]:
    arguments = {"folder": str(project.root / "calls"), "name": name}
    wait = {"wait": True} if fields.pop("wait", False) else {}
    return {"node": node, "with": arguments | wait, **fields}


def recorded(project: Project) -> int:
    """How many calls are in the history as succeeded."""
    with closing(
        sqlite3.connect(f"file:{project.home / 'history.db'}?mode=ro", uri=True)
    ) as history:
        found = history.execute("SELECT count(*) FROM steps WHERE status = 'succeeded'")
        return found.fetchone()[0]


def killed_run(project: Project, waiting_for: str, ended: int = 0) -> str:
    """Start the workflow, kill it once a call has started and others ended; return the run."""
    process = project.start("run", "test.workflow.yaml", "--jobs", "2")
    deadline = time.monotonic() + 60
    while not calls(project, waiting_for) or (ended and recorded(project) < ended):
        assert time.monotonic() < deadline, "the call did not start, or others did not end"
        assert process.poll() is None, "the run ended by itself"
        time.sleep(0.01)
    process.kill()
    process.wait()
    deadline = time.monotonic() + 60
    while processes_of(project.home):
        assert time.monotonic() < deadline, "a worker stayed behind"
        time.sleep(0.02)
    (run,) = project.onex_here("runs", "list", "--format", "json").json["runs"]
    assert run["status"] == "interrupted"
    return run["run_id"]


def resume(project: Project, run_id: str, *options: str):
    return project.onex_here("run", "--resume", run_id, "--format", "json", *options)


def test_only_what_had_not_ended_is_run_again(counting: Project) -> None:
    counting.workflow(
        {
            "first": step(counting, "once", "first"),
            "held": step(counting, "again", "held", wait=True, needs=["first"]),
            "last": step(counting, "once", "last", needs=["held"]),
        },
        outputs={"all": ["${{ steps.first }}", "${{ steps.held }}", "${{ steps.last }}"]},
    )
    run_id = killed_run(counting, "held")
    shown = counting.onex_here("runs", "show", run_id)
    assert "held  in flight when last heard of" in shown.stdout
    (counting.root / "calls" / "go").touch()
    done = resume(counting, run_id[:20])
    assert done.code == 0, done.stdout + done.stderr
    assert done.json["run_id"] == run_id
    assert done.json["outputs"] == {"all": ["first", "held", "last"]}
    assert [calls(counting, name) for name in ("first", "held", "last")] == [1, 2, 1]
    (run,) = counting.onex_here("runs", "list", "--format", "json").json["runs"]
    assert run["status"] == "succeeded"
    again = resume(counting, run_id)
    assert (again.code, again.json["error"]["code"]) == (2, "RUN002")


def test_a_call_in_flight_is_not_made_again_unless_that_is_safe_or_said(counting: Project) -> None:
    counting.workflow({"held": step(counting, "once", "held", wait=True)})
    run_id = killed_run(counting, "held")
    (counting.root / "calls" / "go").touch()
    refused = resume(counting, run_id)
    assert refused.code == 1
    assert refused.json["steps"]["held"]["error"]["code"] == "EXE010"
    assert calls(counting, "held") == 1


def test_odd_lines_among_the_starts_do_no_harm(counting: Project) -> None:
    counting.workflow({"held": step(counting, "again", "held", wait=True)})
    run_id = killed_run(counting, "held")
    with (counting.home / "starts" / run_id).open("ab") as starts:
        starts.write(b"nobody\n\xff\xfe\n[3]\nheld[\n")
    (counting.root / "calls" / "go").touch()
    assert resume(counting, run_id).code == 0


def test_the_user_may_say_that_a_call_in_flight_is_made_again(counting: Project) -> None:
    counting.workflow({"held": step(counting, "once", "held", wait=True)})
    run_id = killed_run(counting, "held")
    (counting.root / "calls" / "go").touch()
    done = resume(counting, run_id, "--rerun-in-flight")
    assert done.code == 0
    assert calls(counting, "held") == 2


def test_children_of_a_fan_out_are_taken_over_one_by_one(counting: Project) -> None:
    arguments = {"folder": str(counting.root / "calls"), "name": "${{ item.name }}",
                 "wait": "${{ item.wait }}"}  # fmt: skip
    items = [{"name": f"n{i}", "wait": i == 5} for i in range(8)]
    counting.workflow(
        {"each": {"node": "again", "foreach": items, "with": arguments}},
        outputs={"names": "${{ steps.each }}"},
    )
    run_id = killed_run(counting, "n5", ended=7)
    (counting.root / "calls" / "go").touch()
    done = resume(counting, run_id, "--no-cache")
    assert done.json["outputs"] == {"names": [f"n{i}" for i in range(8)]}
    assert [calls(counting, f"n{i}") for i in range(5)] == [1] * 5
    assert calls(counting, "n5") == 2


def test_a_run_that_failed_goes_on_where_it_failed(project: Project) -> None:
    project.add(
        "gate", "import os\ndef execute(context, *, file):\n    return os.stat(file).st_size\n"
    )
    project.add("tell")
    project.scan()
    project.workflow(
        {"a": {"node": "tell", "with": {"n": 1}},
         "b": {"node": "gate", "with": {"file": str(project.root / "gate")}, "needs": ["a"]}}
    )  # fmt: skip
    failed = project.onex_here("run", "test.workflow.yaml", "--format", "json")
    assert failed.code == 1
    (project.root / "gate").write_text("open")
    done = resume(project, failed.json["run_id"])
    assert done.code == 0
    assert done.json["steps"]["b"]["status"] == "succeeded"


def test_a_call_that_failed_and_was_made_again_is_in_flight_when_that_is_killed(
    project: Project,
) -> None:
    (project.root / "calls").mkdir()
    code = (
        "import pathlib, time\n"
        "def execute(context, *, folder):\n"
        "    path = pathlib.Path(folder)\n"
        "    if not (path / 'second').exists():\n"
        "        raise ValueError('first')\n"
        "    (path / 'held.0').touch()\n"
        "    time.sleep(600)\n"
    )
    project.add("twice", code)
    project.scan()
    project.workflow({"a": {"node": "twice", "with": {"folder": str(project.root / "calls")}}})
    failed = project.onex_here("run", "test.workflow.yaml", "--format", "json").json
    assert failed["steps"]["a"]["error"]["code"] == "EXE001"
    (project.root / "calls" / "second").touch()
    process = project.start("run", "--resume", failed["run_id"])
    deadline = time.monotonic() + 60
    while not calls(project, "held"):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.kill()
    process.wait()
    refused = resume(project, failed["run_id"])
    assert refused.json["steps"]["a"]["error"]["code"] == "EXE010"
    again = resume(project, failed["run_id"])
    # The refusal does not tell how the call ended: asked for once more, it is refused again.
    assert again.json["steps"]["a"]["error"]["code"] == "EXE010"


def test_code_that_changed_is_not_mixed_into_a_run(counting: Project) -> None:
    counting.workflow({"held": step(counting, "again", "held", wait=True)})
    run_id = killed_run(counting, "held")
    counting.add("again", COUNTING + "# changed\n", idempotent=True)
    counting.scan()
    refused = resume(counting, run_id)
    assert (refused.code, refused.json["error"]["code"]) == (5, "SEC002")


def test_a_run_that_still_runs_cannot_be_taken_over(counting: Project) -> None:
    counting.workflow({"held": step(counting, "once", "held", wait=True)})
    process = counting.start("run", "test.workflow.yaml")
    try:
        deadline = time.monotonic() + 60
        while not calls(counting, "held"):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        (run,) = counting.onex_here("runs", "list", "--format", "json").json["runs"]
        assert run["status"] == "running"
        refused = resume(counting, run["run_id"])
        assert (refused.code, refused.json["error"]["code"]) == (2, "RUN002")
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 130


def test_name_one_of_a_target_and_a_run(project: Project) -> None:
    assert project.onex_here("run").code == 2
    assert project.onex_here("run", "x", "--resume", "y").code == 2


def test_workflows_are_read_back_as_they_were_written() -> None:
    from onex.domain.reference import NodeRef

    steps = [
        Step("a", NodeRef.parse("tool://a.b@^1"), {"x": "${{ inputs.i }}", "y": [1, None]}),
        Step("b", NodeRef.parse("c"), explicit_needs=("a",), foreach="${{ steps.a }}", when=True,
             timeout_seconds=1.5, use_cache=False, retry=RetryPolicy(3, 0.5, 1.0, 0.0)),
    ]  # fmt: skip
    workflow = Workflow(
        "w", {s.id: s for s in steps}, inputs={"i": {"type": "integer"}},
        outputs={"o": "${{ steps.b }}"}, fail_fast=False, timeout_seconds=9.0,
        breaker=BreakerPolicy(2, 1.0),
    )  # fmt: skip
    read = Workflow.from_json(workflow.to_json())
    assert read == workflow
    assert [s.needs for s in read.steps.values()] == [frozenset(), frozenset({"a"})]


# Replays


def replay(project: Project, run_id: str, *options: str):
    return project.onex_here("runs", "replay", run_id, "--format", "json", *options)


def first_run(project: Project) -> str:
    done = project.onex_here("run", "test.workflow.yaml", "--format", "json")
    assert done.code == 0, done.stdout
    return done.json["run_id"]


@pytest.fixture
def chain(project: Project) -> Project:
    code = "def execute(context, *, file):\n    return open(file).read().strip()\n"
    project.add(
        "read", code, inputs={"file": {"type": "string", "format": "path"}}, idempotent=True
    )
    project.add(
        "upper", "def execute(context, *, text):\n    return text.upper()\n", idempotent=True
    )
    project.scan()
    project.write("in.txt", "hello")
    project.workflow(
        {"read": {"node": "read", "with": {"file": str(project.root / "in.txt")}},
         "upper": {"node": "upper", "with": {"text": "${{ steps.read }}"}}}
    )  # fmt: skip
    return project


def test_a_replay_of_the_same_is_the_same(chain: Project) -> None:
    run_id = first_run(chain)
    report = replay(chain, run_id, "--check")
    assert report.code == 0
    assert (report.json["same"], report.json["compared"]) == (True, 2)
    record = chain.onex_here("runs", "show", report.json["replay_id"], "--format", "json").json
    assert record["replay_of"] == run_id
    assert not any(step["cached"] for step in record["steps"].values())


def test_a_replay_names_the_first_step_that_differs_and_what_changed(chain: Project) -> None:
    run_id = first_run(chain)
    chain.write("in.txt", "other")
    first = replay(chain, run_id).json["first_difference"]
    assert (first["id"], first["causes"]) == ("read", ["input"])
    chain.write("in.txt", "hello")
    chain.add("upper", "def execute(context, *, text):\n    return text.title()\n", idempotent=True)
    chain.scan()
    changed = replay(chain, run_id, "--check")
    assert changed.code == 1
    first = changed.json["first_difference"]
    assert (first["id"], first["causes"]) == ("upper", ["code"])
    assert (first["before"], first["after"]) == ('"HELLO"', '"Hello"')
    human = chain.onex_here("runs", "replay", run_id).stdout
    assert "the first is that of upper" in human
    assert "what changed: code" in human


def test_a_replay_names_the_environment(project: Project) -> None:
    project.add("env", "import os\ndef execute(context):\n    return os.environ.get('COLOUR')\n",
                environment=["COLOUR"])  # fmt: skip
    project.scan()
    project.workflow({"env": {"node": "env"}})
    project.environment["COLOUR"] = "red"
    run_id = first_run(project)
    project.environment["COLOUR"] = "blue"
    first = replay(project, run_id).json["first_difference"]
    assert (first["before"], first["after"], first["causes"]) == (
        '"red"',
        '"blue"',
        ["environment"],
    )


def test_a_replay_says_when_nothing_changed_but_the_result(project: Project) -> None:
    project.add("chance", "import uuid\ndef execute(context):\n    return uuid.uuid4().hex\n")
    project.scan()
    project.workflow({"a": {"node": "chance"}})
    report = project.onex_here("runs", "replay", first_run(project))
    assert "it is not deterministic" in report.stdout


def test_steps_that_see_the_run_are_not_compared(project: Project) -> None:
    project.add("echo")
    project.scan()
    project.workflow({"a": {"node": "echo", "with": {"run": "${{ run.id }}"}}})
    report = replay(project, first_run(project)).json
    assert (report["same"], report["compared"], report["not_compared"]) == (True, 0, ["a"])


def test_artifacts_are_compared_by_content(project: Project) -> None:
    code = (
        "def execute(context):\n    (context.workdir / 'a.txt').write_text('x')\n"
        "    return context.artifact('a.txt')\n"
    )
    project.add("write", code)
    project.scan()
    project.workflow({"a": {"node": "write"}})
    assert replay(project, first_run(project), "--check").code == 0


def test_the_number_of_a_process_that_returns_is_not_taken_for_the_run(tmp_path: Path) -> None:
    from onex.history.process_holder import is_running, start_of_process

    mine = os.getpid()
    assert is_running(mine, start_of_process(mine))
    assert is_running(mine, "")
    assert not is_running(mine, "1")


def test_what_a_resumed_run_cannot_take_is_refused(project: Project) -> None:
    for options in (["-i", "x=1"], ["--args", "{}"], ["--dry-run"], ["--refresh", "a"]):
        done = resume(project, "20200101", *options)
        assert (done.code, done.json["error"]["code"]) == (2, "USE001")


def test_a_history_of_an_older_schema_is_taken_over(project: Project, tmp_path: Path) -> None:
    import json
    import sqlite3

    from onex.storage.migrations import read_migrations

    project.home.mkdir()
    database = sqlite3.connect(project.home / "history.db")
    database.executescript(read_migrations("onex.storage.sqlite", "history")[1])
    database.execute("PRAGMA user_version = 1")
    record = {
        "node": "tool://a@1.0.0", "status": "succeeded", "started_seconds": 0.5, "seconds": 1.5,
        "attempts": 1, "cached": False, "cache_note": None, "isolation": "process", "error": None,
        "log": "hello\n",
    }  # fmt: skip
    database.execute(
        "INSERT INTO runs VALUES ('old-run', 'w', 'succeeded', '2026-01-01T00:00:00+00:00', 1, 2.0,"
        " 0.1, '{}', '{}', '{}', NULL)"
    )
    failed = record | {"status": "failed", "cached": True, "error": {
        "code": "EXE001", "message": "m", "hint": None, "detail": None}}  # fmt: skip
    artifact = {"$artifact": "sha256:" + "0" * 64, "name": "file", "size_bytes": 1, "path": "/p"}
    kept = json.dumps({"deep": [artifact]})
    for name, body, output in (("a", record, "[1]"), ("b", failed, None), ("c", record, kept)):
        database.execute(
            "INSERT INTO steps VALUES ('old-run', ?, ?, ?, ?)",
            (name, body["status"], json.dumps(body), output),
        )
    database.commit()
    database.close()
    shown = project.onex_here("runs", "show", "old-run", "--format", "json").json
    assert shown["status"] == "succeeded"
    a, b = shown["steps"]["a"], shown["steps"]["b"]
    assert (a["output"], a["log"], a["seconds"], a["isolation"]) == ([1], "hello\n", 1.5, "process")
    assert (b["error"]["code"], b["cached"]) == ("EXE001", True)
    with project.registry() as registry:
        (use,) = registry.history.journal.artifact_uses(artifact["$artifact"])
    assert (use.step_id, use.name) == ("c", "file")
    refused = replay(project, "old-run")
    assert (refused.code, refused.json["error"]["code"]) == (2, "RUN002")


def test_a_resumed_run_counts_its_time_on(counting: Project) -> None:
    counting.workflow(
        {"first": step(counting, "again", "first"),
         "held": step(counting, "again", "held", wait=True, needs=["first"])}
    )  # fmt: skip
    run_id = killed_run(counting, "held")
    (counting.root / "calls" / "go").touch()
    done = resume(counting, run_id, "--no-cache").json
    first, held = done["steps"]["first"], done["steps"]["held"]
    assert calls(counting, "first") == 1
    assert held["started_seconds"] >= first["started_seconds"] + first["seconds"]
    assert done["seconds"] >= held["started_seconds"] + held["seconds"]
