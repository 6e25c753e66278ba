"""The solver on registries of known difficulty, beside resolvelib in the same run."""

from __future__ import annotations

import functools
import random
import signal
import statistics
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import resolvelib

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


class TooSlowError(Exception):
    """The time limit has passed."""


class _ResolvelibProvider(resolvelib.AbstractProvider):
    """The same registry, as resolvelib asks for it."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def identify(self, requirement_or_candidate):
        return requirement_or_candidate[0]

    def get_preference(self, identifier, resolutions, candidates, information, backtrack_causes):
        return sum(1 for _ in candidates[identifier])

    def find_matches(self, identifier, requirements, incompatibilities):
        constraints = [constraint for _, constraint in requirements[identifier]]
        refused = {version for _, version in incompatibilities[identifier]}
        found = [
            version
            for version in self._registry.get(identifier, ())
            if version not in refused and all(c.allows(version) for c in constraints)
        ]
        return [(identifier, version) for version in sorted(found, reverse=True)]

    def is_satisfied_by(self, requirement, candidate):
        return requirement[1].allows(candidate[1])

    def get_dependencies(self, candidate):
        return list(self._registry[candidate[0]][candidate[1]].items())


def ours(registry: Registry, requirements: dict[str, str]) -> str:
    try:
        solve(requirements, Provider(registry))
    except ResolutionError:
        return "none"
    return "found"


def theirs(registry: Registry, requirements: dict[str, str]) -> str:
    resolver = resolvelib.Resolver(_ResolvelibProvider(registry), resolvelib.BaseReporter())
    asked = [(node, VersionConstraint.parse(text)) for node, text in requirements.items()]
    try:
        resolver.resolve(asked, max_rounds=10**9)
    except resolvelib.ResolutionImpossible:
        return "none"
    except RecursionError:
        return "stack overflow"
    return "found"


def measured(work: Callable[[], str], limit_seconds: int) -> tuple[float, str]:
    """Milliseconds and outcome of the best of three rounds, within a time limit."""

    def stop(*_: object) -> None:
        raise TooSlowError

    signal.signal(signal.SIGALRM, stop)
    best, outcome = float("inf"), ""
    for _ in range(3):
        signal.alarm(limit_seconds)
        started = time.perf_counter()
        try:
            outcome = work()
        except TooSlowError:
            return float("inf"), "no answer"
        finally:
            signal.alarm(0)
        best = min(best, time.perf_counter() - started)
    return best * 1000, outcome


def main(limit_seconds: int = 2) -> None:
    sets = {
        "simple": simple,
        "easy": easy,
        "random": random_registry,
        "unsatisfiable": unsatisfiable,
        "backtracking": backtracking,
        "backtracking 60 x 40": lambda seed: backtracking(seed, 60, 40),
        "backtracking 120 x 60": lambda seed: backtracking(seed, 120, 60),
    }
    print(f"{'':22} {'onex':>12} {'resolvelib':>12}   (milliseconds, median of eight seeds)")
    for name, make in sets.items():
        columns = []
        for work in (ours, theirs):
            results = []
            for seed in range(8):
                registry, requirements = make(seed)
                call = functools.partial(work, registry, requirements)
                results.append(measured(call, limit_seconds))
            middle = statistics.median(time for time, _ in results)
            shown = f"{middle:.2f}" if middle < float("inf") else f"> {limit_seconds * 1000}"
            columns.append((shown, Counter(outcome for _, outcome in results)))
        outcomes = "; ".join(", ".join(f"{n} {o}" for o, n in c.items()) for _, c in columns)
        print(f"{name:22} {columns[0][0]:>12} {columns[1][0]:>12}   {outcomes}")


if __name__ == "__main__":
    main()
