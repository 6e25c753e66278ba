"""Traces: spans of a run and of a server, in memory and at a real receiver on loopback."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from onex import Registry
from onex.manifests.workflow_file import load_workflow
from onex.telemetry.otel import OtelTracer
from onex.telemetry.registry_metrics import RegistryMetrics
from onex.telemetry.telemetry import Telemetry
from onex.telemetry.tracing import is_wanted
from tests.conftest import Project, RegistryServer

TELLING = """
import os
def execute(context):
    return {"given": context.get_trace_context(), "variable": os.environ.get("TRACEPARENT")}
"""
SECRET = "s3cret-value-of-a-node"


class Receiver:
    """A receiver of traces, as OpenTelemetry's protocol has them over HTTP."""

    def __init__(self) -> None:
        spans = self.spans = []
        self.raw = raw = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.path != "/v1/traces":
                    self.send_error(404)
                    return
                if self.headers.get("content-encoding") == "gzip":
                    import gzip

                    body = gzip.decompress(body)
                raw.append(body)
                request = ExportTraceServiceRequest.FromString(body)
                for resource in request.resource_spans:
                    for scope in resource.scope_spans:
                        spans.extend(scope.spans)
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def named(self, name: str) -> list:
        return [span for span in self.spans if span.name == name]

    def wait_for(self, name: str, **attributes: str) -> list:
        deadline = time.monotonic() + 60
        while True:
            found = [
                span for span in self.named(name)
                if attributes.items() <= {a.key: a.value.string_value for a in span.attributes}.items()
            ]  # fmt: skip
            if found:
                return found
            assert time.monotonic() < deadline, {span.name for span in self.spans}
            time.sleep(0.05)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    found = Receiver()
    yield found
    found.server.shutdown()
    found.server.server_close()


