"""FolderSnapshot: what the last scan saw of one folder."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

SEPARATOR = "/"


class FolderSnapshot(NamedTuple):
    """One folder: its own time stamps, the names in it, and a hash over its files' status.

    ``stamp`` and ``fingerprint`` are empty if they must not be relied on;
    ``rules`` identifies the ignore rules in force. The names of files and folders
    are joined by ``/``, which no name holds.
    """

    path: str
    stamp: bytes
    rules: bytes
    files: str
    folders: str
    fingerprint: bytes


def join_names(names: Iterable[str]) -> str:
    """Names as a FolderSnapshot keeps them."""
    return SEPARATOR.join(names)


def split_names(text: str) -> list[str]:
    """The names that were joined."""
    return text.split(SEPARATOR) if text else []
