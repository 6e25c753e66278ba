"""ProcessEngine: each node in a separate process, kept warm for the next call if it may be.

A separate process protects the host from crashes, hangs and leaks of memory. Whether it is a
security boundary too depends on how it is started.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections import deque
from pathlib import Path
from typing import Protocol

from onex.domain.errors import (
    InvalidResultError,
    IsolationUnavailableError,
    NodeRaisedError,
    OnexError,
    WorkerDiedError,
)
from onex.domain.result import CallEnd, CallFailure, IsolationLevel
from onex.engines.engine import LoadedNode, NodeCall, cancelled_call
from onex.engines.process_group import ProcessGroup
from onex.engines.reactor import Reactor
from onex.engines.running_processes import RunningProcesses
from onex.engines.supervisor import Supervisor
from onex.engines.worker_process import OnWorkerEnd, WorkerProcess
from onex.worker import main as worker_main

IDLE_WORKERS_PER_JOB = 2
CALLS_PER_WORKER = 1_000
"""A worker is replaced after so many calls, so that what a node leaks stays bounded."""

LIVENESS_CHECK_SECONDS = 0.5
"""How long a worker that died may go unnoticed, if what it started holds its pipes open."""


class WorkerStarter(Protocol):
    """Starts worker processes at an isolation level."""

    @property
    def isolation(self) -> IsolationLevel:
        """The level that is really applied."""
        ...

    def is_warm(self, call: NodeCall) -> bool:
        """Whether a process that served other calls may serve this one, and the next one too."""
        ...

    def start(self, call: NodeCall, on_end: OnWorkerEnd) -> WorkerProcess:
        """Start a worker for a call; raises WorkerDiedError if it cannot be started."""
        ...

    def start_ahead(self, node: LoadedNode, on_end: OnWorkerEnd) -> WorkerProcess | None:
        """Get ready for calls of a node: by a worker, if one can be had before there is a call.

        Raises:
            WorkerDiedError: it cannot be started.
        """
        ...


class PlainWorkers:
    """Starts workers that may do whatever the user may: no security boundary."""

    isolation = IsolationLevel.PROCESS

    def __init__(self, reactor: Reactor, supervisor: Supervisor) -> None:
        self._reactor = reactor
        self._supervisor = supervisor

    def is_warm(self, call: NodeCall) -> bool:
        return True

    def start(self, call: NodeCall, on_end: OnWorkerEnd) -> WorkerProcess:
        return self.start_ahead(call.node, on_end)

    def start_ahead(self, node: LoadedNode, on_end: OnWorkerEnd) -> WorkerProcess:
        script = worker_main.__file__
        try:
            lifeline, life = os.pipe()
        except OSError as error:
            raise WorkerDiedError(
                f"the process could not be started: {error.strerror}",
                hint="check the limits on open files and processes",
            ) from error
        try:
            group = ProcessGroup.of_command(
                [
                    *(sys.executable, "-I", "-X", "utf8"),
                    *(script, str(Path(script).parents[2])),
                    *(str(node.folder), str(node.file), node.callable_name, str(lifeline)),
                ],
                node.folder,
                node.variables,
                self._supervisor,
                inherited=[lifeline],
            )
        except WorkerDiedError:
            os.close(life)
            raise
        finally:
            os.close(lifeline)
        return WorkerProcess(node, group, self._reactor, on_end, life=life)


class ProcessEngine:
    """Executes calls in worker processes, one node to a process."""

    times_calls = False

    def __init__(self, jobs: int, reactor: Reactor, workers: WorkerStarter) -> None:
        """Raises IsolationUnavailableError if the system has no POSIX processes."""
        if os.name != "posix":
            raise IsolationUnavailableError(
                "separate processes for nodes need a POSIX system",
                hint="use --isolation inline for nodes that you trust",
            )
        self.isolation = workers.isolation
        self._workers = workers
        self._maximum_idle = jobs * IDLE_WORKERS_PER_JOB
        self._idle: deque[WorkerProcess] = deque()
        self._busy = RunningProcesses[WorkerProcess](reactor, LIVENESS_CHECK_SECONDS)
        self._is_cancelled = False

    def preload(self, node: LoadedNode) -> None:
        workers = [w for w in (*self._idle, *self._busy) if not w.is_closed]
        is_known = any(worker.node.shares_process_with(node) for worker in workers)
        if self._is_cancelled or is_known or len(workers) >= self._maximum_idle:
            return
        # The call itself will tell what is wrong.
        with contextlib.suppress(WorkerDiedError):
            worker = self._workers.start_ahead(node, self._ended)
            if worker is not None:
                self._idle.appendleft(worker)

    def start(self, call: NodeCall) -> None:
        if self._is_cancelled:
            call.fail(cancelled_call().error, is_made=False)
            return
        is_warm = self._workers.is_warm(call)
        try:
            worker = self._idle_worker(call.node) if is_warm else None
            if worker is None:
                worker = self._workers.start(call, self._ended)
        except WorkerDiedError as error:
            call.fail(error)
            return
        try:
            call.on_start(call.id)
        except OnexError as error:
            worker.close()
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

    def _idle_worker(self, node: LoadedNode) -> WorkerProcess | None:
        """The worker of a node that was used last, if one is idle."""
        # Those that died while they were idle took room from the others.
        self._idle = deque(worker for worker in self._idle if not worker.is_closed)
        for worker in reversed(self._idle):
            if worker.node.shares_process_with(node):
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
        if is_usable and self._workers.is_warm(call) and worker.calls < CALLS_PER_WORKER:
            self._keep(worker)
        else:
            worker.close()
        call.on_end(end, worker.started, ended)

    def _keep(self, worker: WorkerProcess) -> None:
        self._idle.append(worker)
        while len(self._idle) > self._maximum_idle:
            self._idle.popleft().close()
