"""What goes wrong on a cluster: workers killed, stopped or unfit, a scheduler that is gone, hosts."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from distributed import LocalCluster

from onex.artifacts.folder_contents import MARK_FILE
from onex.domain.result import RunStatus, StepStatus
from onex.local_machine import locked
from tests.conftest import CommandResult, Project
from tests.engines.conftest import local_cluster

pytestmark = pytest.mark.slow

NODE = """\
import os, time
from pathlib import Path

def execute(context, *, name, folder, until="", seconds=0.0, memory=0):
    with open(Path(folder) / name, "a") as begun:
        begun.write("x")
    while until and not os.path.exists(until):
        time.sleep(0.01)
    time.sleep(seconds)
    kept = b"x" * memory
    path = context.workdir / "made.txt"
    path.write_text(name)
    return {"name": name, "file": context.artifact(path), "size": len(kept)}
"""


SCRIPT = """\
from pathlib import Path
from onex import Registry
from onex.manifests.workflow_file import load_workflow

with Registry.open() as registry:
    plan = registry.plan(load_workflow(Path("test.workflow.yaml")), {})
    print(registry.run(plan, use_cache=False).status)
"""


class Site:
    """A project whose nodes run on a cluster of its own, and a folder in which calls leave marks."""

    def __init__(self, project: Project, shared: Path, cluster: LocalCluster) -> None:
        self.project = project
        self.shared = shared
        self.cluster = cluster
        self.until = shared / "until"

    def flow(self, *, node: str, calls: int = 1, **fields: object) -> None:
        step = {k: fields.pop(k) for k in ("retry", "timeout", "limits") if k in fields}
        given = {"name": "${{ item }}", "folder": str(self.shared), **fields}
        names = [f"call{n}" for n in range(calls)]
        self.project.workflow({"it": {"node": node, "foreach": names, "with": given, **step}})

    def options(self) -> list[str]:
        return ["--engine", "dask", "--scheduler", self.cluster.scheduler_address]

    def run(self, *more: str) -> CommandResult:
        return self.project.onex(
            "run", "test.workflow.yaml", "--format", "json", *self.options(), *more
        )

    def start(self, *more: str) -> subprocess.Popen[bytes]:
        return self.project.start("run", "test.workflow.yaml", *self.options(), *more)

    def begun(self) -> dict[str, int]:
        """How often each call began."""
        return {f.name: len(f.read_text()) for f in self.shared.iterdir() if f != self.until}

    def wait_for(self, is_so: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 60
        while not is_so():
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def workers(self) -> list[int]:
        return [nanny.process.pid for nanny in self.cluster.workers.values()]

    def busy_workers(self) -> list[int]:
        """The processes of the workers that have a process of a node below them."""
        found = []
        for pid in self.workers():
            for child in _descendants(pid):
                # One that ends in between is not busy.
                with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                    command = Path(f"/proc/{child}/cmdline").read_bytes()
                    if b"zygote" in command and len(_descendants(child)) > 0:
                        found.append(pid)
        return found

    def recorded(self):
        with self.project.registry() as registry:
            (listed,) = registry.history.runs()
            return registry.history.run(listed.run_id)


def _descendants(pid: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            found += [int(child), *_descendants(int(child))]
    return found


@pytest.fixture
def site(project: Project, tmp_path: Path) -> Iterator[Site]:
    shared = tmp_path / "shared"
    shared.mkdir()
    for name, is_idempotent in (("safe", True), ("once", False)):
        project.add(name, NODE, idempotent=is_idempotent, capabilities=[f"file.write:{shared}/**", f"file.read:{shared}/**"])  # fmt: skip
    project.environment["ONEX_ARTIFACTS"] = str(tmp_path / "store")
    project.scan()
    with local_cluster(tmp_path / "dask", threads_per_worker=1) as cluster:
        yield Site(project, shared, cluster)


@pytest.mark.parametrize("node", ["safe", "once"])
def test_a_call_whose_worker_is_killed_is_repeated_only_if_it_may_be(site: Site, node: str) -> None:
    site.flow(node=node, until=str(site.until))
    process = site.start()
    site.wait_for(lambda: site.begun() == {"call0": 1})
    os.kill(site.busy_workers()[0], signal.SIGKILL)
    if node == "safe":
        site.wait_for(lambda: site.begun() == {"call0": 2})
        site.until.touch()
        assert process.wait(60) == 0
        return
    assert process.wait(60) == 1
    call = site.recorded().steps["it[0]"]
    assert call.error is not None
    assert call.error.code == "EXE004"
    assert call.in_flight
    site.until.touch()
    time.sleep(1.0)
    assert site.begun() == {"call0": 1}
    resumed = site.project.onex(
        "run", "--resume", site.recorded().run_id, "--json", *site.options()
    )
    assert resumed.json["steps"]["it[0]"]["error"]["code"] == "EXE010"
    assert site.begun() == {"call0": 1}


def test_what_has_ended_is_not_made_again_when_its_worker_dies(site: Site) -> None:
    site.project.workflow(
        {
            "first": {"node": "safe", "foreach": [f"call{n}" for n in range(6)],
                      "with": {"name": "${{ item }}", "folder": str(site.shared)}},
            "then": {"node": "safe", "needs": ["first"],
                     "with": {"name": "then", "folder": str(site.shared), "until": str(site.until)}},
        }
    )  # fmt: skip
    process = site.start()
    site.wait_for(lambda: "then" in site.begun())
    for worker in site.workers():
        os.kill(worker, signal.SIGKILL)
    site.wait_for(lambda: site.begun()["then"] == 2)
    site.until.touch()
    assert process.wait(60) == 0
    assert set(site.begun().items()) == {("then", 2), *((f"call{n}", 1) for n in range(6))}


def test_calls_of_a_host_that_is_gone_are_ended(site: Site) -> None:
    site.flow(node="once", until=str(site.until))
    process = site.start()
    site.wait_for(lambda: site.begun() == {"call0": 1})
    assert site.busy_workers()
    process.kill()
    process.wait()
    site.wait_for(lambda: not site.busy_workers())


def test_a_worker_that_never_answers_holds_up_no_end(site: Site) -> None:
    site.flow(node="once", calls=2, until=str(site.until))
    process = site.start()
    site.wait_for(lambda: len(site.begun()) == 2)
    worker = site.workers()[0]
    os.kill(worker, signal.SIGSTOP)
    try:
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 130
        site.until.touch()
        again = site.run("--no-cache", "--jobs", "1")
        assert "does not answer" in again.stderr
        assert again.code == 0
    finally:
        os.kill(worker, signal.SIGCONT)


def test_a_worker_that_stands_still_for_a_while_is_waited_for(site: Site) -> None:
    site.flow(node="once", calls=4, seconds=0.2)
    process = site.start()
    site.wait_for(lambda: len(site.begun()) >= 2)
    worker = site.workers()[0]
    os.kill(worker, signal.SIGSTOP)
    time.sleep(3.0)
    os.kill(worker, signal.SIGCONT)
    assert process.wait(60) == 0
    assert set(site.begun().values()) == {1}


def test_what_a_worker_lost_is_fetched_again(site: Site, tmp_path: Path) -> None:
    site.flow(node="safe", calls=4)
    assert site.run().code == 0
    for kept in (tmp_path / "dask").rglob("onex/*/nodes"):
        subprocess.run(["rm", "-rf", kept], check=True)
    for kept in (tmp_path / "dask").rglob("onex/*/artifacts"):
        subprocess.run(["rm", "-rf", kept], check=True)
    assert site.run("--no-cache").code == 0


def test_a_store_that_is_gone_fails_calls_by_its_name(site: Site, tmp_path: Path) -> None:
    site.flow(node="safe", calls=2, until=str(site.until))
    process = site.start()
    site.wait_for(lambda: len(site.begun()) == 2)
    (tmp_path / "store" / MARK_FILE).rename(tmp_path / "mark")
    site.until.touch()
    assert process.wait(60) == 1
    assert {c.error.code for c in site.recorded().steps.values() if c.error} == {"ART001"}
    (tmp_path / "mark").rename(tmp_path / "store" / MARK_FILE)
    assert site.run().code == 0


def test_a_call_that_takes_too_much_memory_ends_alone(site: Site) -> None:
    site.flow(node="safe", calls=1, memory=400_000_000, seconds=1.0, limits={"memory": "100 MiB"})
    done = site.run()
    assert done.json["steps"]["it[0]"]["error"]["code"] in {"EXE015", "EXE001", "EXE004"}
    site.flow(node="safe", calls=3)
    assert site.run().code == 0


def test_of_a_thousand_calls_none_begins_after_the_end_was_asked_for(site: Site) -> None:
    site.flow(node="once", calls=1_000, seconds=0.05)
    process = site.start("--jobs", "256")
    site.wait_for(lambda: len(site.begun()) >= 10)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    begun = site.begun()
    time.sleep(2.0)
    assert site.begun() == begun
    assert len(begun) < 1_000
    run = site.recorded()
    assert run.status is RunStatus.CANCELLED
    ended = {n: s for n, s in run.steps.items() if n != "it"}
    succeeded = {n for n, s in ended.items() if s.status is StepStatus.SUCCEEDED}
    in_flight = {n for n, s in ended.items() if s.in_flight}
    assert len(succeeded) + len(in_flight) >= len(begun), "what began is known"
    assert len(in_flight) <= 4, "what did not begin is not taken for begun"


def test_workers_that_are_unfit_are_passed_over_by_name(site: Site, tmp_path: Path) -> None:
    other = tmp_path / "other" / "onex_registry-9.9.9.dist-info"
    other.mkdir(parents=True)
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: onex-registry\nVersion: 9.9.9\n")
    site.flow(node="safe", calls=6)
    with ExitStack() as ended:
        address = site.cluster.scheduler_address
        worker = subprocess.Popen(
            [sys.executable, "-m", "distributed.cli.dask_worker", address, "--name", "strange",
             "--no-nanny", "--no-dashboard", "--host", "127.0.0.1", "--local-directory", str(tmp_path / "strange")],
            env=os.environ | {"PYTHONPATH": str(other.parent)},
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        ended.callback(worker.wait)
        ended.callback(worker.kill)
        site.wait_for(lambda: len(site.cluster.scheduler.workers) == 3)
        done = site.run()
        assert done.code == 0, done.stdout
        assert "is passed over: onex is 9.9.9" in done.stderr
        site.cluster.scale(0)
        site.wait_for(lambda: len(site.cluster.scheduler.workers) == 1)
        refused = site.run("--no-cache")
        assert refused.json["error"]["code"] == "EXE017"
        assert "onex is 9.9.9" in refused.json["error"]["message"]


def test_a_node_is_granted_nothing_of_what_workers_keep(project: Project, tmp_path: Path) -> None:
    place = tmp_path / "dask"
    project.add("safe", NODE, capabilities=[f"file.read:{place}/**", f"file.write:{place}/**"])
    project.environment["ONEX_ARTIFACTS"] = str(tmp_path / "store")
    project.scan()
    project.workflow({"it": {"node": "safe", "with": {"name": "a", "folder": str(place)}}})
    with local_cluster(place) as cluster:
        done = project.onex("run", "test.workflow.yaml", "--json", "--engine", "dask",
                            "--scheduler", cluster.scheduler_address)  # fmt: skip
    assert done.json["steps"]["it"]["error"]["code"] == "EXE016"
    assert "cannot be granted" in done.json["steps"]["it"]["error"]["message"]


def test_a_scheduler_that_says_nothing_is_given_up(project: Project, tmp_path: Path) -> None:
    project.add("safe", NODE)
    project.environment["ONEX_ARTIFACTS"] = str(tmp_path / "store")
    project.scan()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
        done = project.onex("run", "safe", "-i", "name=a", "-i", f"folder={tmp_path}", "--json",
                            "--engine", "dask", "--scheduler", address)  # fmt: skip
    assert done.json["error"]["code"] == "EXE017"


def test_a_cluster_that_is_not_there_is_told(project: Project, tmp_path: Path) -> None:
    project.add("safe", NODE)
    project.environment["ONEX_ARTIFACTS"] = str(tmp_path / "store")
    project.scan()
    project.workflow({"it": {"node": "safe", "with": {"name": "a", "folder": str(tmp_path)}}})
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = (
        "run",
        "test.workflow.yaml",
        "--json",
        "--engine",
        "dask",
        "--scheduler",
        f"tcp://127.0.0.1:{port}",
    )
    done = project.onex(*command)
    assert done.json["error"]["code"] == "EXE017"
    assert done.json["error"]["hint"]
    strange = project.onex(*command[:-1], "gopher://127.0.0.1:1")
    assert strange.json["error"]["code"] == "EXE017"
    assert "gopher" in strange.json["error"]["message"]
    assert "Traceback" not in strange.stderr
    assert project.onex(*command[:-1], "").json["error"]["code"] == "USE001"
    del project.environment["ONEX_ARTIFACTS"]
    unknown = project.onex(*command[:3], "--engine", "nothing")
    assert unknown.json["error"]["code"] == "CFG001"
    unused = project.onex(*command[:3], "--scheduler", "tcp://127.0.0.1:1")
    assert unused.json["error"]["code"] == "USE001"


def test_without_a_scheduler_a_cluster_is_started_and_ended(
    project: Project, tmp_path: Path
) -> None:
    project.add("safe", NODE, idempotent=True, capabilities=[f"file.write:{tmp_path}/shared/**"])
    (tmp_path / "shared").mkdir()
    project.write("onex.toml", 'engine = "dask"\n')
    project.scan()
    # What a host left behind that was killed, and what one has that is at work.
    temporary = tmp_path / "temporary"
    for name in ("onex-store-left", "onex-store-held"):
        (temporary / name).mkdir(parents=True)
    project.environment["TMPDIR"] = str(temporary)
    project.workflow(
        {
            "it": {
                "node": "safe",
                "foreach": ["a", "b"],
                "with": {"name": "${{ item }}", "folder": str(tmp_path / "shared")},
            }
        },
        outputs={"it": "${{ steps.it }}"},
    )
    with locked(temporary / "onex-store-held"):
        done = project.onex("run", "test.workflow.yaml", "--json")
    assert done.code == 0, done.stdout
    assert [path.name for path in temporary.glob("onex-store-*")] == ["onex-store-held"]
    made = [Path(one["file"]["path"]) for one in done.json["outputs"]["it"]]
    assert [path.read_text() for path in made] == ["a", "b"]
    again = project.onex("run", "test.workflow.yaml", "--json")
    assert all(step["cached"] for name, step in again.json["steps"].items() if name != "it")
    left = subprocess.run(
        ["pgrep", "-f", str(project.root)], capture_output=True, text=True, check=False
    )
    assert left.stdout == ""


def test_a_scheduler_that_is_restarted_ends_no_run_silently(site: Site, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = dict(os.environ)

    def scheduler() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1",
             "--port", str(port), "--no-dashboard"],
            env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def worker() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "distributed.cli.dask_worker", f"tcp://127.0.0.1:{port}",
             "--no-dashboard", "--host", "127.0.0.1", "--local-directory", str(tmp_path / "worker")],
            env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    with ExitStack() as ended:

        def keep(process: subprocess.Popen[bytes]) -> subprocess.Popen[bytes]:
            ended.callback(process.wait)
            ended.callback(process.kill)
            return process

        first = keep(scheduler())
        worked = keep(worker())
        site.flow(node="safe", calls=2, until=str(site.until))
        options = ["--engine", "dask", "--scheduler", f"tcp://127.0.0.1:{port}"]
        process = keep(site.project.start("run", "test.workflow.yaml", *options))
        site.wait_for(lambda: len(site.begun()) >= 1)
        first.kill()
        first.wait()
        worked.terminate()
        worked.wait()
        keep(scheduler())
        keep(worker())
        site.until.touch()
        assert process.wait(110) == 0
        assert site.recorded().status is RunStatus.SUCCEEDED


def test_a_cluster_without_workers_is_given_up_some_time(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("onex.engines.dask.DESERTED_SECONDS", 3.0)
    site.flow(node="safe", until=str(site.until))
    results: list[CommandResult] = []
    command = ("run", "test.workflow.yaml", "--format", "json", *site.options())
    thread = threading.Thread(target=lambda: results.append(site.project.onex_here(*command)))
    thread.start()
    site.wait_for(lambda: len(site.begun()) == 1)
    site.cluster.scale(0)
    thread.join(60)
    site.until.touch()
    (done,) = results
    assert done.json["steps"]["it[0]"]["error"]["code"] == "EXE004"
    assert "no worker" in done.json["steps"]["it[0]"]["error"]["message"]


def test_resources_that_no_worker_offers_are_told(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("onex.engines.dask.DESERTED_SECONDS", 3.0)
    given = {"name": "a", "folder": str(site.shared)}
    site.project.workflow({
        "free": {"node": "safe", "with": given},
        "bound": {"node": "once", "with": {**given, "name": "b"}, "resources": {"GPU": 2}},
    }, policy={"fail_fast": False})  # fmt: skip
    command = ("run", "test.workflow.yaml", "--format", "json", *site.options())
    done = site.project.onex_here(*command)
    steps = done.json["steps"]
    assert steps["free"]["status"] == "succeeded"
    assert steps["bound"]["error"]["code"] == "EXE017"
    assert "GPU=2" in steps["bound"]["error"]["message"]
    # It did not begin, and may be made again without a second thought.
    assert site.recorded().steps["bound"].is_left_in_flight is False
    assert site.begun() == {"a": 1}


def test_a_cluster_that_scales_from_none_is_used(site: Site) -> None:
    site.cluster.scale(0)
    site.wait_for(lambda: not site.cluster.scheduler.workers)
    site.cluster.adapt(minimum=0, maximum=2)
    site.flow(node="safe", calls=2)
    done = site.run()
    assert done.code == 0, done.stdout + done.stderr
    assert site.begun() == {"call0": 1, "call1": 1}


def test_a_host_that_is_killed_is_followed_by_another_and_no_effect_comes_twice(
    make_project: Callable[[str], Project], postgres: str, tmp_path: Path
) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    until = shared / "until"
    machines = []
    for name in ("one", "other"):
        project = make_project(name)
        for node, is_idempotent in (("safe", True), ("once", False)):
            project.add(node, NODE, idempotent=is_idempotent, capabilities=[f"file.write:{shared}/**", f"file.read:{shared}/**"])  # fmt: skip
        project.environment |= {
            "ONEX_STORAGE": postgres, "ONEX_ARTIFACTS": str(tmp_path / "store"), "ONEX_WORKSPACE": name,
        }  # fmt: skip
        project.scan()
        machines.append(project)
    one, other = machines
    given = {"name": "${{ item }}", "folder": str(shared)}
    with local_cluster(tmp_path / "dask", threads_per_worker=4) as cluster:
        one.workflow(
            {
                "first": {"node": "once", "foreach": ["a", "b"], "with": given},
                "safe": {
                    "node": "safe",
                    "needs": ["first"],
                    "foreach": ["c"],
                    "with": {**given, "until": str(until)},
                },
                "once": {
                    "node": "once",
                    "needs": ["first"],
                    "foreach": ["d"],
                    "with": {**given, "until": str(until)},
                },
            },
            policy={"fail_fast": False},
        )
        options = ["--engine", "dask", "--scheduler", cluster.scheduler_address]
        process = one.start("run", "test.workflow.yaml", *options)
        deadline = time.monotonic() + 60
        while not {"a", "b", "c", "d"} <= {f.name for f in shared.iterdir()}:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        with other.registry() as registry:
            (listed,) = registry.history.runs()
            # The calls that had ended are stored with the next group.
            process.send_signal(signal.SIGKILL)
            process.wait()
            while registry.history.run(listed.run_id).status is RunStatus.RUNNING:
                assert time.monotonic() < deadline + 30
                time.sleep(0.2)
        resumed = other.start("run", "--resume", listed.run_id, *options)
        while len((shared / "c").read_text()) < 2:
            assert time.monotonic() < deadline + 60
            time.sleep(0.02)
        until.touch()
        assert resumed.wait(60) == 1
        with other.registry() as registry:
            run = registry.history.run(listed.run_id)
        assert run.steps["safe[0]"].status is StepStatus.SUCCEEDED
        assert run.steps["first[0]"].status is StepStatus.SUCCEEDED
        call = run.steps["once[0]"]
        assert call.error is not None
        assert call.error.code == "EXE010"
        time.sleep(1.0)
        assert {n: (shared / n).read_text() for n in "abd"} == {"a": "x", "b": "x", "d": "x"}
