"""Measures the targets of the specification and our budgets on this machine.

Beside each figure stands its floor: the least that the same work costs here, measured in the
same run by the standard library or a bare driver. Times of one machine say little about another;
ratios to the floor do. Everything happens in a temporary folder.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path

from onex.domain.constraint import VersionConstraint
from onex.domain.grant import RunAccess
from onex.domain.json_value import JsonValue
from onex.domain.reference import NodeRef
from onex.domain.result import IsolationLevel
from onex.domain.version import Version
from onex.domain.workflow import Step, Workflow
from onex.registry import Registry
from onex.resolver.solver import solve

SCANNED = "scan"
"""The folder of the state of the registry in which the nodes are."""
NODES, CHANGED, STEPS, CALLS, ROUNDS = 1_000, 100, 1_000, 1_000, 3

_MANIFEST = """\
name: n{i}
namespace: bench.group{group}.n{i}
version: "1.{minor}.0"
meta_type: tool
lifecycle: draft
entrypoint: python@node.py
idempotent: false
tags: [t{group}]
"""
_CODE = "def execute(context, **inputs):\n    return {i}\n"


@dataclass(frozen=True, slots=True)
class Measurement:
    """One figure: seconds of the work and of its floor, medians of several rounds.

    ``specified_seconds`` is the target of the specification, None if it sets none.
    ``budget_ratio`` is how many times the floor it may take, ``budget_seconds`` how long.
    """

    name: str
    seconds: float
    floor: str
    floor_seconds: float
    specified_seconds: float | None = None
    budget_ratio: float | None = None
    budget_seconds: float | None = None

    @property
    def ratio(self) -> float:
        """How many times the floor it takes."""
        return self.seconds / self.floor_seconds if self.floor_seconds else 0.0

    @property
    def meets_specification(self) -> bool | None:
        """Whether it is within the target of the specification; None without one."""
        return None if self.specified_seconds is None else self.seconds <= self.specified_seconds

    @property
    def meets_budget(self) -> bool:
        """Whether it is within our budget."""
        is_quick = self.budget_seconds is None or self.seconds <= self.budget_seconds
        return is_quick and (self.budget_ratio is None or self.ratio <= self.budget_ratio)

    def to_json(self) -> dict[str, JsonValue]:
        """The figure in the shape that ``bench`` prints."""
        return {
            "name": self.name,
            "seconds": self.seconds,
            "floor": self.floor,
            "floor_seconds": self.floor_seconds,
            "ratio": round(self.ratio, 3),
            "specified_seconds": self.specified_seconds,
            "budget_ratio": self.budget_ratio,
            "budget_seconds": self.budget_seconds,
            "meets_specification": self.meets_specification,
            "meets_budget": self.meets_budget,
        }


def measure_all() -> Iterator[Measurement]:
    """Every figure, as soon as it is known; it takes less than a minute on two processors."""
    with tempfile.TemporaryDirectory(prefix="onex-bench-") as name:
        folder = Path(name)
        yield from _discovery(folder / "tree")
        yield from _resolution()
        yield from _execution(folder / "project")
        yield from _start(folder / SCANNED)


def _median(work: Callable[[], object], rounds: int = ROUNDS) -> float:
    return statistics.median(_seconds(work) for _ in range(rounds))


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


# Discovery and lookup


def _discovery(root: Path) -> Iterator[Measurement]:
    for i in range(NODES):
        _write_node(root, i)
    with _opened(root.parent / SCANNED) as registry:
        scanned = _seconds(lambda: registry.scan([root]))
        floor = _seconds(lambda: _walk(root, reads=True))
        yield Measurement(
            f"first scan of {NODES:,} nodes", scanned, "walk, read and hash", floor, 5.0
        )
        # What was written a moment ago may change unseen, and is read once more.
        time.sleep(2.1)
        registry.scan([root])
        floor = _median(lambda: _walk(root, reads=False))
        yield Measurement(
            "rescan, nothing changed", _median(lambda: registry.scan([root])),
            "walk that asks each file", floor,
        )  # fmt: skip
        for i in range(CHANGED):
            _write_node(root, i, "# edited\n")
        yield Measurement(
            f"rescan, {CHANGED} changed", _seconds(lambda: registry.scan([root])),
            "walk that asks each file", floor, 1.0, None, floor + 0.15,
        )  # fmt: skip
        yield from _lookup(registry)


def _lookup(registry: Registry) -> Iterator[Measurement]:
    node = next(iter(registry.query())).metadata.node_version
    storage, times = registry.storage, 2_000
    file = registry.configuration.home / "registry.db"
    connection = sqlite3.connect(file)
    statement = "SELECT body FROM nodes WHERE namespace = ? AND type = ? AND version = ?"
    key = (node.node.namespace, node.node.type, str(node.version))

    def bare() -> None:
        for _ in range(times):
            connection.execute(statement, key).fetchone()

    def ours() -> None:
        for _ in range(times):
            storage.node(node)

    yield Measurement(
        "one version by its name", _median(ours) / times, "the query by the driver",
        _median(bare) / times, None, None, 60e-6,
    )  # fmt: skip
    connection.close()
    reference = f"{node.node}@^1"
    registry.resolve(reference)

    def cached() -> None:
        for _ in range(times):
            registry.resolve(reference)

    answers = {reference: node}

    def looked_up() -> None:
        for _ in range(times):
            answers.get(reference)

    yield Measurement(
        "resolve, answered from the cache", _median(cached) / times, "a dictionary",
        _median(looked_up) / times, None, None, 20e-6,
    )  # fmt: skip


def _write_node(root: Path, i: int, more: str = "") -> None:
    folder = root / f"group{i % 50}" / f"n{i}"
    folder.mkdir(parents=True, exist_ok=True)
    manifest = _MANIFEST.format(i=i, group=i % 50, minor=i % 7)
    (folder / "node.onex.yaml").write_text(manifest, encoding="utf-8")
    (folder / "node.py").write_text(_CODE.format(i=i) + more, encoding="utf-8")


def _walk(root: Path, *, reads: bool) -> None:
    pending = [str(root)]
    while pending:
        with os.scandir(pending.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    pending.append(entry.path)
                elif reads:
                    hashlib.sha256(Path(entry.path).read_bytes()).digest()
                else:
                    entry.stat(follow_symlinks=False)


# Resolution


class _Nodes:
    """Nodes in memory: by name, the needs of each version."""

    def __init__(self, nodes: Mapping[str, Mapping[Version, Mapping[str, str]]]) -> None:
        self._nodes = {
            name: {
                version: {other: VersionConstraint.parse(text) for other, text in needs.items()}
                for version, needs in versions.items()
            }
            for name, versions in nodes.items()
        }

    def versions(self, node: str) -> list[Version]:
        return list(self._nodes.get(node, ()))

    def dependencies(self, node: str, version: Version) -> Mapping[str, VersionConstraint]:
        return self._nodes[node][version]


def _resolution() -> Iterator[Measurement]:
    """A chain without conflicts, and one that has to go back often; the floor is to read it."""
    versions = [Version(1, minor, 0) for minor in range(20)]
    chain = {
        f"n{i}": {v: {f"n{i + 1}": "^1"} if i < 9 else {} for v in versions[:10]} for i in range(10)
    }
    hard: dict[str, dict[Version, dict[str, str]]] = {"shared": {v: {} for v in versions}}
    for i in range(30):
        hard[f"n{i}"] = {}
        for minor, version in enumerate(versions):
            low = 0 if minor < 2 else 10 + (i * 7 + minor * 3) % 10
            high = low + (i + minor) % 2 if low else 5 + (i + minor) % 3
            needs = {"shared": f">=1.{low}.0 <=1.{high}.0"}
            hard[f"n{i}"][version] = needs | ({f"n{i + 1}": "*"} if i < 29 else {})
    for name, nodes, specified, budget in (
        ("resolve, a simple chain", chain, 0.010, 0.001),
        ("resolve, much to go back on", hard, 0.100, 0.015),
    ):
        provider = _Nodes(nodes)
        asked = {"n0": VersionConstraint.parse("*")}

        def read(found: _Nodes = provider, names: Mapping[str, object] = nodes) -> None:
            for node in names:
                for version in found.versions(node):
                    found.dependencies(node, version)

        def ours(found: _Nodes = provider, wanted: Mapping[str, VersionConstraint] = asked) -> None:
            solve(wanted, found)

        yield Measurement(
            name, _median(ours, 7), "reading all constraints", _median(read, 7), specified, None,
            budget,
        )  # fmt: skip


# Execution


def _execution(folder: Path) -> Iterator[Measurement]:
    node = folder / "nodes" / "noop"
    node.mkdir(parents=True)
    (node / "node.onex.yaml").write_text(_MANIFEST.format(i=0, group=0, minor=0), encoding="utf-8")
    (node / "node.py").write_text(_CODE.format(i=0), encoding="utf-8")
    (folder / "onex.toml").write_text('[[sources]]\npath = "nodes"\n', encoding="utf-8")
    with _opened(folder / "state", folder) as registry:
        reference = NodeRef.parse("n0")
        graph = {f"s{i}": (f"s{i - 1}",) if i else () for i in range(STEPS)}
        steps = {name: Step(name, reference, explicit_needs=needs) for name, needs in graph.items()}
        inline = registry.plan(
            Workflow("chain", steps), {}, access=RunAccess(IsolationLevel.INLINE)
        )
        registry.run(inline, jobs=2)
        yield Measurement(
            f"a step of a chain of {STEPS}, recorded",
            statistics.median(registry.run(inline, jobs=2).seconds for _ in range(ROUNDS)) / STEPS,
            "graphlib and a thread pool", _median(lambda: _bare_chain(graph)) / STEPS, None, 2.0,
        )  # fmt: skip
        fan = Workflow("fan", {"s": Step("s", reference, foreach=list(range(CALLS)))})
        confined = registry.plan(fan, {})
        level = next(iter(confined.nodes.values())).isolation
        registry.run(confined, jobs=1)
        yield Measurement(
            f"a call in a warm worker, {level}",
            statistics.median(registry.run(confined, jobs=1).seconds for _ in range(ROUNDS))
            / CALLS,
            "a message to a process and back", _bare_round_trip(), 0.070, None, 300e-6,
        )  # fmt: skip
        single = registry.plan(Workflow.of_node(reference, ()), {})
        fresh = [registry.run(single, use_cache=False)["node"].seconds for _ in range(5)]
        yield Measurement(
            f"a call in a fresh worker, {level}", statistics.median(fresh),
            "a fresh python -c pass", _median(lambda: _python("pass"), 5), 0.070, None, 0.012,
        )  # fmt: skip


def _bare_chain(graph: Mapping[str, tuple[str, ...]]) -> None:
    sorter = TopologicalSorter(graph)
    sorter.prepare()
    with ThreadPoolExecutor(2) as pool:
        while sorter.is_active():
            ready = sorter.get_ready()
            list(pool.map(lambda name: None, ready))
            sorter.done(*ready)


def _bare_round_trip() -> float:
    """Seconds of one line to a process and back."""
    code = (
        "import sys\n"
        "for line in sys.stdin.buffer:\n"
        "    sys.stdout.buffer.write(line); sys.stdout.flush()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as echo:
        if echo.stdin is None or echo.stdout is None:
            return 0.0
        send, answer = echo.stdin, echo.stdout

        def once() -> None:
            send.write(b"{}\n")
            send.flush()
            answer.readline()

        once()
        seconds = statistics.median(_seconds(once) for _ in range(500))
        send.close()
    return seconds


def _start(home: Path) -> Iterator[Measurement]:
    """What a shell waits for; ``home`` is of a registry with nodes."""
    floor = _median(lambda: _python("import click"), 7)
    version = _median(lambda: _command("-m", "onex", "--version"), 7)
    yield Measurement("onex --version", version, "python -c 'import click'", floor, None, 1.5)
    line = f"onex show --home {home} n1"
    completed = _median(lambda: _command("-m", "onex", "__complete", line), 7)
    yield Measurement(
        f"completing one of {NODES:,} references", completed, "python -c 'import click'", floor,
        budget_seconds=0.050,
    )  # fmt: skip


def _python(code: str) -> None:
    _command("-c", code)


def _command(*arguments: str) -> None:
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)


@contextmanager
def _opened(home: Path, start: Path | None = None) -> Iterator[Registry]:
    """A registry of its own, whatever the environment says."""
    environment = {name: value for name, value in os.environ.items() if "ONEX_" not in name}
    with Registry.open(home, start=start or home.parent, environment=environment) as registry:
        yield registry
