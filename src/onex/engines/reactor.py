"""Reactor: one thread waits for descriptors, moments and other threads at once.

The pattern is D. C. Schmidt's ("Reactor", 1995). Everything that happens is handled in the
thread that waits, so those who are called need no locks.
"""

from __future__ import annotations

import math
import selectors
import signal
import socket
import time
from collections import deque
from collections.abc import Callable, Hashable

Callback = Callable[[], None]

LONGEST_WAIT_SECONDS = 3600.0

_CLOSED_TERMINAL = (signal.SIGHUP,) if hasattr(signal, "SIGHUP") else ()


class Reactor:
    """All methods but ``post`` belong to one thread. Moments are those of ``perf_counter``."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._watched: dict[int, Callback] = {}
        self._timers: dict[Hashable, tuple[float, Callback]] = {}
        self._posted: deque[Callback] = deque()
        self._is_waiting = False
        # A socket pair rather than a pipe, which Windows cannot wait for.
        self._wake_end, self._waking_end = socket.socketpair()
        self._wake_end.settimeout(0)
        self._waking_end.settimeout(0)
        self._selector.register(self._wake_end, selectors.EVENT_READ)

    def close(self) -> None:
        """Release the descriptors; nothing is handled any more."""
        self._selector.close()
        self._wake_end.close()
        self._waking_end.close()

    def watch(self, descriptor: int, callback: Callback) -> None:
        """Call back whenever a descriptor can be read, or is at its end."""
        self._watched[descriptor] = callback
        self._selector.register(descriptor, selectors.EVENT_READ)

    def watch_writing(self, descriptor: int, callback: Callback) -> None:
        """Call back whenever a descriptor can be written to, or nobody reads from it."""
        self._watched[descriptor] = callback
        self._selector.register(descriptor, selectors.EVENT_WRITE)

    def unwatch(self, descriptor: int) -> None:
        """Watch a descriptor no longer; nothing happens if it is not watched."""
        if self._watched.pop(descriptor, None) is not None:
            self._selector.unregister(descriptor)

    def set_timer(self, key: Hashable, moment: float, callback: Callback) -> None:
        """Call back once at a moment; replaces the timer with the same key."""
        self._timers[key] = (moment, callback)

    def clear_timer(self, key: Hashable) -> None:
        """Forget a timer; nothing happens if it is not set."""
        self._timers.pop(key, None)

    def post(self, callback: Callback) -> None:
        """Have the waiting thread call back; from any thread, and from signal handlers."""
        self._posted.append(callback)
        if self._is_waiting:
            # Once is enough, and sending lets other threads run, which costs more than the rest.
            self._is_waiting = False
            try:
                self._waking_end.send(b"\0")
            except OSError:
                # It is full, so that it wakes the thread anyway, or closed.
                return

    @property
    def has_posted(self) -> bool:
        """Whether another thread posted something that is not handled yet."""
        return bool(self._posted)

    def wait(self, until: float = math.inf) -> None:
        """Wait until something happens or a moment comes, and handle all that has happened."""
        for moment, _ in self._timers.values():
            until = min(until, moment)
        timeout = None
        if until < math.inf:
            # Systems count in milliseconds, of which they take no more than some weeks.
            timeout = min(max(0.0, until - time.perf_counter()), LONGEST_WAIT_SECONDS)
        # In this order: whoever posts after the question sees that it must wake this thread.
        self._is_waiting = True
        ready = self._selector.select(0.0 if self._posted else timeout)
        self._is_waiting = False
        for key, _ in ready:
            if key.fileobj is self._wake_end:
                self._drain()
            elif (callback := self._watched.get(key.fd)) is not None:
                callback()
        self.handle_posted()
        if self._timers:
            self._handle_timers(time.perf_counter())

    def handle_posted(self) -> None:
        """Handle what other threads have posted by now, without waiting."""
        for _ in range(len(self._posted)):
            self._posted.popleft()()

    def _handle_timers(self, now: float) -> None:
        for key, (moment, callback) in tuple(self._timers.items()):
            if moment <= now and self._timers.pop(key, None) is not None:
                callback()

    def _drain(self) -> None:
        try:
            while self._wake_end.recv(4096):
                continue
        except BlockingIOError:
            return
