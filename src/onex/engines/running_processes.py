"""RunningProcesses: the processes that serve the calls of an engine at this moment."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Generic, Protocol, TypeVar

from onex.engines.process_group import ProcessGroup, kill_groups
from onex.engines.reactor import Reactor


class ServingProcess(Protocol):
    """A process that serves a call."""

    @property
    def group(self) -> ProcessGroup:
        """The process, and all that it started."""
        ...

    def look(self) -> None:
        """See whether the process died whose pipes are held open by what it started."""
        ...

    def stop(self) -> None:
        """End the process, and with it the call that it serves."""
        ...


P = TypeVar("P", bound=ServingProcess)


class RunningProcesses(Generic[P]):
    """One process for each call that runs, each looked at from time to time."""

    def __init__(self, reactor: Reactor, look_seconds: float) -> None:
        """Begin with none; each is looked at every ``look_seconds``."""
        self._reactor = reactor
        self._look_seconds = look_seconds
        self._processes: dict[str, P] = {}

    def __iter__(self) -> Iterator[P]:
        return iter(tuple(self._processes.values()))

    def add(self, call_id: str, process: P) -> None:
        """Take in the process of a call that begins."""
        if not self._processes:
            self._set_timer()
        self._processes[call_id] = process

    def remove(self, call_id: str) -> None:
        """Forget the process of a call that ended."""
        del self._processes[call_id]

    def stop(self, call_id: str) -> None:
        """End a call, if it runs."""
        if call_id in self._processes:
            self._processes[call_id].stop()

    def stop_all(self, others: Iterable[P] = ()) -> None:
        """End every call, and other processes with them; all are killed before any is awaited."""
        processes = (*others, *self)
        kill_groups([process.group for process in processes])
        for process in processes:
            process.stop()

    def close(self) -> None:
        """Look at nothing any more."""
        self._reactor.clear_timer(self)

    def _set_timer(self) -> None:
        self._reactor.set_timer(self, time.perf_counter() + self._look_seconds, self._look)

    def _look(self) -> None:
        for process in self:
            process.look()
        if self._processes:
            self._set_timer()
