"""What metrics, logs and traces cost, on against off in the same run.

The budget: 2 % of runs and of index reads over HTTP. Steps do nothing here, so the shares are the
greatest there can be; those of steps of 10 ms are told beside them.
"""

from __future__ import annotations

import logging
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

from orchestration import JOBS, STEPS, graphs, make_nodes, workflow
from server import fill, requests_per_second

from onex import NodeRef, Registry, Workflow
from onex.domain.grant import RunAccess
from onex.domain.result import IsolationLevel
from onex.domain.workflow import Step
from onex.execution import orchestrator
from onex.telemetry.registry_metrics import RegistryMetrics
from onex.telemetry.telemetry import Telemetry
from onex.telemetry.tracing import Tracer

ROUNDS = 15
SERVE = """
import sys
from pathlib import Path
import onex.server.app as app
from onex.server.observed import ANSWER, Answer, Observed
class Unobserved(Observed):
    async def __call__(self, scope, receive, send):
        # What guards need of an answer, whether it is measured or not.
        answer = scope[ANSWER] = Answer(send, "", shows=False)
        await self._inner(scope, receive, answer.send)
if sys.argv[2] == "off":
    app.Observed = Unobserved
from onex.server.app import ServerSettings
from onex.server.rate_limiter import Rate, RateLimits
from onex.server.serving import Listening, serve
rate = Rate(1e9, 1e9)
folder = Path(sys.argv[1])
settings = ServerSettings(folder / ".onex", folder, limits=RateLimits(rate, rate, rate))
serve(settings, Listening("127.0.0.1", 0), lambda url: print(url, flush=True))
"""


class _Silent(orchestrator.RunTelemetry):
    """Measures nothing."""

    def printing(self, call_id: str, log: object) -> None:
        pass

    def recorded(self, entries: object) -> None:
        pass

    def failed(self, node: object, failure: object) -> None:
        pass

    def ended(self, *_: object) -> None:
        pass

    def started(self, call_id: str) -> None:
        return None

    def take_measurements(self, *, at_once: bool = False) -> None:
        return None


def tracer() -> Tracer:
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

    from onex.telemetry.otel import OtelTracer

    class Nowhere(SpanExporter):
        def export(self, spans: object) -> SpanExportResult:
            return SpanExportResult.SUCCESS

    return OtelTracer(BatchSpanProcessor(Nowhere()))


@contextmanager
def logs(stream: object) -> Iterator[None]:
    from onex.telemetry.logs import LogFormat, write_logs

    write_logs((LogFormat.JSON, logging.INFO), stream)
    yield
    logging.getLogger("onex").handlers = []
    logging.getLogger("onex").setLevel(logging.WARNING)


def compare(measures: dict[str, Callable[[], float]]) -> dict[str, float]:
    """Seconds of each, and the median of what each round says of it beside the first."""
    found: dict[str, list[float]] = {name: [] for name in measures}
    for _ in range(ROUNDS):
        for name, measure in measures.items():
            found[name].append(measure())
    first = found[next(iter(measures))]
    return {
        name: statistics.median(a / b - 1 for a, b in zip(times, first, strict=True)) * 100
        for name, times in found.items()
    }


def runs(folder: Path) -> None:
    make_nodes(folder)
    (folder / "onex.toml").write_text('[[sources]]\npath = "nodes"\n')
    quiet = Registry.open(folder / ".onex", start=folder, telemetry=Telemetry())
    traced = Registry.open(
        folder / ".onex", start=folder, telemetry=Telemetry(RegistryMetrics(), tracer())
    )
    quiet.scan()
    access = RunAccess(IsolationLevel.INLINE)
    plans: dict[str, tuple[Workflow, int]] = {
        name: (workflow(name, graph), STEPS) for name, graph in graphs(STEPS).items()
    }
    sleep = Step("s", NodeRef.parse("tool://sleep"), foreach=list(range(100)))
    plans["10 ms"] = (Workflow("sleep", {"s": sleep}), 100)
    with (folder / "log").open("w") as stream:
        for name, (flow, _) in plans.items():
            first, second = (r.plan(flow, {}, access=access) for r in (quiet, traced))

            def plain(plan=first) -> float:
                return quiet.run(plan, jobs=JOBS).seconds

            def off(plain=plain) -> float:
                with mock.patch.object(orchestrator, "RunTelemetry", _Silent):
                    return plain()

            def logged(plain=plain) -> float:
                with logs(stream):
                    return plain()

            def with_spans(plan=second) -> float:
                return traced.run(plan, jobs=JOBS).seconds

            off()
            shares = compare(
                {"off": off, "metrics": plain, "and logs": logged, "traces": with_spans}
            )
            told = ", ".join(f"{n} {share:+.1f} %" for n, share in shares.items() if n != "off")
            print(f"runs, {name:8} {told}")
    quiet.close()
    traced.close()


def reads(folder: Path) -> None:
    (folder / "onex.toml").write_text("")
    fill(folder, 2)
    servers, ports = [], []
    for kind in ("off", "on"):
        process = subprocess.Popen(
            [sys.executable, "-c", SERVE, str(folder), kind], stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        ports.append(int(process.stdout.readline().decode().strip().rstrip("/").rpartition(":")[2]))
        servers.append(process)
    path = "/index/tool/bench/n0.jsonl"
    ratios, off = [], []
    for round_ in range(7):
        order = ports if round_ % 2 else ports[::-1]
        rates = {port: requests_per_second(port, path) for port in order}
        off.append(rates[ports[0]])
        ratios.append(rates[ports[0]] / rates[ports[1]] - 1)
    for process in servers:
        process.terminate()
        process.wait()
    rate = statistics.median(off)
    print(f"index reads   metrics {statistics.median(ratios) * 100:+.1f} % of {1e6 / rate:.0f} us")


if __name__ == "__main__":
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        runs(Path(folder))
    with tempfile.TemporaryDirectory() as folder:
        reads(Path(folder))
    print(f"in {time.perf_counter() - started:.0f} s")
