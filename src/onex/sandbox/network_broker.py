"""NetworkBroker: where a process may connect to, and the host's part in it.

Names are resolved by the host alone. What a name was resolved to is kept for the whole run, so
that a name server cannot lead a granted name elsewhere later (DNS rebinding).
"""

from __future__ import annotations

import ipaddress
import socket
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str], Sequence[str]]
"""Gives the addresses of a host name; raises OSError if there are none."""

LOOPBACK_NAME = "localhost"


@dataclass(frozen=True, slots=True)
class GrantedHost:
    """One resource of ``network.connect``: a name, ``*.name`` or an address, and maybe a port."""

    host: str
    port: int | None

    @classmethod
    def parse(cls, resource: str) -> GrantedHost:
        """Read ``host``, ``host:port`` or ``[address]:port``."""
        if resource.startswith("["):
            host, _, port = resource[1:].partition("]")
            port = port.removeprefix(":")
        else:
            host, _, port = resource.partition(":")
        return cls(host.lower(), int(port) if port else None)

    @property
    def address(self) -> Address | None:
        """The address, if that is what is granted."""
        return address_of(self.host)

    def covers(self, name: str, port: int | None = None) -> bool:
        """Whether a name, and a port unless that is not known yet, are granted."""
        if port is not None and self.port not in (None, port):
            return False
        return name == self.host or (self.host.startswith("*.") and name.endswith(self.host[1:]))


def address_of(text: str) -> Address | None:
    """An address as a value, with IPv4 addresses in IPv6 as what they are; None for a name."""
    try:
        found = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return mapped or found


def resolve_by_system(name: str) -> Sequence[str]:
    """The addresses of a name, as the system resolves it; raises OSError."""
    found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class NetworkBroker:
    """Judges connections; its methods may be called by any thread, and may wait for names."""

    def __init__(self, resolve: Resolve = resolve_by_system) -> None:
        self._resolve = resolve
        self._lock = threading.Lock()
        self._pinned: dict[str, tuple[Address, ...]] = {}

    def addresses(self, name: str, granted: Iterable[GrantedHost]) -> Sequence[Address]:
        """The addresses by which a process may reach a name.

        Addresses of this machine and of private networks are left out, unless the name is
        ``localhost``: a public name must not lead into them.

        Raises:
            PermissionError: the name is not granted.
            OSError: it cannot be resolved.
        """
        name = name.lower().rstrip(".")
        literal = address_of(name)
        if literal is not None:
            return [literal]
        if not any(host.covers(name) for host in granted):
            raise PermissionError(f"network.connect:{name} is not granted")
        with self._lock:
            pinned = self._pinned.get(name)
        if pinned is None:
            found = map(address_of, self._resolve(name))
            resolved = tuple(
                address
                for address in found
                if address is not None
                and (address.is_loopback if name == LOOPBACK_NAME else _is_public(address))
            )
            with self._lock:
                pinned = self._pinned.setdefault(name, resolved)
        return pinned

    def allows(self, address: Address, port: int, granted: Iterable[GrantedHost]) -> bool:
        """Whether a process with these grants may connect to an address and port."""
        hosts = [host for host in granted if host.port in (None, port)]
        if any(host.address == address for host in hosts):
            return True
        with self._lock:
            pinned = tuple(self._pinned.items())
        if any(
            address in addresses and any(host.covers(name, port) for host in hosts)
            for name, addresses in pinned
        ):
            return True
        known = {name for name, _ in pinned}
        names = [h.host for h in hosts if h.address is None and not h.host.startswith("*.")]
        for name in names:
            if name not in known and address in self._addresses_if_any(name, hosts):
                return True
        return False

    def hosts_file(self, granted: Iterable[GrantedHost]) -> str:
        """The granted names with their addresses, in the form of hosts(5)."""
        hosts = list(granted)
        names = dict.fromkeys(h.host for h in hosts if h.address is None and "*" not in h.host)
        lines = [f"{a} {name}" for name in names for a in self._addresses_if_any(name, hosts)]
        return "\n".join((*lines, ""))

    def _addresses_if_any(self, name: str, granted: Iterable[GrantedHost]) -> Sequence[Address]:
        try:
            return self.addresses(name, granted)
        except OSError:
            return ()


def _is_public(address: Address) -> bool:
    # Addresses that carry others in them would lead there.
    if isinstance(address, ipaddress.IPv6Address) and (address.sixtofour or address.teredo):
        return False
    return address.is_global and not address.is_multicast
