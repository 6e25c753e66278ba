"""Scans of generated trees, beside a bare walk and a bare load in the same run.

Usage: discovery.py [NODES ...], by default 1,000 and 20,000 nodes of nine files each.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import yaml_rs

from onex import NodeRef, Registry
from onex.manifests.manifest import read_manifest
from onex.manifests.yaml_document import YamlDocument

MANIFEST = """\
name: n{i}
namespace: generated.group{group}.n{i}
version: "1.{minor}.0"
meta_type: tool
lifecycle: active
entrypoint: python@node.py
description: Generated node number {i}
author: benchmark
uuid: 00000000-0000-4000-8000-{i:012}
tags: [t{group}, generated]
capabilities: [c{minor}, "file.read:/data/**"]
inputs:
  x: {{type: integer, default: 1}}
"""
CODE = "def execute(context, *, x=1):\n    return x + {i}\n"
FILES = 9
ROUNDS = 3


def generate(root: Path, count: int) -> None:
    for i in range(count):
        folder = root / f"group{i % 50}" / f"n{i}"
        folder.mkdir(parents=True)
        text = MANIFEST.format(i=i, group=i % 50, minor=i % 7)
        (folder / "node.onex.yaml").write_text(text)
        for part in range(FILES - 1):
            name = f"part{part}.py" if part else "node.py"
            (folder / name).write_text(CODE.format(i=i))


def walk(root: Path) -> None:
    """The floor of a rescan: every folder listed once, no file asked for its status."""
    pending = [str(root)]
    while pending:
        with os.scandir(pending.pop()) as entries:
            pending += [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]


def walk_and_stat(root: Path) -> None:
    """What finding edits in place costs at least: every file asked for its status."""
    pending = [str(root)]
    while pending:
        with os.scandir(pending.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    pending.append(entry.path)
                else:
                    entry.stat(follow_symlinks=False)


def bare_load(root: Path, database: Path) -> None:
    """The floor of a first scan: walk, read, hash, parse, validate and insert, and no more."""
    connection = sqlite3.connect(database, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("CREATE TABLE nodes (node TEXT PRIMARY KEY, digest TEXT, body TEXT)")
    connection.execute("BEGIN")
    pending = [str(root)]
    while pending:
        folder = pending.pop()
        manifest = None
        digest = hashlib.sha256()
        with os.scandir(folder) as entries:
            listing = sorted(entries, key=lambda entry: entry.name)
        for entry in listing:
            if entry.is_dir(follow_symlinks=False):
                pending.append(entry.path)
                continue
            with open(entry.path, "rb") as file:  # noqa: PTH123 - the floor takes the fastest way
                content = file.read()
            digest.update(hashlib.sha256(content).digest())
            if entry.name.endswith(".onex.yaml"):
                manifest = entry.path, content
        if manifest is not None:
            text = manifest[1].decode()
            data = yaml_rs.loads(text, parse_datetime=False)
            metadata = read_manifest(YamlDocument(manifest[0], text, data)).metadata
            assert metadata is not None
            connection.execute(
                "INSERT INTO nodes VALUES (?, ?, ?)",
                (str(metadata.node_version), digest.hexdigest(), json.dumps(metadata.to_json())),
            )
    connection.execute("COMMIT")
    connection.close()


def many_versions(count: int) -> None:
    """One node with many versions beside as many nodes: scan, yank one, rescan five edits."""
    rows = {}
    with tempfile.TemporaryDirectory() as folder:
        for shape in ("nodes", "versions"):
            tree = Path(folder, shape)
            for i in range(count):
                place = tree / f"group{i % 50}" / f"n{i}"
                place.mkdir(parents=True)
                name, version = ("one", f"1.{i}.0") if shape == "versions" else (f"n{i}", "1.0.0")
                text = MANIFEST.format(i=i, group=0, minor=0)
                text = text.replace(f"generated.group0.n{i}", f"generated.{name}")
                text = text.replace('version: "1.0.0"', f'version: "{version}"')
                if shape == "versions":
                    text = text.replace(f"-{i:012}", "-000000000001")
                (place / "node.onex.yaml").write_text(text)
                (place / "node.py").write_text(CODE.format(i=i))
            time.sleep(0.2)
            with Registry.open(Path(folder, f"{shape}-home")) as registry:
                scan = partial(registry.scan, [tree])
                first = seconds(scan)
                known = "generated.one@1.7.0" if shape == "versions" else "generated.n7@1.0.0"
                reference = NodeRef.parse(known)
                yank = statistics.median(
                    seconds(partial(registry.yank, reference, yanked=number % 2 == 0))
                    for number in range(21)
                )
                for i in range(5):
                    (tree / f"group{i}" / f"n{i}" / "node.py").write_text("def execute(c): ...\n")
                time.sleep(0.1)
                again = seconds(scan)
            rows[shape] = (first, yank, again)
    print(f"\n{count:,} versions of one node, beside {count:,} nodes, milliseconds")
    for name, one, other in zip(
        ("scan", "yank", "rescan of five edits"), rows["versions"], rows["nodes"], strict=True
    ):
        print(f"{name:22} {one * 1e3:9.1f} {other * 1e3:9.1f}  {one / other:.2f} times")


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def measure(count: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder, "tree")
        generate(tree, count)
        time.sleep(0.2)
        found: list[float] = []

        def scan(home: str) -> float:
            with Registry.open(Path(folder, home)) as registry:
                taken = time.perf_counter()
                report = registry.scan([tree])
                taken = time.perf_counter() - taken
                assert report.nodes == count, report
                found.append(report.sources[0].unchanged / count)
                return taken

        rounds = [
            {
                "walk": seconds(lambda: walk(tree)),
                "stat": seconds(lambda: walk_and_stat(tree)),
                "load": seconds(partial(bare_load, tree, Path(folder, f"bare{round_}.db"))),
                "first": scan(f"home{round_}"),
                "again": scan(f"home{round_}"),
            }
            for round_ in range(ROUNDS)
        ]
        changed = []
        for round_ in range(ROUNDS):
            for i in range(round_, min(count, 100 + round_)):
                file = tree / f"group{i % 50}" / f"n{i}" / "node.py"
                file.write_text(file.read_text() + "# changed\n")
            time.sleep(0.1)
            changed.append(scan("home0"))
        for _ in range(10):
            scan("home0")
    middle = {name: statistics.median(r[name] for r in rounds) for name in rounds[0]}
    middle["changed"] = statistics.median(changed)
    ratio = {
        "first": statistics.median(r["first"] / r["load"] for r in rounds),
        "again": statistics.median(r["again"] / r["walk"] for r in rounds),
        "stat": statistics.median(r["again"] / r["stat"] for r in rounds),
    }
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"\n{count:,} nodes, {count * FILES:,} files, milliseconds")
    print(f"walk, no status asked        {middle['walk'] * 1e3:9.1f}")
    print(f"walk with every file's status{middle['stat'] * 1e3:9.1f}")
    print(f"bare load                    {middle['load'] * 1e3:9.1f}")
    print(f"first scan                   {middle['first'] * 1e3:9.1f}  {ratio['first']:.2f} loads")
    print(
        f"rescan, nothing changed      {middle['again'] * 1e3:9.1f}  {ratio['again']:.2f} walks,"
        f" {ratio['stat']:.2f} walks with status"
    )
    over = (middle["changed"] - middle["walk"]) * 1e3
    print(f"rescan, 100 changed          {middle['changed'] * 1e3:9.1f}  a walk and {over:.0f} ms")
    print(f"manifests not read again     {statistics.mean(found[ROUNDS * 2 - 1 :]):9.1%}")
    print(f"peak memory of the process   {peak:9.0f} MiB")


if __name__ == "__main__":
    for given in sys.argv[1:] or ["1000", "20000"]:
        measure(int(given))
    many_versions(5000)
