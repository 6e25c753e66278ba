"""WorkFolders: a folder for each call, made once and given to the next call if it is left empty."""

from __future__ import annotations

import os
import stat
import time
from itertools import count
from pathlib import Path

from onex.local_machine import remove_tree

SHARED_SUFFIX = ".shared"
"""What the folder in the place of a call's shared memory is called, after its working folder."""

_CLOCK_STEP_NANOSECONDS = 100_000_000
"""Longer than the steps in which file systems tell the time."""


class WorkFolders:
    """The working folders of the calls of a run.

    Making and removing a folder takes longer than a short call, so one that is left empty is
    given to the next call.
    """

    def __init__(self, folder: str) -> None:
        """``folder`` is that of the run; folders in it need not exist until a call wants one."""
        self._folder = folder
        self._numbers = count(1)
        self._free: dict[str, list[str]] = {}
        self._changed: dict[str, int] = {}

    def take(self, owner: str) -> str:
        """The path of a folder that is empty, or not there yet, and nobody else's.

        It lies in a folder of all that ``owner`` takes, whose calls may share a process.
        """
        free = self._free.get(owner)
        return free.pop() if free else f"{self._folder}/{owner}/{next(self._numbers)}"

    def give_back(self, path: str) -> None:
        """Remove what a call left in its folder, of which nothing runs any more."""
        if path not in self._changed and not os.access(path, os.F_OK):
            self._free.setdefault(path.rsplit("/", 2)[1], []).append(path)
            return
        if os.path.lexists(f"{path}{SHARED_SUFFIX}"):
            remove_tree(Path(f"{path}{SHARED_SUFFIX}"))
        try:
            status = os.lstat(path)
            if not stat.S_ISDIR(status.st_mode):
                # A node put something else there.
                remove_tree(Path(path))
                return
            changed = status.st_ctime_ns
            # A folder that nothing changed since it was seen empty is empty still; a change soon
            # after that may bear the same time.
            if self._changed.get(path) != changed:
                if os.listdir(path):  # noqa: PTH208
                    remove_tree(Path(path))
                    self._changed.pop(path, None)
                    return
                if time.time_ns() - changed > _CLOCK_STEP_NANOSECONDS:
                    self._changed[path] = changed
        except OSError:
            return
        self._free.setdefault(path.rsplit("/", 2)[1], []).append(path)
