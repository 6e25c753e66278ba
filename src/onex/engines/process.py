"""ProcessEngine: each node in a separate process, kept warm for the next call.

A separate process protects the host from crashes, hangs and leaks of memory. It
is not a security boundary: the node may do whatever the user may.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections import deque
from collections.abc import Iterable

from onex.domain.errors import (
    InvalidResultError,
    IsolationUnavailableError,
    NodeRaisedError,
)
from onex.domain.result import IsolationLevel
from onex.engines.engine import (
    CallFailedError,
    CallOutcome,
    LoadedNode,
    NodeCall,
    cancelled_call,
)
from onex.engines.supervisor import Supervisor
from onex.engines.worker_process import WorkerProcess

IDLE_WORKERS_PER_JOB = 2
CALLS_PER_WORKER = 1_000
"""A worker is replaced after so many calls, so that what a node leaks stays bounded."""


class ProcessEngine:
    """Executes calls in warm worker processes, one node digest to a process."""

    isolation = IsolationLevel.PROCESS

    def __init__(self, jobs: int, supervisor: Supervisor) -> None:
        """Raises IsolationUnavailableError where the system has no POSIX processes."""
        if os.name != "posix":
            raise IsolationUnavailableError(
                "separate processes for nodes need a POSIX system",
                hint="use --isolation inline for nodes that you trust",
            )
        self._supervisor = supervisor
        self._maximum_idle = jobs * IDLE_WORKERS_PER_JOB
        self._lock = threading.Lock()
        self._idle: deque[WorkerProcess] = deque()
        self._busy: set[WorkerProcess] = set()
        self._preloading: dict[str, threading.Thread] = {}
        self._is_cancelled = False

    def execute(self, call: NodeCall) -> CallOutcome:
        process = self._acquire(call.node)
        try:
            outcome = process.execute(call)
        except CallFailedError as failure:
            is_usable = isinstance(failure.error, NodeRaisedError | InvalidResultError)
            is_whole = is_usable and not process.is_spent and process.group.is_alive
            self._release(process, is_usable=is_whole)
            if self._is_cancelled and not is_usable:
                raise cancelled_call(failure.log) from failure
            raise
        except BaseException:
            self._release(process, is_usable=False)
            raise
        self._release(process, is_usable=not process.is_spent)
        return outcome

    def preload(self, nodes: Iterable[LoadedNode]) -> None:
        for node in nodes:
            with self._lock:
                count = len(self._idle) + len(self._busy) + len(self._preloading)
                if self._is_cancelled or count >= self._maximum_idle:
                    return
                known = {worker.digest for worker in (*self._idle, *self._busy)}
                if node.digest in known or node.digest in self._preloading:
                    continue
                thread = threading.Thread(target=self._preload, args=(node,), daemon=True)
                self._preloading[node.digest] = thread
                # Still under the lock: whoever finds the thread may wait for it.
                thread.start()

    def _preload(self, node: LoadedNode) -> None:
        process = None
        # The call itself will tell what is wrong.
        with contextlib.suppress(CallFailedError):
            process = WorkerProcess(node, self._supervisor)
        with self._lock:
            del self._preloading[node.digest]
            if process is not None and not self._is_cancelled:
                self._idle.appendleft(process)
                return
        if process is not None:
            process.close()

    def _acquire(self, node: LoadedNode) -> WorkerProcess:
        with self._lock:
            self._refuse_if_cancelled()
            preloading = self._preloading.get(node.digest)
        if preloading is not None:
            preloading.join()
        with self._lock:
            self._refuse_if_cancelled()
            found = next((w for w in reversed(self._idle) if w.digest == node.digest), None)
            if found is not None:
                self._idle.remove(found)
                self._busy.add(found)
                return found
        process = WorkerProcess(node, self._supervisor)
        with self._lock:
            if not self._is_cancelled:
                self._busy.add(process)
                return process
        process.close()
        raise cancelled_call()

    def _refuse_if_cancelled(self) -> None:
        if self._is_cancelled:
            raise cancelled_call()

    def _release(self, process: WorkerProcess, *, is_usable: bool) -> None:
        surplus = []
        with self._lock:
            self._busy.discard(process)
            if is_usable and not self._is_cancelled and process.calls < CALLS_PER_WORKER:
                self._idle.append(process)
                while len(self._idle) > self._maximum_idle:
                    surplus.append(self._idle.popleft())
            else:
                surplus.append(process)
        for worker in surplus:
            worker.close()

    def cancel(self) -> None:
        with self._lock:
            self._is_cancelled = True
            busy, idle = list(self._busy), list(self._idle)
            self._idle.clear()
        for process in busy:
            # Its thread sees the end, and closes the rest.
            process.group.kill()
        for process in idle:
            process.close()

    def close(self) -> None:
        self.cancel()
        with self._lock:
            preloading = list(self._preloading.values())
        for thread in preloading:
            thread.join()
