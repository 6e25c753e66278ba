"""A transaction pooler before a PostgreSQL server, as operators put one there.

It speaks as much of the protocol as that needs (PostgreSQL documentation, "Message Formats"):
each transaction of a client goes to the server connection that was idle longest, so that nothing
that a client leaves in its session is there for its next transaction.
"""

from __future__ import annotations

import queue
import select
import socket
import struct
import threading
from pathlib import Path

_PROTOCOL = 196_608
_READY, _IDLE = b"Z", b"I"
# After these messages of a client the server says when it is ready again.
_ENDS_REQUEST = (b"Q", b"S")


class Pooler:
    """Listens on a socket in a folder, and shares connections to one database."""

    port = 6432

    def __init__(self, folder: Path, server: Path, database: str, connections: int = 3) -> None:
        """``server`` is the socket of the server, as in ``/run/.s.PGSQL.5432``."""
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(folder / f".s.PGSQL.{self.port}"))
        self._listener.listen()
        self._idle: queue.Queue[socket.socket] = queue.Queue()
        self._sockets: list[socket.socket] = [self._listener]
        self.transactions = 0
        for _ in range(connections):
            connection, self._greeting = _connect(server, database)
            self._sockets.append(connection)
            self._idle.put(connection)
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Close every connection."""
        for each in self._sockets:
            each.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._sockets.append(client)
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        try:
            (length,) = struct.unpack("!i", _exactly(client, 4))
            _exactly(client, length - 4)
            client.sendall(self._greeting)
            while True:
                first = _message(client)
                if first[:1] == b"X":
                    return
                server = self._idle.get(timeout=30)
                self.transactions += 1
                _carry(client, server, first)
                self._idle.put(server)
        except (OSError, EOFError):
            return
        finally:
            client.close()


def _carry(client: socket.socket, server: socket.socket, message: bytes) -> None:
    """Carry messages both ways until the server has answered all and is in no transaction."""
    server.sendall(message)
    unanswered, status = int(message[:1] in _ENDS_REQUEST), b""
    while unanswered or status != _IDLE:
        for ready in select.select([client, server], [], [])[0]:
            message = _message(ready)
            if ready is client:
                server.sendall(message)
                unanswered += message[:1] in _ENDS_REQUEST
            else:
                client.sendall(message)
                if message[:1] == _READY:
                    unanswered, status = unanswered - 1, message[5:6]


def _connect(server: Path, database: str) -> tuple[socket.socket, bytes]:
    """A connection to the server, and what it says at the beginning."""
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(str(server))
    options = b"".join(part.encode() + b"\0" for part in ("user", "postgres", "database", database))
    body = struct.pack("!i", _PROTOCOL) + options + b"\0"
    connection.sendall(struct.pack("!i", len(body) + 4) + body)
    greeting = b""
    while True:
        message = _message(connection)
        greeting += message
        if message[:1] == b"E":
            raise OSError(message.decode("utf-8", "replace"))
        if message[:1] == _READY:
            return connection, greeting


def _message(connection: socket.socket) -> bytes:
    head = _exactly(connection, 5)
    (length,) = struct.unpack("!i", head[1:])
    return head + _exactly(connection, length - 4)


def _exactly(connection: socket.socket, count: int) -> bytes:
    found = b""
    while len(found) < count:
        more = connection.recv(count - len(found))
        if not more:
            raise EOFError
        found += more
    return found
