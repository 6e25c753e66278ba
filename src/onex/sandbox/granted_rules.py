"""Permissions as sandbox rules: which files, programs and hosts the kernel must let through."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

from onex.domain.errors import SandboxError
from onex.domain.limits import Limits
from onex.domain.path_text import is_within
from onex.domain.permission import Permission
from onex.sandbox.rules import SEARCH_PATH, SandboxRules

_FIRST_LINE_BYTES = 256
_MAXIMUM_INTERPRETERS = 4


def granted_rules(
    permissions: Iterable[Permission],
    program: Path | None,
    hidden: Sequence[str],
    limits: Limits,
    *,
    takes_paths: bool,
) -> SandboxRules:
    """The rules for a node that was granted some permissions.

    Args:
        permissions: what it was granted.
        program: the file that is executed, if the node is a program.
        hidden: folders that stay unreadable.
        limits: of each of its calls.
        takes_paths: whether files may be handed over to its calls.

    Raises:
        SandboxError: a program that was granted is not there.
    """
    by_kind: dict[str, list[str]] = {}
    made: list[str] = []
    for permission in permissions:
        if permission.kind == "file.write" and permission.path == permission.resource:
            made.append(permission.path)
        is_file = permission.kind.startswith("file.")
        by_kind.setdefault(permission.kind, []).append(
            permission.path if is_file else permission.resource
        )
    execute = [] if program is None else programs_of(str(program))
    for name in by_kind.get("process.execute", ()):
        found = name if name.startswith("/") else shutil.which(name, path=SEARCH_PATH)
        if found is None or not os.path.isfile(found):  # noqa: PTH113 - a text from a manifest
            raise SandboxError(
                f"the program {name} of process.execute is not there",
                hint=f"install it, or name it in full: process.execute:/path/to/{name}",
            )
        execute += programs_of(found)
    hosts = by_kind.get("network.connect", [])
    return SandboxRules(
        read=tuple(by_kind.get("file.read", ())),
        write=tuple(by_kind.get("file.write", ())),
        made=tuple(made),
        execute=tuple(dict.fromkeys(execute)),
        hosts=tuple(hosts),
        hidden=tuple(hidden),
        limits=limits,
        asks_for_files=takes_paths or bool(hosts),
    )


def programs_of(path: str) -> list[str]:
    """What the kernel executes to run a file: the file, and the interpreters of scripts."""
    found: list[str] = []
    while path not in found and len(found) <= _MAXIMUM_INTERPRETERS:
        found.append(path)
        words = _interpreter(path)
        if not words:
            break
        if os.path.basename(words[0]) == "env" and len(words) > 1:
            found.append(words[0])
            words = [shutil.which(words[-1], path=SEARCH_PATH) or words[-1]]
        path = words[0]
    return found


def _interpreter(path: str) -> list[str]:
    """The words after ``#!`` in a file's first line; none if it is not a script."""
    try:
        with Path(path).open("rb") as file:
            first = file.read(_FIRST_LINE_BYTES).partition(b"\n")[0]
    except OSError:
        return []
    return os.fsdecode(first[2:]).split() if first.startswith(b"#!") else []


def readable_places(place: str, hidden: Sequence[str]) -> tuple[str, ...]:
    """A file or folder as places that together leave out what is to stay hidden.

    The rules of the kernel cannot leave anything out of a folder, so that what is beside a hidden
    one is named in its place.
    """
    inside = [h for h in hidden if is_within(h, place)]
    if not inside:
        return () if any(is_within(place, h) for h in hidden) else (place,)
    if place in inside:
        return ()
    found: list[str] = []
    try:
        names = sorted(os.listdir(place))  # noqa: PTH208
    except OSError:
        return ()
    for name in names:
        found += readable_places(os.path.join(place, name), inside)  # noqa: PTH118
    return tuple(found)
