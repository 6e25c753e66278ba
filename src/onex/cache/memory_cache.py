"""MemoryCache: the first level, in this process alone."""

from __future__ import annotations

from collections import OrderedDict

from onex.cache.entry import Entry, key_pattern

MAXIMUM_ENTRIES = 10_000
MAXIMUM_BYTES = 64 * 1024 * 1024


class MemoryCache:
    """Entries by key; those used least recently make room when there are too many.

    One object serves one thread.
    """

    def __init__(
        self, maximum_entries: int = MAXIMUM_ENTRIES, maximum_bytes: int = MAXIMUM_BYTES
    ) -> None:
        self._entries: OrderedDict[str, Entry] = OrderedDict()
        self._maximum_entries = maximum_entries
        self._maximum_bytes = maximum_bytes
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: str) -> Entry | None:
        """The entry under a key, or None."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        if entry.expires_at is not None and not entry.is_alive:
            self.delete(key)
            return None
        self._entries.move_to_end(key)
        return entry

    def set(self, key: str, entry: Entry) -> None:
        """Store an entry."""
        self.delete(key)
        self._entries[key] = entry
        self._bytes += len(entry.value)
        while len(self._entries) > self._maximum_entries or self._bytes > self._maximum_bytes:
            _, dropped = self._entries.popitem(last=False)
            self._bytes -= len(dropped.value)

    def delete(self, key: str) -> None:
        """Drop an entry, if it is there."""
        dropped = self._entries.pop(key, None)
        if dropped is not None:
            self._bytes -= len(dropped.value)

    def invalidate(self, glob: str) -> None:
        """Drop the entries whose keys match."""
        matches = key_pattern(glob).match
        for key in [key for key in self._entries if matches(key)]:
            self.delete(key)

    def entries(self, prefix: str) -> list[tuple[str, Entry]]:
        """The entries whose keys begin with a prefix."""
        return [item for item in self._entries.items() if item[0].startswith(prefix)]

    def clear(self) -> None:
        """Drop everything."""
        self._entries.clear()
        self._bytes = 0
