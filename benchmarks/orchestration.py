"""What the orchestrator adds: no-op steps inline, journaled, beside a bare pool of threads."""

from __future__ import annotations

import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from graphlib import TopologicalSorter
from pathlib import Path

from onex import NodeRef, Registry, Workflow
from onex.domain.result import IsolationLevel
from onex.domain.workflow import Step

STEPS = 1000
NODE = NodeRef.parse("tool://noop")
MANIFEST = """\
name: {name}
namespace: {name}
version: "1.0.0"
meta_type: tool
lifecycle: draft
entrypoint: python@node.py
"""


def graphs() -> dict[str, dict[str, tuple[str, ...]]]:
    names = [f"s{i}" for i in range(STEPS)]
    return {
        "chain": {n: (names[i - 1],) if i else () for i, n in enumerate(names)},
        "fan": {n: (names[0],) if i else () for i, n in enumerate(names)},
        "layers of 10": {
            n: tuple(names[i - i % 10 - 10 : i - i % 10]) if i >= 10 else ()
            for i, n in enumerate(names)
        },
    }


def bare(graph: dict[str, tuple[str, ...]]) -> float:
    started = time.perf_counter()
    sorter = TopologicalSorter(graph)
    sorter.prepare()
    with ThreadPoolExecutor(2) as pool:
        while sorter.is_active():
            ready = sorter.get_ready()
            list(pool.map(lambda name: None, ready))
            sorter.done(*ready)
    return time.perf_counter() - started


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name, code in {"noop": "return None", "sleep": "import time; time.sleep(0.01)"}.items():
            place = Path(folder, "nodes", name)
            place.mkdir(parents=True)
            (place / "node.onex.yaml").write_text(MANIFEST.format(name=name))
            (place / "node.py").write_text(f"def execute(context):\n    {code}\n")
        with Registry.open(Path(folder, "home")) as registry:
            registry.scan([Path(folder, "nodes")])
            for name, graph in graphs().items():
                steps = {n: Step(n, NODE, explicit_needs=needs) for n, needs in graph.items()}
                plan = registry.plan(Workflow(name, steps), {})
                ours = sorted(
                    registry.run(plan, isolation=IsolationLevel.INLINE, jobs=2).seconds
                    for _ in range(3)
                )[1]
                theirs = sorted(bare(graph) for _ in range(3))[1]
                print(
                    f"{name:14} {ours / STEPS * 1e6:7.1f} us a step, journaled; bare pool"
                    f" {theirs / STEPS * 1e6:6.1f} us; ratio {ours / theirs:.1f}"
                )
            for level in (IsolationLevel.INLINE, IsolationLevel.PROCESS):
                steps = {"s": Step("s", NodeRef.parse("tool://sleep"), foreach=list(range(200)))}
                plan = registry.plan(Workflow("sleep", steps), {})
                result = registry.run(plan, isolation=level, jobs=2)
                over = result.seconds / (200 * 0.01 / 2) - 1
                print(f"200 steps of 10 ms, {level}: {over * 100:.1f} % over the sleep")


if __name__ == "__main__":
    main()