def traced_registry(project: Project) -> tuple[Registry, InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    telemetry = Telemetry(RegistryMetrics(), OtelTracer(SimpleSpanProcessor(exporter)))
    registry = Registry.open(
        project.home, start=project.root, environment=project.environment, telemetry=telemetry
    )
    return registry, exporter


def by_name(exporter: InMemorySpanExporter, name: str) -> list[ReadableSpan]:
    return [span for span in exporter.get_finished_spans() if span.name == name]


def test_a_run_is_one_trace_that_reaches_into_nodes(project: Project) -> None:
    project.add("tell", TELLING)
    program = project.add("print", folder="print", entrypoint={"type": "cli", "target": "print.sh"})
    script = program.parent / "print.sh"
    script.write_text('#!/bin/sh\nprintf \'{"variable": "%s"}\' "$TRACEPARENT"\n')
    script.chmod(0o755)
    project.add("fail", "def execute(context):\n    raise ValueError('a secret place')\n")
    path = project.workflow(
        {"a": {"node": "tell"}, "b": {"node": "print"}, "c": {"node": "fail", "needs": ["a", "b"]}}
    )
    registry, exporter = traced_registry(project)
    with registry:
        registry.scan([project.nodes])
        result = registry.run(registry.plan(load_workflow(path), {}), jobs=2)
    (run,) = by_name(exporter, "onex.run")
    steps = {dict(span.attributes)["onex.step"]: span for span in by_name(exporter, "onex.step")}
    assert set(steps) == {"a", "b", "c"}
    for name, span in steps.items():
        assert span.parent.span_id == run.context.span_id, name
        assert span.context.trace_id == run.context.trace_id
        assert run.start_time <= span.start_time <= span.end_time <= run.end_time
    assert not steps["a"].status.description
    assert steps["c"].status.description == "EXE001"
    assert len({span.context.span_id for span in steps.values()}) == 3
    flags = f"{run.context.trace_flags:02x}"
    given = f"00-{run.context.trace_id:032x}-{steps['a'].context.span_id:016x}-{flags}"
    found = {name: step.output for name, step in result.steps.items()}
    assert found["a"] == {"given": {"traceparent": given}, "variable": given}
    assert found["b"]["variable"].endswith(f"{steps['b'].context.span_id:016x}-{flags}")
    assert by_name(exporter, "onex.scan")
    assert by_name(exporter, "onex.resolve")
    (load, *_) = by_name(exporter, "onex.load")
    assert {s.parent.span_id for s in by_name(exporter, "onex.verify")} >= {load.context.span_id}


@pytest.mark.slow
def test_a_run_reaches_a_remote_in_one_trace(
    make_project: Callable[[str], Project],
    serve: Callable[[Project], RegistryServer],
    receiver: Receiver,
) -> None:
    origin = make_project("origin")
    origin.onex_here("publish", "--here", origin.add("greeter").parent)
    origin.environment["OTEL_EXPORTER_OTLP_ENDPOINT"] = receiver.url
    server = serve(origin)
    client = make_project("client")
    server.declare(client, token=True)
    client.environment["OTEL_EXPORTER_OTLP_ENDPOINT"] = receiver.url
    client.environment["ONEX_SECRET_KEY"] = SECRET
    client.add("secretive", "def execute(context):\n    raise ValueError(context.get_secret('KEY'))\n",
               capabilities=["secret.access:KEY"])  # fmt: skip
    client.onex("scan", "nodes")
    assert client.onex("run", "greeter").code == 0
    assert client.onex("run", "secretive").code == 1
    (resolve, *_) = receiver.wait_for("onex.resolve", **{"onex.references": "greeter"})
    asked = receiver.wait_for("onex.remote GET", **{"url.path": "/config.json"})[0]
    assert asked.trace_id == resolve.trace_id
    answered = receiver.wait_for("HTTP GET", **{"url.path": "/config.json"})
    assert any(s.parent_span_id == asked.span_id and s.trace_id == asked.trace_id for s in answered)
    receiver.wait_for("onex.step", **{"onex.node": "tool://test.secretive@1.0.0"})
    server.stop()
    everything = b"".join(receiver.raw)
    for hidden in (SECRET, server.token, "Bearer"):
        assert hidden.encode() not in everything


@pytest.mark.slow
def test_a_receiver_that_is_away_costs_seconds_at_most_and_no_result(project: Project) -> None:
    project.add("greeter")
    project.scan()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        # It takes connections and never answers.
        project.environment["OTEL_EXPORTER_OTLP_ENDPOINT"] = (
            f"http://127.0.0.1:{silent.getsockname()[1]}"
        )
        done = project.onex("run", "greeter", "--json", timeout=60)
    assert done.code == 0
    assert done.json["success"]
    assert "Traceback" not in done.stderr
    assert "the receiver of traces does not answer" in done.stderr


def test_it_is_said_once_that_spans_are_not_taken(project: Project, receiver: Receiver) -> None:
    project.add("greeter")
    project.scan()
    project.environment["OTEL_EXPORTER_OTLP_ENDPOINT"] = f"{receiver.url}/elsewhere"
    done = project.onex("run", "greeter", "--json")
    assert done.json["success"]
    assert done.stderr.count("the receiver of traces does not take them") == 1


def test_nothing_is_imported_when_nobody_asks(project: Project) -> None:
    project.add("greeter")
    program = (
        "import sys; from onex.cli.main import run; run(sys.argv[1:]);"
        "print([m for m in sys.modules if m.startswith(('opentelemetry', 'prometheus'))])"
    )
    project.scan()
    for command in (["run", "greeter"], ["resolve", "greeter"], ["scan", "nodes"]):
        done = subprocess.run(
            [sys.executable, "-c", program, *command], cwd=project.root, env=project.environment,
            capture_output=True, text=True, timeout=60, check=True,
        )  # fmt: skip
        assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:4318/v1/traces"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://h", "OTEL_SDK_DISABLED": "true"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://h", "OTEL_TRACES_EXPORTER": "none"}, False),
    ],
)
def test_the_variables_of_opentelemetry_decide(environment: dict[str, str], expected: bool) -> None:
    assert is_wanted(environment) is expected


