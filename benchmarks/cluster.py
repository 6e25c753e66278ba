"""What a step costs on a Dask cluster, beside bare ``client.submit`` on the same workers.

The budget: a fan of steps that do nothing takes at most one and a half times what bare tasks of
Dask take, on two workers. Beside it: the peak of memory in the process of the run, and what goes
over the loopback interface for each step.
"""

from __future__ import annotations

import argparse
import logging
import os
import resource
import statistics
import tempfile
import time
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
    arguments = parser.parse_args()
    steps = arguments.steps
    root = Path(tempfile.mkdtemp(prefix="onex-bench-"))
    (root / "nodes").mkdir()
    (root / "nodes" / "node.onex.yaml").write_text(MANIFEST)
    (root / "nodes" / "node.py").write_text("def execute(context, *, x):\n    return x\n")
    (root / "onex.toml").write_text('artifacts = "store"\n[[sources]]\npath = "nodes"\n')
    cluster = LocalCluster(
        n_workers=2, threads_per_worker=1, memory_limit=0, host="127.0.0.1",
        dashboard_address="127.0.0.1:0", silence_logs=logging.CRITICAL,
    )  # fmt: skip
    opened = Registry.open(root / "state", start=root, environment=dict(os.environ))
    with cluster, Client(cluster) as client, opened as registry:
        registry.scan()
        how = {"engine": "dask", "scheduler": cluster.scheduler_address}
        run(registry, 100, **how)
        bare(client, 100)
        ratios, bares, ours, sent = [], [], [], []
        for _ in range(arguments.rounds):
            bares.append(bare(client, steps))
            before = loopback_bytes()
            ours.append(run(registry, steps, **how))
            sent.append((loopback_bytes() - before) / steps)
            ratios.append(ours[-1] / bares[-1])
        here = run(registry, steps)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    ratio = statistics.median(ratios)
    print(f"{steps} steps on two workers, medians of {arguments.rounds} rounds")
    print(f"bare client.submit   {statistics.median(bares) / steps * 1e6:8.0f} us a step")
    print(f"engine dask          {statistics.median(ours) / steps * 1e6:8.0f} us a step")
    print(f"without a cluster    {here / steps * 1e6:8.0f} us a step")
    verdict = "ok" if ratio <= BUDGET else "MISSED"
    print(f"ratio to bare        {ratio:8.2f}    budget {BUDGET}: {verdict}")
    print(f"over loopback        {statistics.median(sent):8.0f} bytes a step")
    print(f"peak of memory       {peak:8.0f} MiB, of which bare tasks have a part")


if __name__ == "__main__":
    main()
