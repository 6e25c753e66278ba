"""Reading the manifests that changed, on all processors."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence

from onex.discovery.processors import share_out
from onex.discovery.source import Finding
from onex.storage.backend import SeenFile
from onex.storage.node_record import NodeRecord
from onex.storage.problems import read_problems, write_problems

MINIMUM_SHARE = 200
CHUNK = 4_000

Task = tuple[str, str]
"""The path of a manifest and its fingerprint."""


def read_manifests(tasks: Sequence[Task], read: Callable[[Task], Finding]) -> list[Finding]:
    """Apply ``read``, which may only read files, to every task; raises what it raises."""
    if len(tasks) < 2 * MINIMUM_SHARE:
        return [read(task) for task in tasks]

    def work(share: Sequence[Task]) -> bytes:
        return b"\n".join(_written(read(task)) for task in share)

    results = share_out(tasks, work, MINIMUM_SHARE)
    return [_finding(line) for result in results for line in result.split(b"\n")]


def read_in_chunks(tasks: Sequence[Task], read: Callable[[Task], Finding]) -> Iterator[Finding]:
    """The same, a chunk at a time, so that a large source needs little memory."""
    for start in range(0, len(tasks), CHUNK):
        yield from read_manifests(tasks[start : start + CHUNK], read)


def _written(finding: Finding) -> bytes:
    file = finding.file
    problems = write_problems(file.problems)
    fields = [file.path, file.fingerprint, file.outcome, problems, file.files, finding.node]
    return json.dumps(fields).encode()


def _finding(line: bytes) -> Finding:
    path, fingerprint, outcome, problems, files, node = json.loads(line)
    file = SeenFile(path, fingerprint, outcome, read_problems(problems), files)
    return Finding(file, None if node is None else NodeRecord._make(node))
