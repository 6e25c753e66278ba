"""What a step costs on a Dask cluster, beside bare ``client.submit`` on the same workers.

The budget: a fan of steps that do nothing takes at most one and a half times what bare tasks of
Dask take, on two workers. Beside it: how far the memory of the process grows that submits, and what
goes over the loopback interface for each step. The scheduler and the workers have processes of
their own.
"""

from __future__ import annotations

import argparse
import logging
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from distributed import Client, LocalCluster

from onex import NodeRef, Registry, Workflow
from onex.domain.workflow import Step

MANIFEST = """\
name: noop
namespace: bench.noop
version: "1.0.0"
meta_type: tool
lifecycle: draft
idempotent: true
entrypoint: python@node.py
"""
BUDGET = 1.5


def noop(x: int) -> int:
    return x


def loopback_bytes() -> int:
    for line in Path("/proc/net/dev").read_text().splitlines():
        name, _, counts = line.partition(":")
        if name.strip() == "lo":
            return int(counts.split()[0])
    return 0


def memory(which: str) -> float:
    """Of this process in MiB, now (``VmRSS``) or at its peak (``VmHWM``)."""
    found = re.search(rf"{which}:\s*(\d+) kB", Path("/proc/self/status").read_text())
    return int(found[1]) / 1024


def growth(work: Callable[[], float]) -> tuple[float, float]:
    """What a piece of work gives, and by how many MiB memory grew meanwhile at most."""
    Path("/proc/self/clear_refs").write_text("5")
    before = memory("VmRSS")
    found = work()
    return found, memory("VmHWM") - before


@contextmanager
def cluster_beside() -> Iterator[str]:
    """The address of a cluster of two workers in processes of their own, while the block lasts."""
    process = subprocess.Popen(
        [sys.executable, __file__, "--serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    yield process.stdout.readline().decode().strip()
    process.stdin.close()
    process.wait()


def serve() -> None:
    with LocalCluster(
        n_workers=2, threads_per_worker=1, memory_limit=0, host="127.0.0.1",
        dashboard_address="127.0.0.1:0", silence_logs=logging.CRITICAL,
    ) as cluster:  # fmt: skip
        print(cluster.scheduler_address, flush=True)
        sys.stdin.read()


def bare(client: Client, steps: int) -> float:
    started = time.perf_counter()
    futures = [client.submit(noop, number, pure=False) for number in range(steps)]
    client.gather(futures)
    return time.perf_counter() - started


def run(registry: Registry, steps: int, **how: object) -> float:
    step = Step("s", NodeRef.parse("noop"), {"x": "${{ item }}"}, foreach=list(range(steps)))
    plan = registry.plan(Workflow("fan", {"s": step}), {})
    started = time.perf_counter()
    result = registry.run(plan, use_cache=False, **how)
    assert result.success, result.steps["s"].error
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=5_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve()
        return
    steps = arguments.steps
    root = Path(tempfile.mkdtemp(prefix="onex-bench-"))
    (root / "nodes").mkdir()
    (root / "nodes" / "node.onex.yaml").write_text(MANIFEST)
    (root / "nodes" / "node.py").write_text("def execute(context, *, x):\n    return x\n")
    (root / "onex.toml").write_text('artifacts = "store"\n[[sources]]\npath = "nodes"\n')
    opened = Registry.open(root / "state", start=root, environment=dict(os.environ))
    with cluster_beside() as address, Client(address) as client, opened as registry:
        registry.scan()
        how = {"engine": "dask", "scheduler": address}
        run(registry, 100, **how)
        bare(client, 100)
        ratios, bares, ours, sent, grown = [], [], [], [], []
        for _ in range(arguments.rounds):
            before = loopback_bytes()
            seconds, more = growth(lambda: run(registry, steps, **how))
            ours.append(seconds)
            grown.append(more)
            sent.append((loopback_bytes() - before) / steps)
            bares.append(bare(client, steps))
            ratios.append(ours[-1] / bares[-1])
        here = run(registry, steps)
    ratio = statistics.median(ratios)
    print(f"{steps} steps on two workers, medians of {arguments.rounds} rounds")
    print(f"bare client.submit   {statistics.median(bares) / steps * 1e6:8.0f} us a step")
    print(f"engine dask          {statistics.median(ours) / steps * 1e6:8.0f} us a step")
    print(f"without a cluster    {here / steps * 1e6:8.0f} us a step")
    verdict = "ok" if ratio <= BUDGET else "MISSED"
    print(f"ratio to bare        {ratio:8.2f}    budget {BUDGET}: {verdict}")
    print(f"over loopback        {statistics.median(sent):8.0f} bytes a step")
    # Of the first round: later ones find memory that was used before.
    print(f"memory grows by      {grown[0]:8.0f} MiB")


if __name__ == "__main__":
    main()
