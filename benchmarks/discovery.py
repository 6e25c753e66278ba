"""Scans of a generated tree, beside one bare walk of it. Usage: discovery.py [NODES]"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

from measure import median_seconds

from onex import Registry

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


def generate(root: Path, count: int) -> None:
    for i in range(count):
        folder = root / f"group{i % 50}" / f"n{i}"
        folder.mkdir(parents=True)
        text = MANIFEST.format(i=i, group=i % 50, minor=i % 7)
        (folder / "node.onex.yaml").write_text(text)
        (folder / "node.py").write_text(f"def execute(context, *, x=1):\n    return x + {i}\n")


def walk(root: Path) -> None:
    pending = [str(root)]
    while pending:
        with os.scandir(pending.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    pending.append(entry.path)
                else:
                    entry.stat(follow_symlinks=False)


def main(count: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder, "tree")
        generate(tree, count)
        time.sleep(0.1)

        def scan(home: str) -> float:
            with Registry.open(Path(folder, home)) as registry:
                started = time.perf_counter()
                report = registry.scan([tree])
                assert report.nodes == count, report
                return time.perf_counter() - started

        bare = median_seconds(lambda: walk(tree))
        first = sorted(scan(f"home{round_}") for round_ in range(5))[2]
        again = sorted(scan("home0") for _ in range(5))[2]
        for i in range(min(100, count)):
            file = tree / f"group{i % 50}" / f"n{i}" / "node.py"
            file.write_text(file.read_text() + "# changed\n")
        changed = scan("home0")
    print(f"nodes                      {count}")
    print(f"walk and stat, nothing else {bare * 1000:8.1f} ms")
    print(f"first scan                  {first * 1000:8.1f} ms  ({first / bare:.1f} walks)")
    print(f"rescan, nothing changed     {again * 1000:8.1f} ms  ({again / bare:.1f} walks)")
    print(f"rescan, 100 changed         {changed * 1000:8.1f} ms  ({changed / bare:.1f} walks)")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
