"""Paths as text: which lies below which, and how those that are not UTF-8 are stored.

Databases and JSON hold UTF-8 alone. Python marks each byte of a path that is not UTF-8 by half of
a surrogate pair. In what is stored a character of the last plane for private use stands for each,
which no real name has.
"""

from __future__ import annotations

import re

from onex.domain.json_value import is_writable

_FIRST_HALF, _FIRST_STORED = 0xDC80, 0x10FE80
_TO_STORED = {_FIRST_HALF + i: _FIRST_STORED + i for i in range(128)}
_FROM_STORED = {stored: half for half, stored in _TO_STORED.items()}
_STORED = re.compile(f"[{chr(_FIRST_STORED)}-{chr(_FIRST_STORED + 127)}]")


def stored_path(path: str) -> str:
    """A path, or a name that may be one, as it is stored."""
    return path if is_writable(path) else path.translate(_TO_STORED)


def read_path(text: str) -> str:
    """The path that ``stored_path`` was given."""
    return text.translate(_FROM_STORED) if not text.isascii() and _STORED.search(text) else text


def is_within(path: str, folder: str) -> bool:
    """Whether a path is a folder, or lies below it; both are compared as they are written."""
    return path == folder or path.startswith(folder.rstrip("/") + "/")
