"""Metrics of a registry: what commands and servers measured, added up without loss."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.conftest import Project, RegistryServer

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def read(text: str) -> Samples:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def metrics(project: Project) -> Samples:
    done = project.onex_here("metrics")
    assert done.code == 0, done.stderr
    return read(done.stdout)


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def of(samples: Samples, name: str, **labels: str) -> float:
    return samples[name, tuple(sorted(labels.items()))]


def test_commands_that_ended_are_in_the_metrics(project: Project) -> None:
    project.write("onex.toml", '[[sources]]\nname = "mine"\npath = "nodes"\n')
    project.add("echo", idempotent=True)
    project.add("broken", "def execute(context):\n    raise ValueError('no')\n")
    project.onex_here("scan")
    project.onex_here("resolve", "echo")
    project.onex_here("resolve", "echo")
    project.onex_here("resolve", "nothing")
    path = project.workflow({"one": {"node": "echo", "foreach": [1, 2, 3], "with": {"x": 1}}})
    assert project.onex_here("run", path).code == 0
    assert project.onex_here("run", path).code == 0
    assert project.onex_here("run", "broken").code == 1
    found = metrics(project)
    assert of(found, "registry_nodes_discovered", source="mine") == 2
    assert of(found, "registry_discovery_duration_seconds_count", source="mine") >= 1
    cold = {"node": "tool://test.echo", "cache_hit": "false"}
    assert of(found, "registry_version_resolution_duration_seconds_count", **cold) >= 1
    assert of(
        found, "registry_version_resolution_duration_seconds_count",
        node="unresolved", cache_hit="false",
    ) == 1  # fmt: skip
    node = "tool://test.echo"
    assert of(found, "onex_steps_total", node=node, status="succeeded", cached="false") == 3
    assert of(found, "onex_steps_total", node=node, status="succeeded", cached="true") == 3
    failed = {"node": "tool://test.broken", "status": "failed", "cached": "false"}
    assert of(found, "onex_steps_total", **failed) == 1
    assert of(found, "onex_runs_total", workflow="test", status="succeeded") == 2
    assert of(found, "onex_node_load_duration_seconds_count", node=node) == 2
    assert of(found, "onex_node_versions") == 2
    assert of(found, "onex_queue_depth") == 0


def test_metrics_outlive_the_runs_they_are_about(project: Project) -> None:
    project.add("echo")
    project.scan()
    path = project.workflow({"one": {"node": "echo"}})
    for _ in range(3):
        project.onex_here("run", path)
    before = metrics(project)
    project.onex_here("runs", "prune", "--keep", "0")
    assert of(metrics(project), "onex_runs_total", workflow="test", status="succeeded") == of(
        before, "onex_runs_total", workflow="test", status="succeeded"
    )


def test_denials_and_limits_are_counted_by_kind(project: Project) -> None:
    project.add("peek", "def execute(context):\n    return open('/etc/passwd').read()\n")
    project.add("flood", "def execute(context):\n    print('x' * 9_000_000)\n    return 1\n")
    project.scan()
    project.onex_here("run", "peek")
    path = project.workflow({"one": {"node": "flood", "limits": {"output": "1 MiB"}}})
    project.onex_here("run", path)
    found = metrics(project)
    denied = of(found, "onex_sandbox_denials_total", node="tool://test.peek", kind="file.read")
    assert denied == 1
    assert of(found, "onex_limits_exceeded_total", node="tool://test.flood", limit="output") == 1


def test_a_run_in_progress_is_seen_from_another_process(project: Project) -> None:
    project.add("slow", "import time\ndef execute(context):\n    time.sleep(60)\n    return 1\n")
    project.add("next")
    project.scan()
    path = project.workflow(
        {"a": {"node": "slow"}, "b": {"node": "next", "needs": ["a"]}, "c": {"node": "slow"}}
    )
    process = project.start("run", path, "--jobs", "2")
    try:
        wait_until(lambda: of(metrics(project), "onex_steps_in_progress") == 2)
        found = metrics(project)
        assert of(found, "onex_runs_in_progress") == 1
        assert of(found, "onex_queue_depth") == 1
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)
    found = metrics(project)
    assert of(found, "onex_runs_in_progress") == 0
    assert of(found, "onex_runs_total", workflow="test", status="cancelled") == 1


def test_a_run_that_is_killed_has_left_what_it_measured(project: Project) -> None:
    project.add(
        "slow", "import time\ndef execute(context, n):\n    time.sleep(0.1)\n    return n\n"
    )
    project.scan()
    path = project.workflow({"a": {"node": "slow", "foreach": list(range(500)), "with": {"n": 1}}})
    process = project.start("run", path, "--jobs", "2")
    key = ("onex_steps_total", (
        ("cached", "false"), ("node", "tool://test.slow"), ("status", "succeeded")
    ))  # fmt: skip
    wait_until(lambda: metrics(project).get(key, 0) > 5)
    os.kill(process.pid, signal.SIGKILL)
    process.wait(60)
    with sqlite3.connect(project.home / "history.db") as connection:
        (ended,) = connection.execute("SELECT count(*) FROM steps").fetchone()
    assert 5 < metrics(project)[key] <= ended


def test_openmetrics_is_given_on_request(project: Project) -> None:
    assert project.onex_here("metrics", "--openmetrics").stdout.endswith("# EOF\n")


@pytest.mark.slow
def test_several_workers_count_each_request_once_and_lose_none(
    make_project: Callable[[str], Project],
    serve: Callable[..., RegistryServer],
) -> None:
    project = make_project("server")
    server = serve(project, "--workers", "3")

    def counted() -> float:
        text = server.ask("metrics").content.decode()
        return read(text).get(
            ("onex_http_request_duration_seconds_count",
             (("method", "GET"), ("route", "/api/v1/nodes"), ("status", "200"))), 0
        )  # fmt: skip

    for _ in range(60):
        assert server.ask("api/v1/nodes").status == 200
    wait_until(lambda: counted() == 60)
    assert server.process is not None
    # One worker ends as by a crash; what it measured is there, and nothing is counted again.
    children = workers_of(server.process.pid)
    assert len(children) == 3
    time.sleep(1.5)
    os.kill(children[0], signal.SIGKILL)
    wait_until(lambda: len(set(workers_of(server.process.pid)) - set(children)) == 1)
    for _ in range(20):
        assert server.ask("api/v1/nodes").status == 200
    wait_until(lambda: counted() == 80)
    server.stop()
    assert of(metrics(project), "onex_http_request_duration_seconds_count",
              method="GET", route="/api/v1/nodes", status="200") == 80  # fmt: skip


def workers_of(pid: int) -> list[int]:
    return sorted(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


def test_exemplars_name_requests_that_were_made(
    make_project: Callable[[str], Project], serve: Callable[[Project], RegistryServer]
) -> None:
    server = serve(make_project("server"))
    answer = server.ask("api/v1/nodes", x_request_id="ticket-17")
    assert answer.headers["x-request-id"] == "ticket-17"
    kind = "application/openmetrics-text; version=1.0.0"
    assert b"ticket-17" not in server.ask("metrics", accept=kind).content
    told = server.ask("metrics", accept=kind, token=server.token)
    assert told.headers["content-type"].startswith("application/openmetrics-text")
    assert b'# {request_id="ticket-17"}' in told.content


def test_a_strange_request_id_is_replaced(
    make_project: Callable[[str], Project], serve: Callable[[Project], RegistryServer]
) -> None:
    server = serve(make_project("server"))
    for given in ("x" * 200, "a b", 'a"b', "ä"):
        told = server.ask("livez", x_request_id=given.encode("utf-8").decode("latin-1"))
        assert told.headers["x-request-id"] != given


def test_routes_are_few_whatever_is_asked_for(
    make_project: Callable[[str], Project], serve: Callable[[Project], RegistryServer]
) -> None:
    server = serve(make_project("server"))
    for number in range(30):
        server.ask(f"nothing/{number}")
        server.ask(f"api/v1/nodes/tool/a.b{number}")
        server.ask(f"index/tool/a/b{number}.jsonl")
        server.ask("livez", method=f"METHOD{number}")
        server.ask(f"node/tool/a.b{number}")
    routes = {
        dict(labels)["route"]
        for name, labels in read(server.ask("metrics").content.decode())
        if name == "onex_http_request_duration_seconds_count"
    }
    assert routes == {
        "unmatched", "/api/v1/nodes/{node_type}/{namespace}", "/index", "/livez",
        "/node/{type}/{namespace}",
    }  # fmt: skip


def test_a_home_that_cannot_be_written_costs_nothing(project: Project) -> None:
    project.add("echo")
    project.scan()
    before = json.loads(project.onex_here("resolve", "echo", "--json").stdout)
    if os.geteuid() == 0:
        for file in project.home.glob("history.db*"):
            file.unlink()
        (project.home / "history.db").mkdir()
    else:
        project.home.chmod(0o500)
    try:
        assert json.loads(project.onex_here("resolve", "echo", "--json").stdout) == before
    finally:
        project.home.chmod(0o700)
