"""AnswerCache: answers of the resolver, each with the names of the nodes it rests on.

The specification's VersionCache and DependencyCache are two of these. An answer
is dropped as soon as the log shows a change of one of its nodes.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from onex.cache.entry import CacheStatistics
from onex.cache.registry_cache import RegistryCache
from onex.domain.json_value import JsonValue, sha256_of

MAXIMUM_ENTRIES = 4096
MAXIMUM_KEY_LENGTH = 200

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Answer(Generic[T]):
    value: T
    names: frozenset[str]


class AnswerCache(Generic[T]):
    """Answers as objects in memory, and behind them, as JSON, in the RegistryCache."""

    def __init__(
        self,
        name: str,
        cache: RegistryCache,
        names_changed: Callable[[int], frozenset[str] | None],
        encode: Callable[[T], JsonValue],
    ) -> None:
        """``names_changed`` gives the names of nodes that changed after an entry of the log."""
        self.name = name
        self._cache = cache
        self._names_changed = names_changed
        self._encode = encode
        self._answers: OrderedDict[str, _Answer[T]] = OrderedDict()
        self.hits = self.misses = 0

    def __len__(self) -> int:
        return len(self._answers)

    def get(self, key: str, decode: Callable[[JsonValue], T]) -> T | None:
        """The answer to a question, or None where it is not known.

        ``decode`` makes the answer of its JSON; where it raises KeyError, what
        the answer names is not registered any more.
        """
        answer = self._answers.get(key)
        if answer is None:
            answer = self._read(key, decode)
        if answer is None:
            self.misses += 1
            return None
        self.hits += 1
        return answer.value

    def put(self, key: str, value: T, names: frozenset[str], serial: int) -> None:
        """Keep an answer that was found when the log ended with the entry ``serial``."""
        self._keep(key, _Answer(value, names))
        entry = {"serial": serial, "names": sorted(names), "answer": self._encode(value)}
        self._cache.set(self._stored_key(key), json.dumps(entry).encode())

    def forget(self, names: frozenset[str] | None) -> None:
        """Drop the answers that rest on nodes with these names; None drops all."""
        if names is None:
            self._answers.clear()
            return
        for key in [k for k, a in self._answers.items() if not a.names.isdisjoint(names)]:
            del self._answers[key]

    def take_statistics(self) -> CacheStatistics:
        """Hits and misses since the last time this was asked."""
        taken = CacheStatistics(self.hits, self.misses)
        self.hits = self.misses = 0
        return taken

    def _keep(self, key: str, answer: _Answer[T]) -> None:
        self._answers[key] = answer
        if len(self._answers) > MAXIMUM_ENTRIES:
            self._answers.popitem(last=False)

    def _read(self, key: str, decode: Callable[[JsonValue], T]) -> _Answer[T] | None:
        stored = self._cache.get(self._stored_key(key))
        if stored is None:
            return None
        entry = json.loads(stored)
        names = frozenset(entry["names"])
        changed = self._names_changed(entry["serial"])
        if changed is None or not names.isdisjoint(changed):
            return None
        try:
            answer = _Answer(decode(entry["answer"]), names)
        except KeyError:
            return None
        self._keep(key, answer)
        return answer

    def _stored_key(self, key: str) -> str:
        return f"{self.name}:{key[:MAXIMUM_KEY_LENGTH]}:{sha256_of(key)[:16]}"