def test_a_trace_that_others_did_not_sample_is_not_sent(project: Project) -> None:
    project.add("greeter")
    path = project.workflow({"a": {"node": "greeter"}})
    registry, exporter = traced_registry(project)
    with registry:
        registry.scan([project.nodes])
        exporter.clear()
        unsampled = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
        with registry.telemetry.tracer.span("outer", parent=unsampled):
            registry.run(registry.plan(load_workflow(path), {}))
    assert exporter.get_finished_spans() == ()


LOGGED = ["time", "level", "logger", "message"]


def test_log_records_follow_a_run_and_carry_its_span(project: Project, receiver: Receiver) -> None:
    project.environment |= {
        "ONEX_LOG": "json",
        "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url,
        "ONEX_SECRET_KEY": SECRET,
    }
    project.add("good")
    project.add("bad", "def execute(context):\n    raise ValueError(context.get_secret('KEY'))\n",
                capabilities=["secret.access:KEY"])  # fmt: skip
    path = project.workflow({"a": {"node": "good"}, "b": {"node": "bad", "needs": ["a"]}})
    project.onex("scan", "nodes")
    done = project.onex("run", path, "--json")
    run = done.json["run_id"]
    records = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    assert all(set(LOGGED) <= set(record) for record in records)
    told = [(r["correlation_id"], r["level"]) for r in records if r["logger"] == "onex.run"]
    assert told == [(run, "info"), (f"{run}/a", "info"), (f"{run}/b", "warning"), (run, "info")]
    (span,) = receiver.wait_for("onex.run")
    assert {r["span_id"] for r in records if r["logger"] == "onex.run"} == {span.span_id.hex()}
    assert SECRET not in done.stderr


def test_what_the_host_refuses_is_logged_for_its_call(project: Project) -> None:
    project.environment["ONEX_LOG"] = "json"
    project.add(
        "call", "import socket\ndef execute(context):\n"
        "    try:\n        socket.create_connection(('127.0.0.1', 9), 5)\n"
        "    except OSError:\n        return 'went on'\n",
        capabilities=["network.connect:example.org"],
    )  # fmt: skip
    project.scan()
    done = project.onex("run", "call", "--allow", "network.connect:example.org", "--json")
    assert done.json["success"], done.stdout
    records = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    (refused,) = [r for r in records if r["logger"] == "onex.sandbox"]
    assert refused["message"] == "refused: a connection to 127.0.0.1 port 9"
    assert refused["correlation_id"] == f"{done.json['run_id']}/node"


def test_human_records_are_one_line_each(project: Project) -> None:
    project.environment["ONEX_LOG"] = "human"
    project.add("bad", "def execute(context):\n    raise ValueError('one\\ntwo\\x1b[31m')\n")
    project.scan()
    done = project.onex("run", "bad", "-q")
    lines = [line for line in done.stderr.splitlines() if " onex.run: " in line]
    assert len(lines) == 3
    assert "correlation_id=" in lines[0]
    assert "\x1b" not in done.stderr


def test_a_wrong_log_format_is_refused(project: Project) -> None:
    project.environment["ONEX_LOG"] = "xml"
    assert project.onex_here("list").code == 2
    project.environment |= {"ONEX_LOG": "json", "ONEX_LOG_LEVEL": "loud"}
    assert project.onex_here("list").code == 2


def test_requests_to_a_server_are_logged_on_demand(
    make_project: Callable[[str], Project], serve: Callable[[Project], RegistryServer]
) -> None:
    project = make_project("server")
    project.environment |= {"ONEX_LOG": "json", "ONEX_LOG_LEVEL": "info"}
    server = serve(project)
    server.ask("api/v1/nodes", token=server.token, x_request_id="abc")
    server.stop()
    text = (project.root / "serve.log").read_text()
    records = [json.loads(line) for line in text.splitlines()]
    (found,) = [r for r in records if r.get("correlation_id") == "abc"]
    assert found["message"] == "GET /api/v1/nodes 200"
    assert server.token not in text
