"""SandboxRules: what the process of one node may do, as the kernel is told it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from onex.domain.json_value import JsonObject, as_object, as_texts
from onex.domain.limits import Limits

SYSTEM_FILES = (
    "/usr",
    "/lib",
    "/lib32",
    "/lib64",
    "/bin",
    "/sbin",
    "/nix/store",
    "/etc/alternatives",
    "/etc/ca-certificates",
    "/etc/gai.conf",
    "/etc/host.conf",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/localtime",
    "/etc/mime.types",
    "/etc/nsswitch.conf",
    "/etc/pki",
    "/etc/protocols",
    "/etc/services",
    "/etc/ssl",
    "/etc/timezone",
    "/dev/random",
    "/dev/urandom",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/filesystems",
    "/proc/stat",
    "/proc/version",
    "/proc/sys/vm/overcommit_memory",
    "/sys/devices/system/cpu",
)
"""What every program may need to start and to compute: public files of the system."""

OWN_PROCESS_FILES = ("cmdline", "comm", "fd", "limits", "maps", "stat", "statm", "status")
"""What a process may read of itself below ``/proc``."""

SYSTEM_DEVICES = ("/dev/null", "/dev/zero", "/dev/full")
"""Devices that swallow what is written to them."""

PROGRAM_LOADERS = (
    "/lib64/ld-linux-x86-64.so.2",
    "/lib/ld-linux-aarch64.so.1",
    "/lib/ld-musl-x86_64.so.1",
    "/lib/ld-musl-aarch64.so.1",
)
"""What the kernel executes to load any program that is linked dynamically."""

SEARCH_PATH = "/usr/local/bin:/usr/bin:/bin"
"""The folders in which programs are found by their names."""

PROCESSES_OF_PROGRAMS = 32
"""How many processes there may be if programs are granted and no other limit is set."""


@dataclass(frozen=True, slots=True)
class SandboxRules:
    """What a process may do beside computing.

    ``read``, ``write`` and ``execute`` are absolute paths of files, and of folders with all that
    is below them; ``made`` are files that are made, empty, if
    they are not there, since only what is there can be allowed; ``hosts`` are the resources of
    ``network.connect``. ``hidden`` folders stay
    unreadable though Python's search path may lead to them. ``asks_for_files`` says that opening
    a file may be decided call by call.
    """

    read: tuple[str, ...] = ()
    write: tuple[str, ...] = ()
    execute: tuple[str, ...] = ()
    made: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)
    asks_for_files: bool = False

    @property
    def starts_processes(self) -> bool:
        """Whether it may start other processes."""
        return self.most_processes > 1

    @property
    def most_processes(self) -> int:
        """How many processes it may have at once, itself among them."""
        if self.execute and self.limits.processes == 1:
            return PROCESSES_OF_PROGRAMS
        return self.limits.processes

    def to_json(self) -> JsonObject:
        """The rules as JSON; ``from_json`` reads them back unchanged."""
        return {
            "read": self.read,
            "write": self.write,
            "execute": self.execute,
            "made": self.made,
            "hosts": self.hosts,
            "hidden": self.hidden,
            "limits": self.limits.to_json(),
            "asks_for_files": self.asks_for_files,
        }

    @classmethod
    def from_json(cls, body: JsonObject) -> SandboxRules:
        """Read back what ``to_json`` wrote."""
        return cls(
            read=as_texts(body["read"]),
            write=as_texts(body["write"]),
            execute=as_texts(body["execute"]),
            made=as_texts(body["made"]),
            hosts=as_texts(body["hosts"]),
            hidden=as_texts(body["hidden"]),
            limits=Limits().with_table(as_object(body["limits"])),
            asks_for_files=body["asks_for_files"] is True,
        )

    def environment(self, folder: str, variables: Mapping[str, str]) -> dict[str, str]:
        """The environment of a process whose own files are in a folder."""
        own = {"HOME": folder, "TMPDIR": folder, "PYTHONDONTWRITEBYTECODE": "1"}
        return {"PATH": SEARCH_PATH, **own, **variables}
