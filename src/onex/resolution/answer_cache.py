"""AnswerCache: answers of the resolver, each with the names of the nodes it rests on.

The specification's VersionCache and DependencyCache are two of these. An answer
is dropped as soon as the log shows a change of one of its nodes. A kept answer names the
registry and the entry of its log that it rests on, so that it is never taken for one about
another log: of a registry that was restored, copied or made anew.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar, cast

from onex.cache.entry import CacheStatistics
from onex.cache.registry_cache import RegistryCache
from onex.domain.errors import StorageError
from onex.domain.event import LogHead
from onex.domain.json_value import JsonValue, as_object, as_text, as_texts, sha256_of

MAXIMUM_KEY_LENGTH = 200

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Answer(Generic[T]):
    value: T
    names: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Stored:
    """An answer as it is kept: about which registry and log, on which nodes it rests."""

    registry: str
    head: LogHead
    names: frozenset[str]
    answer: JsonValue


def _read_stored(stored: bytes) -> _Stored | None:
    """What was kept; None for what is something else, or was cut off."""
    try:
        entry = as_object(json.loads(stored))
        serial = entry["serial"]
        if not isinstance(serial, int) or not 0 <= serial < 2**63:
            return None
        return _Stored(
            as_text(entry["registry"]),
            LogHead(serial, _hash(entry["hash"])),
            frozenset(as_texts(entry["names"])),
            entry["answer"],
        )
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def _hash(value: JsonValue) -> str:
    text = as_text(value)
    if not text.isascii() or not text.isprintable():
        raise ValueError("this is no hash")
    return text


class AnswerLog(Protocol):
    """The log of the registry that answers are about."""

    @property
    def identity(self) -> str:
        """What tells the registry from every other."""
        ...

    def holds(self, head: LogHead) -> bool:
        """Whether the log has had this head."""
        ...

    def names_changed(self, after: int) -> frozenset[str] | None:
        """The names of nodes that changed after an entry; None for very many."""
        ...


class AnswerCache(Generic[T]):
    """Answers as JSON in the levels of the RegistryCache, the nearest of which also has them as
    objects."""

    def __init__(
        self,
        name: str,
        cache: RegistryCache,
        log: AnswerLog,
        encode: Callable[[T], JsonValue],
    ) -> None:
        self.name = name
        self._cache = cache
        self._log = log
        self._identity: str | None = None
        self._encode = encode
        self.hits = self.misses = 0

    def get(self, key: str, decode: Callable[[JsonValue], T]) -> T | None:
        """The answer to a question, or None if it is not known.

        ``decode`` makes the answer of its JSON; if it raises KeyError, what the answer names is
        not registered any more.
        """
        entry = self._cache.entry(self._stored_key(key))
        answer = None
        if entry is not None:
            if entry.decoded is None:
                entry.decoded = self._decoded(entry.value, decode)
            answer = cast("_Answer[T] | None", entry.decoded)
        if answer is None:
            self.misses += 1
            return None
        self.hits += 1
        return answer.value

    def put(self, key: str, value: T, names: frozenset[str], head: LogHead) -> None:
        """Keep an answer that was found when the log ended with ``head``."""
        entry: dict[str, JsonValue] = {
            "registry": self._registry(),
            "serial": head.serial,
            "hash": head.hash,
            "names": sorted(names),
            "answer": self._encode(value),
        }
        stored = json.dumps(entry).encode()
        self._cache.set(self._stored_key(key), stored, decoded=_Answer(value, names))

    def forget(self, names: frozenset[str] | None) -> None:
        """Drop the answers in memory that rest on nodes with these names; None drops all.

        What the other levels hold is compared with the log when it is read.
        """
        for key, entry in self._cache.memory.entries(f"{self.name}:"):
            answer = cast("_Answer[T] | None", entry.decoded)
            if answer is None or names is None or not answer.names.isdisjoint(names):
                self._cache.memory.delete(key)

    def take_statistics(self) -> CacheStatistics:
        """Hits and misses since the last time this was asked."""
        taken = CacheStatistics(self.hits, self.misses)
        self.hits = self.misses = 0
        return taken

    def _decoded(self, stored: bytes, decode: Callable[[JsonValue], T]) -> _Answer[T] | None:
        """The answer that was kept, if it still holds."""
        found = _read_stored(stored)
        if found is None or found.registry != self._registry() or not self._log.holds(found.head):
            return None
        changed = self._log.names_changed(found.head.serial)
        if changed is None or not found.names.isdisjoint(changed):
            return None
        try:
            return _Answer(decode(found.answer), found.names)
        except StorageError:
            raise
        except Exception:  # noqa: BLE001 - whatever stands under the key, it is no answer of ours
            return None

    def _registry(self) -> str:
        if self._identity is None:
            self._identity = self._log.identity
        return self._identity

    def _stored_key(self, key: str) -> str:
        return f"{self.name}:{key[:MAXIMUM_KEY_LENGTH]}:{sha256_of(key)[:16]}"
