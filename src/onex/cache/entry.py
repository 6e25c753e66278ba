"""Entries and statistics of caches."""

from __future__ import annotations

import fnmatch
import re
import time
from dataclasses import dataclass, field
from functools import lru_cache


@dataclass(frozen=True, slots=True)
class CacheStatistics:
    """Hits and misses of a cache."""

    hits: int = 0
    misses: int = 0

    @property
    def hit_ratio(self) -> float | None:
        """Hits among all questions, from 0 to 1; None if nothing was asked."""
        asked = self.hits + self.misses
        return self.hits / asked if asked else None

    def __add__(self, other: CacheStatistics) -> CacheStatistics:
        return CacheStatistics(self.hits + other.hits, self.misses + other.misses)


@dataclass(slots=True)
class Entry:
    """A stored value; ``expires_at`` is a time in seconds since the epoch, None for never.

    ``decoded`` is what somebody in this process made of the value, so that it is made once.
    """

    value: bytes
    expires_at: float | None = None
    decoded: object = field(default=None, compare=False)

    @property
    def is_alive(self) -> bool:
        """Whether the value may still be used."""
        return self.expires_at is None or self.expires_at > time.time()


@lru_cache(maxsize=64)
def key_pattern(glob: str) -> re.Pattern[str]:
    """The keys that a glob means."""
    return re.compile(fnmatch.translate(glob))
