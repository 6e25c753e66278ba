"""What the orchestrator adds to a step, beside a bare pool of threads and Dask, in the same run.

The budgets: for 1,000 no-op steps, inline and journaled, twice what ``graphlib`` with a
``ThreadPoolExecutor`` takes for a chain, three times for a fan and layers, and always less than
0.9 times Dask's threaded scheduler; for a job in a warm process four times a bare selector over
the same workers; for steps of 10 ms in processes 2 % over a bare pool. ``--large`` adds graphs of
100,000 steps, each in a process of its own, with the peak of its memory.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import selectors
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from graphlib import TopologicalSorter
from pathlib import Path

from onex import NodeRef, Registry, Workflow
from onex.domain.grant import RunAccess
from onex.domain.result import IsolationLevel
from onex.domain.workflow import Step
from onex.worker import main as worker
from onex.worker import protocol
from onex.worker.context import ContextSpec

STEPS = 1_000
MANY_STEPS = 100_000
ROUNDS = 5
JOBS = 2
MANIFEST = """\
name: {name}
namespace: {name}
version: "1.0.0"
meta_type: tool
lifecycle: draft
entrypoint: python@node.py
"""
CODE = {"noop": "return None", "sleep": "import time; time.sleep(0.01)"}

Graph = Mapping[str, tuple[str, ...]]


def graphs(steps: int) -> dict[str, Graph]:
    names = [f"s{i}" for i in range(steps)]
    return {
        "chain": {n: (names[i - 1],) if i else () for i, n in enumerate(names)},
        "fan": {n: (names[0],) if i else () for i, n in enumerate(names)},
        "layered": {
            n: tuple(names[i - i % 10 - 10 : i - i % 10]) if i >= 10 else ()
            for i, n in enumerate(names)
        },
    }


def noop(*_: object) -> None:
    return None


def bare(graph: Graph) -> float:
    started = time.perf_counter()
    sorter = TopologicalSorter(graph)
    sorter.prepare()
    with ThreadPoolExecutor(JOBS) as pool:
        while sorter.is_active():
            ready = sorter.get_ready()
            list(pool.map(noop, ready))
            sorter.done(*ready)
    return time.perf_counter() - started


def dask(graph: Graph) -> float:
    from dask.threaded import get

    tasks = {name: (noop, *needed) for name, needed in graph.items()}
    started = time.perf_counter()
    get(tasks, list(graph), num_workers=JOBS)
    return time.perf_counter() - started


def workflow(name: str, graph: Graph) -> Workflow:
    node = NodeRef.parse("tool://noop")
    return Workflow(name, {n: Step(n, node, explicit_needs=needs) for n, needs in graph.items()})


def make_nodes(folder: Path) -> None:
    for name, code in CODE.items():
        place = folder / "nodes" / name
        place.mkdir(parents=True)
        (place / "node.onex.yaml").write_text(MANIFEST.format(name=name))
        (place / "node.py").write_text(f"def execute(context):\n    {code}\n")
    # Declared, and so trusted: else nothing runs inline.
    (folder / "onex.toml").write_text('[[sources]]\npath = "nodes"\n')


def median(measure: Callable[[], float], rounds: int = ROUNDS) -> float:
    return statistics.median(measure() for _ in range(rounds))


def compare_graphs(registry: Registry) -> None:
    print(f"{STEPS} no-op steps, inline, journaled; microseconds a step")
    print(f"{'':10} {'onex':>7} {'bare':>7} {'Dask':>7}   onex / bare")
    for name, graph in graphs(STEPS).items():
        access = RunAccess(IsolationLevel.INLINE)
        plan = registry.plan(workflow(name, graph), {}, access=access)

        def ours(plan=plan) -> float:
            return registry.run(plan, jobs=JOBS).seconds

        ours()
        mine, theirs, others = (
            median(ours),
            median(lambda g=graph: bare(g)),
            median(lambda g=graph: dask(g)),
        )
        figures = "".join(f"{s / STEPS * 1e6:8.1f}" for s in (mine, theirs, others))
        print(f"{name:10}{figures}   {mine / theirs:.1f}")


def fan_out(registry: Registry, node: str, calls: int, level: IsolationLevel, jobs: int):
    step = Step("s", NodeRef.parse(f"tool://{node}"), foreach=list(range(calls)))
    plan = registry.plan(Workflow(node, {"s": step}), {}, access=RunAccess(level))
    return registry.run(plan, jobs=jobs)


def bare_selector(file: Path, calls: int) -> float:
    """Seconds for calls of a node in the same worker processes, driven by a selector alone."""
    folder, source = file.parent, Path(worker.__file__)
    waiting = selectors.DefaultSelector()
    processes, lives = [], []
    for _ in range(JOBS):
        lifeline, life = os.pipe()
        command = [
            sys.executable,
            "-I",
            str(source),
            str(source.parents[2]),
            str(folder),
            str(file),
        ]
        process = subprocess.Popen(
            [*command, "execute", str(lifeline)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0, pass_fds=[lifeline],
        )  # fmt: skip
        os.close(lifeline)
        processes.append(process)
        lives.append(life)
    with tempfile.TemporaryDirectory() as workdir:
        context = ContextSpec("run/s", workdir).to_json()
        request = protocol.encode({"inputs": {}, "context": context, "mark": "m"})

        def drive(left: int) -> None:
            for process in processes:
                os.write(process.stdin.fileno(), request)
            left -= len(processes)
            open_calls = len(processes)
            while open_calls:
                for key, _ in waiting.select():
                    process, buffer = key.data
                    buffer.feed(os.read(key.fd, 65_536))
                    while buffer.take() is not None:
                        open_calls -= 1
                        if left:
                            os.write(process.stdin.fileno(), request)
                            left -= 1
                            open_calls += 1

        for process in processes:
            waiting.register(
                process.stdout, selectors.EVENT_READ, (process, protocol.FrameBuffer())
            )
        drive(20)
        started = time.perf_counter()
        drive(calls)
        seconds = time.perf_counter() - started
    for process, life in zip(processes, lives, strict=True):
        process.stdin.close()
        process.stdout.close()
        process.wait()
        os.close(life)
    waiting.close()
    return seconds


def measure_processes(registry: Registry, folder: Path) -> None:
    def ours(calls: int) -> float:
        return fan_out(registry, "noop", calls, IsolationLevel.PROCESS, JOBS).seconds

    # The difference of two lengths, without the start of the workers.
    mine = median(lambda: ours(2_200), 3) - median(lambda: ours(200), 3)
    theirs = median(lambda: bare_selector(folder / "nodes" / "noop" / "node.py", 2_000), 3)
    print(
        f"2,000 jobs in {JOBS} warm processes: {mine / 2_000 * 1e6:.0f} us a job with all that a"
        f" run adds, a bare selector {theirs / 2_000 * 1e6:.0f}: {mine / theirs:.1f} times"
    )
    for jobs in (1, JOBS):
        result = fan_out(registry, "noop", 2_000, IsolationLevel.PROCESS, jobs)
        calls = [s for name, s in result.steps.items() if "[" in name]
        warm = statistics.median(call.seconds for call in calls) * 1e6
        first = min(calls, key=lambda call: call.started_seconds).seconds * 1e3
        whole = result.seconds / 2_000 * 1e6 * jobs
        print(
            f"process, {jobs} jobs: a warm call {warm:.0f} us, {whole:.0f} us of a job with all"
            f" that the run adds; the first call {first:.0f} ms"
        )


def measure_overhead(registry: Registry) -> None:
    def sleeps(calls: int) -> float:
        started = time.perf_counter()
        with ThreadPoolExecutor(JOBS) as pool:
            list(pool.map(lambda _: time.sleep(0.01), range(calls)))
        return time.perf_counter() - started

    # The difference of two lengths: the start of the workers is told above.
    theirs = median(lambda: sleeps(500), 3) - median(lambda: sleeps(100), 3)
    for level in (IsolationLevel.INLINE, IsolationLevel.PROCESS):

        def ours(calls: int, level=level) -> float:
            return fan_out(registry, "sleep", calls, level, JOBS).seconds

        mine = median(lambda: ours(500), 3) - median(lambda: ours(100), 3)
        more = (mine / theirs - 1) * 100
        print(f"400 steps of 10 ms, {level}: {more:.1f} % more than a bare pool")


def measure_large(name: str) -> None:
    graph = graphs(MANY_STEPS)[name]
    with tempfile.TemporaryDirectory() as folder:
        make_nodes(Path(folder))
        with Registry.open(Path(folder, "home"), start=folder) as registry:
            registry.scan()
            started = time.perf_counter()
            access = RunAccess(IsolationLevel.INLINE)
            plan = registry.plan(workflow(name, graph), {}, access=access)
            result = registry.run(plan, jobs=JOBS)
            whole = time.perf_counter() - started
            assert result.success
    peak = re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())
    print(json.dumps([result.seconds, whole, int(peak[1]) / 1024]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--large", action="store_true", help="also graphs of 100,000 steps")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        measure_large(arguments.one)
        return
    with tempfile.TemporaryDirectory() as folder:
        make_nodes(Path(folder))
        with Registry.open(Path(folder, "home"), start=folder) as registry:
            registry.scan()
            compare_graphs(registry)
            measure_processes(registry, Path(folder))
            measure_overhead(registry)
    for name in graphs(1) if arguments.large else ():
        command = [sys.executable, __file__, "--one", name]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        run, whole, peak = json.loads(done.stdout)
        print(
            f"{MANY_STEPS} steps, {name}: {run / MANY_STEPS * 1e6:.1f} us a step,"
            f" {whole / MANY_STEPS * 1e6:.1f} with planning; peak {peak:.0f} MiB"
        )


if __name__ == "__main__":
    main()
