"""ProcessEngine: each node in a separate process, kept warm for the next call.

A separate process protects the host from crashes, hangs and leaks of memory. It
is not a security boundary: the node may do whatever the user may.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections import deque

from onex.domain.errors import (
    InvalidResultError,
    IsolationUnavailableError,
    NodeRaisedError,
    OnexError,
    WorkerDiedError,
)
from onex.domain.result import CallEnd, CallFailure, IsolationLevel
from onex.engines.engine import LoadedNode, NodeCall, cancelled_call
from onex.engines.reactor import Reactor
from onex.engines.running_processes import RunningProcesses
from onex.engines.supervisor import Supervisor
from onex.engines.worker_process import WorkerProcess

IDLE_WORKERS_PER_JOB = 2
CALLS_PER_WORKER = 1_000
"""A worker is replaced after so many calls, so that what a node leaks stays bounded."""

LIVENESS_CHECK_SECONDS = 0.5
"""How long a worker that died may go unnoticed, if what it started holds its pipes open."""


class ProcessEngine:
    """Executes calls in warm worker processes, one node digest to a process."""

    isolation = IsolationLevel.PROCESS

    def __init__(self, jobs: int, reactor: Reactor, supervisor: Supervisor) -> None:
        """Raises IsolationUnavailableError if the system has no POSIX processes."""
        if os.name != "posix":
            raise IsolationUnavailableError(
                "separate processes for nodes need a POSIX system",
                hint="use --isolation inline for nodes that you trust",
            )
        self._reactor = reactor
        self._supervisor = supervisor
        self._maximum_idle = jobs * IDLE_WORKERS_PER_JOB
        self._idle: deque[WorkerProcess] = deque()
        self._busy = RunningProcesses[WorkerProcess](reactor, LIVENESS_CHECK_SECONDS)
        self._is_cancelled = False

    def preload(self, node: LoadedNode) -> None:
        workers = [w for w in (*self._idle, *self._busy) if not w.is_closed]
        is_known = any(worker.digest == node.digest for worker in workers)
        if self._is_cancelled or is_known or len(workers) >= self._maximum_idle:
            return
        # The call itself will tell what is wrong.
        with contextlib.suppress(WorkerDiedError):
            self._idle.appendleft(self._new_worker(node))

    def start(self, call: NodeCall) -> None:
        if self._is_cancelled:
            call.fail(cancelled_call().error, is_made=False)
            return
        try:
            worker = self._idle_worker(call.node) or self._new_worker(call.node)
        except WorkerDiedError as error:
            call.fail(error)
            return
        try:
            call.on_start(call.id)
        except OnexError as error:
            self._idle.append(worker)
            call.fail(error)
            return
        self._busy.add(call.id, worker)
        worker.start(call)

    def stop(self, call_id: str) -> None:
        self._busy.stop(call_id)

    def cancel(self) -> None:
        self._is_cancelled = True
        idle = tuple(self._idle)
        self._idle.clear()
        self._busy.stop_all(idle)

    def close(self) -> None:
        self.cancel()
        self._busy.close()

    def _new_worker(self, node: LoadedNode) -> WorkerProcess:
        return WorkerProcess(node, self._reactor, self._supervisor, self._ended)

    def _idle_worker(self, node: LoadedNode) -> WorkerProcess | None:
        """The worker of a node that was used last, if one is idle."""
        # Those that died while they were idle took room from the others.
        self._idle = deque(worker for worker in self._idle if not worker.is_closed)
        for worker in reversed(self._idle):
            if worker.digest == node.digest:
                self._idle.remove(worker)
                return worker
        return None

    def _ended(self, worker: WorkerProcess, call: NodeCall, end: CallEnd) -> None:
        ended = time.perf_counter()
        self._busy.remove(call.id)
        is_usable = not (worker.is_spent or worker.is_closed or self._is_cancelled)
        if isinstance(end, CallFailure) and is_usable:
            is_usable = (
                isinstance(end.error, NodeRaisedError | InvalidResultError)
                and worker.group.is_alive
            )
        if is_usable and worker.calls < CALLS_PER_WORKER:
            self._idle.append(worker)
            while len(self._idle) > self._maximum_idle:
                self._idle.popleft().close()
        else:
            worker.close()
        call.on_end(end, worker.started, ended)
