"""The solver on registries of known difficulty. Milliseconds, median of eight seeds."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Mapping, Sequence

from onex import ResolutionError, Version, VersionConstraint
from onex.resolver import solve

Registry = dict[str, dict[Version, dict[str, VersionConstraint]]]


class Provider:
    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def versions(self, node: str) -> Sequence[Version]:
        return list(self._registry.get(node, ()))

    def dependencies(self, node: str, version: Version) -> Mapping[str, VersionConstraint]:
        return self._registry[node][version]


def versions(count: int) -> list[Version]:
    return [Version(1, minor, 0) for minor in range(count)]


def at_most(minor: int) -> VersionConstraint:
    return VersionConstraint.parse(f">=1.0.0 <=1.{minor}.0")


def simple(seed: int) -> tuple[Registry, dict[str, str]]:
    """Ten nodes in a chain, ten versions each, nothing in conflict."""
    del seed
    registry: Registry = {
        f"n{i}": {
            v: {f"n{i + 1}": VersionConstraint.parse("^1")} if i < 9 else {} for v in versions(10)
        }
        for i in range(10)
    }
    return registry, {"n0": "^1"}


def easy(seed: int) -> tuple[Registry, dict[str, str]]:
    """200 nodes of 20 versions, three loose dependencies on later nodes for each version."""
    chance = random.Random(seed)
    registry: Registry = {}
    for i in range(200):
        later = range(i + 1, min(i + 30, 200))
        registry[f"n{i}"] = {
            v: {
                f"n{j}": VersionConstraint.parse(f">=1.{chance.randrange(8)}.0")
                for j in chance.sample(later, min(3, len(later)))
            }
            for v in versions(20)
        }
    return registry, {"n0": "*", "n1": "*"}


def backtracking(seed: int, count: int = 30, depth: int = 20) -> tuple[Registry, dict[str, str]]:
    """A chain in which every version asks a range of one shared node; low versions alone agree."""
    chance = random.Random(seed)
    registry: Registry = {"shared": {v: {} for v in versions(depth)}}
    for i in range(count):
        registry[f"n{i}"] = {}
        for minor, version in enumerate(versions(depth)):
            needs = {f"n{i + 1}": VersionConstraint.parse("*")} if i + 1 < count else {}
            low = 0 if minor < 2 else chance.randrange(depth // 2, depth)
            high = low + chance.randrange(2) if low else depth // 4 + chance.randrange(3)
            needs["shared"] = VersionConstraint.parse(f">=1.{low}.0 <=1.{high}.0")
            registry[f"n{i}"][version] = needs
    return registry, {"n0": "*"}


def unsatisfiable(seed: int) -> tuple[Registry, dict[str, str]]:
    """The same, where two requests disagree about the shared node."""
    registry, requirements = backtracking(seed)
    registry["other"] = {
        v: {"shared": VersionConstraint.parse("<1.0.0 || >=1.20.0")} for v in versions(20)
    }
    return registry, requirements | {"other": "*"}


def random_registry(seed: int) -> tuple[Registry, dict[str, str]]:
    """60 nodes of 12 versions, up to five narrow dependencies for each version."""
    chance = random.Random(seed)
    registry: Registry = {}
    for i in range(60):
        registry[f"n{i}"] = {}
        for version in versions(12):
            later = range(i + 1, 60)
            chosen = chance.sample(later, min(chance.randrange(6), len(later)))
            registry[f"n{i}"][version] = {
                f"n{j}": VersionConstraint.parse(f">=1.{low}.0 <1.{low + 5}.0")
                for j in chosen
                for low in (chance.randrange(9),)
            }
    return registry, {"n0": "*"}


def main() -> None:
    sets = {
        "simple": simple,
        "easy": easy,
        "backtracking": backtracking,
        "backtracking 60 x 40": lambda seed: backtracking(seed, 60, 40),
        "unsatisfiable": unsatisfiable,
        "random": random_registry,
    }
    for name, make in sets.items():
        times, solved = [], 0
        for seed in range(8):
            registry, requirements = make(seed)
            provider = Provider(registry)
            best = float("inf")
            for _ in range(3):
                started = time.perf_counter()
                try:
                    solve(requirements, provider)
                except ResolutionError:
                    is_solved = False
                else:
                    is_solved = True
                best = min(best, time.perf_counter() - started)
            solved += is_solved
            times.append(best * 1000)
        print(f"{name:22} {statistics.median(times):8.2f} ms   solved {solved} of 8")


if __name__ == "__main__":
    main()
