"""WorkFolders: a folder for each call, made once and given to the next call if it is left empty."""

from __future__ import annotations

import os
from itertools import count
from pathlib import Path

from onex.local_machine import remove_tree


class WorkFolders:
    """The working folders of a run. Several threads may ask at once.

    Making and removing a folder takes longer than a short call.
    """

    def __init__(self, folder: str) -> None:
        """``folder`` is that of the run; folders in it need not exist until a call wants one."""
        self._folder = folder
        self._numbers = count(1)
        self._free: list[str] = []

    def take(self) -> str:
        """The path of a folder that is empty, or not there yet, and nobody else's."""
        try:
            return self._free.pop()
        except IndexError:
            return f"{self._folder}/{next(self._numbers)}"

    def give_back(self, path: str) -> None:
        """Remove what a call left in its folder, of which nothing runs any more."""
        try:
            # In the way of every call, so without an exception where there is no folder.
            is_empty = not os.access(path, os.F_OK) or not os.listdir(path)  # noqa: PTH208
        except OSError:
            return
        if is_empty:
            self._free.append(path)
        else:
            remove_tree(Path(path))
