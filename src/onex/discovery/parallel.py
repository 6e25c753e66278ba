"""Reading the manifests that changed, on all processors."""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Generic, TypeVar

from onex.discovery.source import Finding
from onex.domain.errors import read_problems, write_problems
from onex.storage.backend import SeenFile
from onex.storage.node_record import NodeRecord

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

    results = map_in_processes(tasks, work, MINIMUM_SHARE)
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


T = TypeVar("T")


def map_in_processes(
    items: Sequence[T],
    work: Callable[[Sequence[T]], bytes],
    minimum_share: int,
) -> list[bytes]:
    """Map work over items in forked processes; the results are in the order of the items.

    Args:
        items: what to work on.
        work: reads files and returns what it found, and does nothing else.
        minimum_share: how many items make a process of its own worth its start.

    Raises:
        what ``work`` raises.
    """
    count = min(_processors(), len(items) // minimum_share)
    if count < 2 or not _can_fork():
        return [work(items)]
    size = -(-len(items) // count)
    shares = [items[start : start + size] for start in range(0, len(items), size)]
    processes = [_Process.start(share, work) for share in shares[1:]]
    try:
        results = [work(shares[0])]
        for process in processes:
            result = process.result()
            results.append(work(process.share) if result is None else result)
    finally:
        for process in processes:
            process.stop()
    return results


@dataclass(slots=True)
class _Process(Generic[T]):
    """A forked process that does a share of the work."""

    share: Sequence[T]
    output: BinaryIO
    process_id: int
    is_running: bool = True

    @classmethod
    def start(cls, share: Sequence[T], work: Callable[[Sequence[T]], bytes]) -> _Process[T]:
        output = tempfile.TemporaryFile()  # noqa: SIM115 - closed by stop
        process_id = os.fork()
        if process_id == 0:
            _do(share, work, output)
        return cls(share, output, process_id)

    def result(self) -> bytes | None:
        """The result of the process; None if it failed."""
        _, status = os.waitpid(self.process_id, 0)
        self.is_running = False
        if status != 0:
            return None
        self.output.seek(0)
        return self.output.read()

    def stop(self) -> None:
        """End the process, if it still runs, and drop its file."""
        if self.is_running:
            os.kill(self.process_id, signal.SIGKILL)
            os.waitpid(self.process_id, 0)
            self.is_running = False
        self.output.close()


def _do(share: Sequence[T], work: Callable[[Sequence[T]], bytes], output: BinaryIO) -> None:
    """What a forked process does; it ends here, without any of the parent's clean-up."""
    status = 1
    try:
        gc.disable()
        output.write(work(share))
        output.flush()
        status = 0
    finally:
        os._exit(status)


def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _can_fork() -> bool:
    """Whether a fork is safe: other threads may hold locks, and macOS forbids it in practice."""
    return sys.platform == "linux" and threading.active_count() == 1
