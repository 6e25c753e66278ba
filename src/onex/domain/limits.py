"""Limits: what a call of a node may use of the machine."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace

from onex.domain.json_value import JsonObject, JsonValue

KIB, MIB, GIB = 1024, 1024**2, 1024**3

_SIZE = re.compile(r"(\d+)\s*(B|KB|MB|GB|TB|KiB|MiB|GiB|TiB)?", re.ASCII)
_UNITS = {
    "B": 1,
    "KB": 1000,
    "MB": 1000**2,
    "GB": 1000**3,
    "TB": 1000**4,
    "KiB": KIB,
    "MiB": MIB,
    "GiB": GIB,
    "TiB": 1024 * GIB,
}
_SIZES = frozenset({"memory", "file_size", "written", "output"})


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one call, with all the processes that it starts.

    ``memory``: bytes in memory. ``cpu``: seconds of processor time. ``processes``, ``threads``:
    how many at once. ``open_files``: of one process. ``file_size``: bytes of one file.
    ``written``: bytes in its working folder. ``output``: bytes that it prints.
    """

    memory: int = 2 * GIB
    cpu: int = 3600
    processes: int = 1
    threads: int = 256
    open_files: int = 256
    file_size: int = GIB
    written: int = 4 * GIB
    output: int = 64 * MIB

    def with_table(self, table: JsonObject) -> Limits:
        """These limits, and in place of some of them those of a table.

        Sizes are numbers of bytes, or texts such as ``512 MiB``.

        Raises:
            ValueError: a key or a value is not a limit; the text says which.
        """
        unknown = sorted(table.keys() - {field.name for field in fields(self)})
        if unknown:
            known = ", ".join(field.name for field in fields(self))
            raise ValueError(f"{unknown[0]!r} is not a limit; limits are {known}")
        return replace(self, **{name: _read(name, value) for name, value in table.items()})

    def above(self, ceilings: Mapping[str, int]) -> str | None:
        """The first limit that is higher than a ceiling, in words; None if there is none."""
        own = asdict(self)
        for name, ceiling in ceilings.items():
            if own[name] > ceiling:
                return f"{name} {own[name]}, and no more than {ceiling} is allowed"
        return None

    def to_json(self) -> dict[str, JsonValue]:
        """The limits as JSON, in bytes, seconds and counts."""
        return dict(asdict(self))


def _read(name: str, value: JsonValue) -> int:
    number = value
    if isinstance(value, str) and name in _SIZES:
        match = _SIZE.fullmatch(value.strip())
        number = int(match[1]) * _UNITS[match[2] or "B"] if match else None
    if isinstance(number, bool) or not isinstance(number, int) or number < 1:
        form = "a size such as 512 MiB" if name in _SIZES else "a whole number from 1"
        raise ValueError(f"{name} must be {form}")
    return number
