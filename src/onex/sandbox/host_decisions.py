"""HostDecisions: answers the calls of a confined process that need a decision.

Arguments are read once, judged as the host's own copy, and acted on by the host itself: what a
process changes meanwhile has no effect. What is let through to the kernel meets Landlock there.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import socket
import struct
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from onex.sandbox import confined_files
from onex.sandbox.network_broker import GrantedHost, NetworkBroker, address_of
from onex.sandbox.notification import CallGoneError, Listener, WaitingCall
from onex.sandbox.rules import SandboxRules
from onex.sandbox.system_calls import NUMBERS, Kernel, number_of
from onex.telemetry.logs import log_fields
from onex.worker.name_lookup import LOOKUP_FOLDER

HOSTS_FILE = "/etc/hosts"
SHARED_MEMORY = "/dev/shm/"  # noqa: S108 - a name that processes use, in whose place a folder is
LOGGER = logging.getLogger("onex.sandbox")

MAXIMUM_WAITING = 16
"""How many calls of one process may wait for the network at once."""

_CURRENT_FOLDER = 0xFFFF_FF9C
_NO_FOLLOW = 0x100
_NOW, _UNCHANGED = (1 << 30) - 1, (1 << 30) - 2
_PROTOCOL, _TCP = 38, 6
_MAXIMUM_ADDRESS_BYTES = 128
_SHARED_FLAGS = os.O_ACCMODE | os.O_CREAT | os.O_EXCL | os.O_TRUNC


@dataclass(slots=True)
class CallPlaces:
    """The files and folders that the host opens and changes for one process.

    ``read``: those that were handed over to the call that runs. ``write``: its own folder first,
    then those that it is granted. ``shared``: the folder that stands for shared memory.
    ``correlation_id`` is that of the call, for log records.
    """

    write: tuple[str, ...]
    shared: str
    read: tuple[str, ...] = ()
    correlation_id: str = ""


class HostDecisions:
    """The answers for one process and all that it started."""

    def __init__(
        self,
        listener: Listener,
        rules: SandboxRules,
        places: CallPlaces,
        broker: NetworkBroker,
    ) -> None:
        """``places`` may change from call to call, while ``rules`` stay."""
        self.listener = listener
        self.places = places
        self._rules = rules
        self._broker = broker
        self._waiting = 0
        self._peers: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._hosts = [GrantedHost.parse(resource) for resource in rules.hosts]
        self._kernel = kernel = Kernel()
        self._handlers: Mapping[int | None, Callable[[WaitingCall], None]] = {
            number_of(name, kernel.architecture): handler
            for name, handler in {
                "open": lambda call: self._open(call, _CURRENT_FOLDER, *call.arguments[:3]),
                "openat": lambda call: self._open(call, *call.arguments[:4]),
                "connect": self._connect,
                "chmod": lambda call: self._chmod(call, _CURRENT_FOLDER, *call.arguments[:2]),
                "fchmodat": lambda call: self._chmod(call, *call.arguments[:3]),
                "fchmodat2": lambda call: self._chmod(call, *call.arguments[:3]),
                "fchmod": self._chmod_opened,
                "utimensat": lambda call: self._set_times(call, *call.arguments[:4]),
                "link": lambda call: self._link(call, *call.arguments[:2]),
                "linkat": lambda call: self._link(call, call.arguments[1], call.arguments[3]),
                "unlink": lambda call: self._unlink(call, call.arguments[0]),
                "unlinkat": lambda call: self._unlink(call, call.arguments[1]),
            }.items()
            if NUMBERS[name]
        }

    def answer_next(self) -> None:
        """Answer the call that waits first."""
        call = self.listener.receive()
        if call is None:
            return
        handler = self._handlers.get(call.number)
        try:
            if handler is None:
                self.listener.fail(call, errno.EPERM)
            else:
                handler(call)
        except CallGoneError:
            return
        except OSError as error:
            self.listener.fail(call, error.errno or errno.EPERM)
        except (ValueError, OverflowError, struct.error):
            # Numbers, texts and structures that make no sense.
            self.listener.fail(call, errno.EINVAL)

    def close(self) -> None:
        """Answer nothing any more, and end what waits for the network."""
        self.listener.close()
        with self._lock:
            for peer in self._peers:
                with contextlib.suppress(OSError):
                    peer.shutdown(socket.SHUT_RDWR)

    def _wait_for(self, act: Callable[[], None]) -> None:
        """Do beside the run what waits for the network; raises OSError if too much does."""
        with self._lock:
            if self._waiting >= MAXIMUM_WAITING:
                raise OSError(errno.EAGAIN, "too much is waiting for the network")
            self._waiting += 1

        def act_and_count() -> None:
            try:
                act()
            finally:
                with self._lock:
                    self._waiting -= 1

        try:
            threading.Thread(target=act_and_count, name="onex-network", daemon=True).start()
        except RuntimeError as error:
            with self._lock:
                self._waiting -= 1
            raise OSError(errno.EAGAIN, "no thread can be started") from error

    def _path(self, call: WaitingCall, folder: int, address: int) -> str:
        """The path that a call names, from the root, without links resolved."""
        path = os.fsdecode(self.listener.text(call, address))
        if not path.startswith("/"):
            at = "cwd" if folder & 0xFFFF_FFFF == _CURRENT_FOLDER else f"fd/{folder & 0x7FFFFFFF}"
            base = os.readlink(f"/proc/{call.thread}/{at}")  # noqa: PTH115 - in every call
            self.listener.require(call)
            path = f"{base}/{path}"
        return os.path.normpath(path)

    def _open(
        self, call: WaitingCall, folder: int, address: int, flags: int, mode: int = 0
    ) -> None:
        path, flags = self._path(call, folder, address), flags & 0xFFFF_FFFF
        if flags & os.O_PATH:
            self.listener.proceed(call)
        elif (found := self._handed_over(path)) is not None:
            place, path = found
            hidden = self._rules.hidden
            opened = confined_files.open_for_reading(self._kernel, place, path, flags, hidden)
            self._hand_over(call, opened, flags)
        elif path.startswith(SHARED_MEMORY) and self._rules.starts_processes:
            os.makedirs(self.places.shared, mode=0o700, exist_ok=True)  # noqa: PTH103
            shared = self._shared(path)
            mode = mode & 0o600 if flags & os.O_CREAT else 0
            opened = confined_files.open_beneath(
                self._kernel, self.places.shared, shared, flags & _SHARED_FLAGS, mode
            )
            self._hand_over(call, opened, flags)
        elif self._hosts and (path == HOSTS_FILE or path.startswith(LOOKUP_FOLDER)):
            self._wait_for(lambda: self._look_up(call, path, flags))
        else:
            self.listener.proceed(call)

    def _handed_over(self, path: str) -> tuple[str, str] | None:
        """The place that was handed over and leads to a path, and the path without links."""
        if not self.places.read:
            return None
        place = confined_files.place_of(path, self.places.read)
        if place is None:
            # Places are real paths, and the node was told another that leads there.
            path = os.path.realpath(path)
            place = confined_files.place_of(path, self.places.read)
        return None if place is None else (place, path)

    def _hand_over(self, call: WaitingCall, descriptor: int, flags: int) -> None:
        try:
            self.listener.give(call, descriptor, close_on_exec=bool(flags & os.O_CLOEXEC))
        finally:
            os.close(descriptor)

    def _look_up(self, call: WaitingCall, path: str, flags: int) -> None:
        try:
            if path == HOSTS_FILE:
                text = self._broker.hosts_file(self._hosts)
            else:
                found = self._broker.addresses(path.removeprefix(LOOKUP_FOLDER), self._hosts)
                text = "".join(f"{address}\n" for address in found)
            written = os.memfd_create("hosts", os.MFD_CLOEXEC)
            try:
                os.write(written, text.encode())
                os.fchmod(written, 0o400)
                # It is the host's, to be read alone.
                descriptor = os.open(f"/proc/self/fd/{written}", os.O_RDONLY | os.O_CLOEXEC)
            finally:
                os.close(written)
            self._hand_over(call, descriptor, flags)
        except PermissionError:
            self._tell_refusal(f"the address of {path.removeprefix(LOOKUP_FOLDER)}")
            self.listener.fail(call, errno.EACCES)
        except (OSError, ValueError):
            self.listener.fail(call, errno.ENOENT)

    def _tell_refusal(self, what: str) -> None:
        """Log that a call was refused what it has no permission for."""
        LOGGER.info("refused: %s", what, extra=log_fields(self.places.correlation_id))

    def _connect(self, call: WaitingCall) -> None:
        number, address, size = call.arguments[:3]
        body = self.listener.memory(call, address, min(size, _MAXIMUM_ADDRESS_BYTES))
        target = _internet_address(body)
        if target is None:
            raise PermissionError(errno.EPERM, "neither IPv4 nor IPv6")
        peer = self._socket_of(call, number & 0x7FFF_FFFF)
        with self._lock:
            self._peers.add(peer)
        try:
            self._wait_for(lambda: self._connect_socket(call, peer, target))
        except OSError:
            self._let_go(peer)
            raise

    def _let_go(self, peer: socket.socket) -> None:
        with self._lock:
            self._peers.discard(peer)
        peer.close()

    def _socket_of(self, call: WaitingCall, number: int) -> socket.socket:
        """The caller's own socket, which the host shares from here on; raises OSError."""
        process = os.pidfd_open(self.listener.process_of(call))
        try:
            peer = socket.socket(fileno=self._kernel.call("pidfd_getfd", process, number, 0))
        except PermissionError:
            self._tell_refusal("taking over a socket by pidfd_getfd: see onex doctor")
            raise
        finally:
            os.close(process)
        is_tcp = (
            peer.type == socket.SOCK_STREAM
            and peer.family in (socket.AF_INET, socket.AF_INET6)
            and peer.getsockopt(socket.SOL_SOCKET, _PROTOCOL) == _TCP
        )
        if not is_tcp:
            peer.close()
            raise PermissionError(errno.EPERM, "not a TCP socket")
        return peer

    def _connect_socket(
        self, call: WaitingCall, peer: socket.socket, target: tuple[str, int]
    ) -> None:
        """Connect a process's socket, if it may; the kernel's waiting is done here."""
        error = errno.EPERM
        with contextlib.suppress(OSError, ValueError):
            address = address_of(target[0])
            if address is not None and self._broker.allows(address, target[1], self._hosts):
                error = peer.connect_ex(target)
            else:
                self._tell_refusal(f"a connection to {target[0]} port {target[1]}")
        self._let_go(peer)
        if error:
            self.listener.fail(call, error)
        else:
            self.listener.succeed(call)

    def _chmod(self, call: WaitingCall, folder: int, address: int, mode: int) -> None:
        path = self._path(call, folder, address)
        place = self._writable(path)
        confined_files.change_mode(self._kernel, place, path, mode)
        self.listener.succeed(call)

    def _chmod_opened(self, call: WaitingCall) -> None:
        path = self._opened_path(call, call.arguments[0])
        confined_files.change_mode(self._kernel, self._writable(path), path, call.arguments[1])
        self.listener.succeed(call)

    def _opened_path(self, call: WaitingCall, number: int) -> str:
        path = os.readlink(f"/proc/{call.thread}/fd/{number & 0x7FFFFFFF}")  # noqa: PTH115
        self.listener.require(call)
        return path

    def _set_times(
        self, call: WaitingCall, folder: int, address: int, times: int, flags: int
    ) -> None:
        path = self._path(call, folder, address) if address else self._opened_path(call, folder)
        given = self._times(call, times) if times else None
        place = self._writable(path)
        follow = not flags & _NO_FOLLOW
        confined_files.change_times(self._kernel, place, path, given, follow=follow)
        self.listener.succeed(call)

    def _times(self, call: WaitingCall, address: int) -> tuple[int, int] | None:
        """Two times in nanoseconds; None if the kernel's clock is meant."""
        body = self.listener.memory(call, address, 32)
        first, first_part, second, second_part = struct.unpack("=4q", body)
        if {first_part, second_part} & {_NOW, _UNCHANGED}:
            return None
        if not all(0 <= part < 1_000_000_000 for part in (first_part, second_part)):
            raise ValueError("no parts of a second")
        return first * 1_000_000_000 + first_part, second * 1_000_000_000 + second_part

    def _writable(self, path: str) -> str:
        place = confined_files.place_of(path, self.places.write)
        if place is None:
            raise PermissionError(errno.EPERM, "outside of the working folders")
        return place

    def _link(self, call: WaitingCall, old: int, new: int) -> None:
        paths = [self._path(call, _CURRENT_FOLDER, address) for address in (old, new)]
        if not all(path.startswith(SHARED_MEMORY) for path in paths):
            self.listener.proceed(call)
            return
        os.link(self._shared(paths[0]), self._shared(paths[1]), follow_symlinks=False)
        self.listener.succeed(call)

    def _unlink(self, call: WaitingCall, address: int) -> None:
        path = os.fsdecode(self.listener.text(call, address))
        if not path.startswith(SHARED_MEMORY):
            self.listener.proceed(call)
            return
        os.unlink(self._shared(os.path.normpath(path)))  # noqa: PTH108
        self.listener.succeed(call)

    def _shared(self, path: str) -> str:
        """The file that stands for one in shared memory, which has no folders."""
        name = path.removeprefix(SHARED_MEMORY)
        if not name or "/" in name:
            raise PermissionError(errno.EACCES, "not a name of shared memory")
        return f"{self.places.shared}/{name}"


def _internet_address(body: bytes) -> tuple[str, int] | None:
    """Host and port of a ``sockaddr``; None for another family."""
    if len(body) < struct.calcsize("=HH4s"):
        return None
    (family,) = struct.unpack_from("=H", body)
    (port,) = struct.unpack_from("!H", body, 2)
    if family == socket.AF_INET:
        return socket.inet_ntop(socket.AF_INET, body[4:8]), port
    if family == socket.AF_INET6 and len(body) >= 24:
        return socket.inet_ntop(socket.AF_INET6, body[8:24]), port
    return None
