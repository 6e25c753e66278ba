"""Names of hosts in a confined process, which has no name servers: the host looks them up."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
from collections.abc import Callable, Sequence

LOOKUP_FOLDER = "/run/onex/hosts/"
"""Opening a name below this gives its addresses; nothing is there in the file system."""


def ask_host_for_names() -> None:
    """From now on ``socket.getaddrinfo`` asks the host of this process."""
    by_system: Callable[..., Sequence[object]] = socket.getaddrinfo

    def getaddrinfo(
        host: str | bytes | None,
        port: str | bytes | int | None,
        family: int = 0,
        type: int = 0,  # noqa: A002 - as socket has it
        proto: int = 0,
        flags: int = 0,
    ) -> Sequence[object]:
        name = host.encode("idna").decode() if isinstance(host, str) else (host or b"").decode()
        if not name or _is_address(name):
            return by_system(host, port, family, type, proto, flags)
        found: list[object] = []
        for address in _addresses(name):
            with contextlib.suppress(socket.gaierror):
                numeric = flags | socket.AI_NUMERICHOST
                found += by_system(address, port, family, type, proto, numeric)
        if not found:
            raise socket.gaierror(socket.EAI_NONAME, f"{name} has no address that may be used")
        return found

    socket.getaddrinfo = getaddrinfo  # type: ignore[assignment]


def _addresses(name: str) -> list[str]:
    try:
        with open(LOOKUP_FOLDER + name, encoding="ascii") as file:  # noqa: PTH123
            return file.read().split()
    except PermissionError:
        message = f"network.connect:{name} is not granted"
        raise socket.gaierror(socket.EAI_FAIL, message) from None
    except OSError:
        raise socket.gaierror(socket.EAI_NONAME, f"{name} cannot be resolved") from None


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False
    return True
