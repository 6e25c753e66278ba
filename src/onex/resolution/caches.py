"""ResolutionCaches: the answers that resolutions keep, and what is known of them."""

from __future__ import annotations

from dataclasses import dataclass

from onex.cache.entry import CacheStatistics
from onex.cache.registry_cache import LEVELS, RegistryCache
from onex.domain.constraint import VersionConstraint
from onex.domain.json_value import JsonValue
from onex.domain.version import Version
from onex.resolution.answer_cache import AnswerCache, AnswerLog
from onex.resolver.dependency_resolver import DependencyResolution


@dataclass(frozen=True, slots=True)
class CacheReport:
    """One cache: its name, how many entries it holds, and how often it had an answer."""

    name: str
    entries: int
    statistics: CacheStatistics

    def to_json(self) -> dict[str, JsonValue]:
        """The cache in the shape that ``cache stats`` prints."""
        return {
            "name": self.name,
            "entries": self.entries,
            "hits": self.statistics.hits,
            "misses": self.statistics.misses,
            "hit_ratio": self.statistics.hit_ratio,
        }


class ResolutionCaches:
    """The specification's VersionCache and DependencyCache, over one RegistryCache."""

    def __init__(self, cache: RegistryCache, log: AnswerLog) -> None:
        self._cache = cache
        self.versions: AnswerCache[Version] = AnswerCache("versions", cache, log, str)
        self.dependencies: AnswerCache[DependencyResolution] = AnswerCache(
            "dependencies", cache, log, _chosen_versions
        )

    def close(self) -> None:
        """Keep the statistics, and release every level."""
        self._keep_statistics()
        self._cache.close()

    @property
    def failure(self) -> str | None:
        """Why answers are not kept for later processes; None while they are."""
        return self._cache.failure

    def check(self) -> str | None:
        """Try every level; returns why one cannot be used, None if all can."""
        self._cache.check()
        return self._cache.failure

    def failures(self) -> dict[str, str]:
        """Why levels cannot be used, by their names; each is tried."""
        return self._cache.failures()

    def keep_statistics(self) -> None:
        """Add the hits and misses of this process to those that are kept."""
        self._keep_statistics()
        self._cache.keep_statistics()

    def forget(self, names: frozenset[str] | None) -> None:
        """Drop the answers in memory about nodes with these names; None drops all."""
        self.versions.forget(names)
        self.dependencies.forget(names)

    def invalidate(self, glob: str) -> bool:
        """Drop the answers whose keys match a glob, such as ``dependencies:*parse*``.

        Returns:
            whether every level did; ``failure`` says why one did not.
        """
        return self._cache.invalidate(glob)

    def clear(self) -> bool:
        """Drop every answer and all statistics; returns as ``invalidate`` does."""
        for cache in (self.versions, self.dependencies):
            cache.take_statistics()
        return self._cache.clear()

    def reports(self) -> list[CacheReport]:
        """What the caches hold, and their hits in this and all earlier processes."""
        self._keep_statistics()
        if self._cache.shared is not None:
            self._cache.shared.poll()
        file = self._cache.file
        reports = [
            CacheReport(name, file.count(f"{name}:"), file.statistics(name))
            for name in (self.versions.name, self.dependencies.name)
        ]
        sizes = {"l1": len(self._cache.memory), "l3": file.count()}
        reports += [
            CacheReport(level, sizes.get(level, 0), self._cache.statistics(level))
            for level in LEVELS
            if level != "l2" or self._cache.shared is not None
        ]
        parsed = VersionConstraint.parse_statistics()
        statistics = CacheStatistics(parsed.hits, parsed.misses)
        return [CacheReport("constraints", parsed.entries, statistics), *reports]

    def _keep_statistics(self) -> None:
        """Add this process's hits and misses to those that the file keeps."""
        for cache in (self.versions, self.dependencies):
            taken = cache.take_statistics()
            if taken != CacheStatistics():
                self._cache.file.add_statistics(cache.name, taken)


def _chosen_versions(resolution: DependencyResolution) -> JsonValue:
    return {str(node): str(n.metadata.version) for node, n in resolution.selected.items()}
