"""Serving a registry: one process, or several that share one listening socket."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from onex.domain.errors import OnexError, UsageError
from onex.server.app import ServerSettings, create_app
from onex.telemetry.logs import LogFormat, wanted_logs, write_logs

BACKLOG = 2_048
DRAIN_SECONDS = 10
KEEP_ALIVE_SECONDS = 30
HEADER_SECONDS = 15.0
CONCURRENCY = 2_000
CONNECTIONS_OF_AN_ADDRESS = 500
START_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Listening:
    """Where a server listens, and with how many processes; ``tls`` are a certificate and a key."""

    host: str
    port: int
    workers: int = 1
    tls: tuple[str, str] | None = None


class _HeaderTimeoutProtocol(H11Protocol):
    """HTTP/1.1 that hangs up if the head of a request does not arrive in time.

    The connections of one address are counted, so that none can take them all.
    """

    _open: ClassVar[Counter[str]] = Counter()
    _waiting: asyncio.TimerHandle | None = None
    _address: str | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        peer = transport.get_extra_info("peername")
        self._address = str(peer[0]) if peer else "local"
        self._open[self._address] += 1
        if self._open[self._address] > CONNECTIONS_OF_AN_ADDRESS:
            transport.abort()
            return
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._stop_waiting()
        if self._address is not None:
            self._open[self._address] -= 1
            if not self._open[self._address]:
                del self._open[self._address]

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._is_busy:
            self._stop_waiting()
        elif self._waiting is None:
            self._wait()

    @property
    def _is_busy(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _wait(self) -> None:
        self._waiting = self.loop.call_later(HEADER_SECONDS, self._hang_up)

    def _stop_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _hang_up(self) -> None:
        self._waiting = None
        if not self._is_busy and not self.transport.is_closing():
            self.transport.close()


class _Server(uvicorn.Server):
    """A server that says when it is ready, and ends when its parent does."""

    def __init__(self, config: uvicorn.Config, told: Callable[[], None]) -> None:
        super().__init__(config)
        self._told = told

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if not self.should_exit:
            self._told()


def listen(listening: Listening) -> socket.socket:
    """A listening socket; raises UsageError if there can be none."""
    family = socket.AF_INET6 if ":" in listening.host else socket.AF_INET
    # With the protocol named, asyncio sends at once (TCP_NODELAY): an answer is two writes, and the
    # second would wait for the peer's delayed acknowledgement.
    found = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind((listening.host, listening.port))
        found.listen(BACKLOG)
    except OSError as error:
        found.close()
        raise UsageError(
            f"{listening.host}:{listening.port} cannot be listened on: {error.strerror}",
            hint="choose another with --host and --port; --port 0 takes a free one",
        ) from error
    found.set_inheritable(True)
    return found


def serve(settings: ServerSettings, listening: Listening, ready: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM; requests that run are answered first.

    Args:
        settings: what is served.
        listening: where.
        ready: is told the URL as soon as requests are answered.

    Raises:
        UsageError: the address cannot be listened on.
    """
    with contextlib.closing(listen(listening)) as listener:
        port = listener.getsockname()[1]
        host = f"[{listening.host}]" if ":" in listening.host else listening.host
        url = f"{'https' if listening.tls else 'http'}://{host}:{port}/"
        if listening.workers == 1:
            serve_socket(settings, listener, listening.tls, lambda: ready(url))
        else:
            _supervise(settings, listener, listening, lambda: ready(url))


def serve_socket(
    settings: ServerSettings,
    listener: socket.socket,
    tls: tuple[str, str] | None,
    ready: Callable[[], None],
    parent_pipe: int | None = None,
) -> None:
    """Serve on a socket that listens, until a signal, or until the pipe of the parent ends."""
    write_logs(wanted_logs(os.environ, LogFormat.HUMAN))
    ending: list[uvicorn.Server] = []
    app = create_app(settings, is_ending=lambda: any(s.should_exit for s in ending))
    config = uvicorn.Config(
        app,
        http=_HeaderTimeoutProtocol,
        ws="none",
        loop="asyncio",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        limit_concurrency=CONCURRENCY,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=DRAIN_SECONDS,
        ssl_certfile=tls[0] if tls else None,
        ssl_keyfile=tls[1] if tls else None,
    )
    server = _Server(config, ready)
    ending.append(server)
    if parent_pipe is not None:
        threading.Thread(target=_end_with, args=(parent_pipe, server), daemon=True).start()
    server.run(sockets=[listener])


def _end_with(pipe: int, server: uvicorn.Server) -> None:
    """Shut a server down if its parent process ends, and with it the pipe."""
    while os.read(pipe, 1):
        pass
    server.should_exit = True


def _supervise(
    settings: ServerSettings,
    listener: socket.socket,
    listening: Listening,
    ready: Callable[[], None],
) -> None:
    """Keep processes that serve one socket, until a signal ends them all."""
    signals, woken = os.pipe()
    os.set_blocking(woken, False)
    before = signal.set_wakeup_fd(woken)
    handlers = {n: signal.signal(n, lambda *_: None) for n in (signal.SIGINT, signal.SIGTERM)}
    workers: list[_Worker] = []
    try:
        while len(workers) < listening.workers:
            workers.append(_Worker(settings, listener, listening.tls))
        for worker in workers:
            worker.wait_until_ready()
        ready()
        while not _was_signalled(signals):
            for position, worker in enumerate(workers):
                if worker.process.poll() is not None:
                    # It crashed, or was killed by somebody.
                    workers[position] = _Worker(settings, listener, listening.tls)
    finally:
        for worker in workers:
            worker.end()
        for worker in workers:
            worker.wait()
        # Only now, so that a second signal does not leave workers behind.
        signal.set_wakeup_fd(before)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        os.close(signals)
        os.close(woken)


def _was_signalled(pipe: int) -> bool:
    readable, _, _ = select.select([pipe], [], [], 0.5)
    return bool(readable)


class _Worker:
    """One process that serves the shared socket; its standard input tells it how long."""

    def __init__(
        self, settings: ServerSettings, listener: socket.socket, tls: tuple[str, str] | None
    ) -> None:
        body = {
            "home": str(settings.home),
            "start": str(settings.start),
            "hosts": list(settings.hosts),
            "socket": listener.fileno(),
            "tls": tls,
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "onex.server.worker", json.dumps(body)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=(listener.fileno(),),
            # Signals of a terminal reach the parent alone, which ends its workers in order.
            start_new_session=True,
        )

    def wait_until_ready(self) -> None:
        stdout = self.process.stdout
        readable = select.select([stdout], [], [], START_SECONDS)[0] if stdout else []
        if not readable or not stdout or not stdout.readline():
            raise OnexError("a process of the server did not start", hint="its log says why")

    def end(self) -> None:
        if self.process.stdin:
            self.process.stdin.close()

    def wait(self) -> None:
        try:
            self.process.wait(DRAIN_SECONDS + 5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.process.stdout:
            self.process.stdout.close()


@contextlib.contextmanager
def worker_settings(text: str) -> Iterator[tuple[ServerSettings, socket.socket, Sequence[str]]]:
    """What a worker was started with: settings, the socket, and the files for TLS."""
    body = json.loads(text)
    settings = ServerSettings(
        Path(body["home"]), Path(body["start"]), tuple(body["hosts"]), has_one_process=False
    )
    with socket.socket(fileno=body["socket"]) as listener:
        yield settings, listener, tuple(body["tls"] or ())
