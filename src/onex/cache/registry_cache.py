"""RegistryCache: three levels, asked from the nearest to the farthest.

Specification: Caching Strategy. L1 is this process's memory, L2 (if there is one) is shared
by machines, L3 is a file that outlives the process. Values are bytes of JSON. Unlike the
specification's sketch, a value that is false or null is a value, an entry found far away
keeps its end when it is brought near, and what one process drops, all drop.
"""

from __future__ import annotations

import time
from pathlib import Path

from onex.cache.entry import CacheStatistics, Entry
from onex.cache.file_cache import FileCache
from onex.cache.memory_cache import MemoryCache
from onex.cache.shared_cache import SharedCache

FORMAT = "2"
LEVELS = ("l1", "l2", "l3")


class RegistryCache:
    """Bytes by key. One object serves one thread; several may share the file and the server."""

    def __init__(self, path: Path, url: str | None = None, prefix: str = "onex") -> None:
        """``path`` is L3's file, ``url`` that of L2, ``prefix`` what its keys begin with."""
        self.memory = MemoryCache()
        self.file = FileCache(path)
        self.shared = None
        if url is not None:
            self.shared = SharedCache(url, f"{prefix}:{FORMAT}", self._heard, self._caught_up)
        self._counts = dict.fromkeys(LEVELS, CacheStatistics())

    @property
    def failure(self) -> str | None:
        """Why a level cannot be used; None while all can."""
        return self.file.failure or (self.shared.failure if self.shared is not None else None)

    def get(self, key: str) -> bytes | None:
        """The value under a key, or None if no level has one."""
        entry = self.entry(key)
        return None if entry is None else entry.value

    def entry(self, key: str) -> Entry | None:
        """The entry under a key, the same object as long as the memory has it."""
        if self.shared is not None:
            self.shared.poll()
        entry = self.memory.get(key)
        self._count("l1", entry)
        if entry is not None:
            return entry
        if self.shared is not None:
            entry = self.shared.get(key)
            self._count("l2", entry)
            if entry is not None:
                self.memory.set(key, entry)
                return entry
        entry = self.file.get(key)
        self._count("l3", entry)
        if entry is None:
            return None
        self.memory.set(key, entry)
        if self.shared is not None:
            self.shared.set(key, entry)
        return entry

    def set(
        self,
        key: str,
        value: bytes,
        ttl_seconds: float | None = None,
        *,
        decoded: object = None,
    ) -> None:
        """Store a value in every level; without a time to live until it is dropped.

        ``decoded`` is what the value means, for those who ask for the entry in this process.
        """
        ends_at = None if ttl_seconds is None else time.time() + ttl_seconds
        entry = Entry(value, ends_at, decoded)
        self.memory.set(key, entry)
        if self.shared is not None:
            self.shared.set(key, entry)
        self.file.set(key, entry)

    def invalidate(self, glob: str) -> bool:
        """Drop the entries whose keys match a glob, in every level and every process.

        Returns:
            whether all levels did; ``failure`` says why one did not, if it is not only busy.
        """
        self.memory.invalidate(glob)
        is_dropped = self.file.invalidate(glob)
        return (self.shared is None or self.shared.invalidate(glob)) and is_dropped

    def check(self) -> None:
        """Try every level; ``failure`` then says what cannot be used."""
        self.file.count()
        if self.shared is not None:
            self.shared.check()

    def failures(self) -> dict[str, str]:
        """Why levels cannot be used, by their names; each is tried."""
        self.check()
        shared = None if self.shared is None else self.shared.failure
        found = {"l2": shared, "l3": self.file.failure}
        return {level: failure for level, failure in found.items() if failure is not None}

    def clear(self) -> bool:
        """Drop everything; returns as ``invalidate`` does."""
        self.memory.clear()
        self._counts = dict.fromkeys(LEVELS, CacheStatistics())
        is_cleared = self.file.clear()
        return (self.shared is None or self.shared.invalidate("*")) and is_cleared

    def statistics(self, level: str) -> CacheStatistics:
        """Hits of a level in this and all earlier processes."""
        self.keep_statistics()
        return self.file.statistics(level)

    def keep_statistics(self) -> None:
        """Add this process's hits and misses to those that the file keeps."""
        for level, counted in self._counts.items():
            if counted != CacheStatistics():
                self.file.add_statistics(level, counted)
        self._counts = dict.fromkeys(LEVELS, CacheStatistics())

    def close(self) -> None:
        """Release every level."""
        self.keep_statistics()
        self.file.close()
        if self.shared is not None:
            self.shared.close()

    def _count(self, level: str, entry: Entry | None) -> None:
        before = self._counts[level]
        self._counts[level] = CacheStatistics(
            before.hits + (entry is not None), before.misses + (entry is None)
        )

    def _heard(self, glob: str, generation: str) -> None:
        """A process dropped entries of the shared level: drop them here too."""
        self.memory.invalidate(glob)
        self.file.invalidate(glob, generation)

    def _caught_up(self, generation: str) -> None:
        """Listening begins: drop all if something was dropped since this machine listened last."""
        self.memory.invalidate("*")
        if self.file.generation() != generation:
            self.file.invalidate("*", generation)
