"""The solver on registries of known difficulty, beside resolvelib in the same run."""

from __future__ import annotations

import functools
import random
import signal
import statistics
import tempfile
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import resolvelib

from onex import NodeRef, ResolutionError, Version, VersionConstraint
from onex import Registry as OnexRegistry
from onex.resolver import StableFirst, solve
from onex.resolver.compatibility_matrix import CompatibilityMatrix
from onex.resolver.solver import solve_with

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


def package_index(seed: int, count: int = 4000) -> tuple[Registry, dict[str, str]]:
    """The shape of a package index: a few nodes that many need, a long tail, 1 to 60 versions.

    Majors break what asked for the one before; newer versions ask for newer ones. The request
    is an application with thirty direct needs.
    """
    chance = random.Random(seed)
    counts = [1 + min(59, int(chance.paretovariate(0.9))) for _ in range(count)]
    numbers = [
        [Version(1 + k // 12, k % 12, 0) for k in range(versions_of)] for versions_of in counts
    ]
    registry: Registry = {f"n{i}": {} for i in range(count)}
    for i in range(count):
        # Those with low numbers are needed most, and need little themselves.
        popular = [int(i * chance.random() ** 3) for _ in range(min(i, chance.randrange(8)))]
        for k, version in enumerate(numbers[i]):
            needs = {}
            for j in popular:
                newest = numbers[j][(len(numbers[j]) - 1) * (k + 1) // counts[i]]
                style = chance.random()
                text = (
                    f"^{newest.major}"
                    if style < 0.6
                    else f">={newest.major}.{newest.minor}"
                    if style < 0.9
                    else f"~{newest.major}.{newest.minor}"
                )
                needs[f"n{j}"] = VersionConstraint.parse(text)
            registry[f"n{i}"][version] = needs
    return registry, {f"n{i}": "*" for i in chance.sample(range(count // 2, count), 30)}


def frameworks(seed: int) -> tuple[Registry, dict[str, str]]:
    """The shape of an index of gems, and a request for two frameworks that disagree.

    137 nodes and 6,800 versions, up to 300 of one, of which 2,700 are met in conflicts. Each
    framework is a family of parts that are released together and ask each other for the same
    version; parts need libraries, and libraries others, by ``~`` and ``^``, and ask the same for
    long runs of versions. The families disagree about one library, in every version.
    """
    chance = random.Random(seed)
    registry: Registry = {}
    libraries = [f"library{i}" for i in range(115)]
    counts = [max(2, int(150 * (1 - i / 115) ** 3)) for i in range(115)]

    def numbers(count: int) -> list[Version]:
        return [Version(1 + k // 60, k // 6 % 10, k % 6) for k in range(count)]

    def asked(about: Version) -> str:
        style = chance.random()
        if style < 0.5:
            return f"~{about.major}.{about.minor}"
        return f"^{about.major}.{about.minor}" if style < 0.8 else f">={about.major}.0"

    def fill(node: str, count: int, below: Sequence[int], width: int, fixed: str = "") -> None:
        needs: dict[str, str] = {}
        registry[node] = {}
        for k, version in enumerate(numbers(count)):
            if k == 0 or chance.random() < 0.04:
                for i in chance.sample(below, min(width, len(below))):
                    newest = numbers(counts[i])[(counts[i] - 1) * (k + 1) // count]
                    needs[libraries[i]] = asked(newest)
                needs = dict(list(needs.items())[-width:])
            texts = needs | ({"library0": fixed} if fixed else {})
            registry[node][version] = {
                name: VersionConstraint.parse(text) for name, text in texts.items()
            }

    for i, library in enumerate(libraries):
        fill(library, counts[i], range(i + 1, min(i + 40, 115)), 3 if i % 3 == 0 else 1)
    registry["library0"] = {version: {} for version in numbers(300)}
    for family, fixed, count in (("a", "<2.5.0", 150), ("b", ">=2.5.0", 60)):
        parts = [f"{family}{i}" for i in range(10)]
        for i, part in enumerate(parts):
            fill(part, count, range(1, 90), 4, fixed if i == 9 else "")
            for version, needs in registry[part].items():
                later = parts[i + 1 : i + 4]
                needs.update({name: VersionConstraint.parse(f"={version}") for name in later})
        registry[family] = {
            version: {part: VersionConstraint.parse(f"={version}") for part in parts[:4]}
            for version in numbers(count)
        }
    return registry, {"a": ">=1", "b": ">=1"}


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


def ours_again(registry: Registry, requirements: dict[str, str]) -> Callable[[], str]:
    """The same on a matrix that has served the request before, as a registry keeps it."""
    matrix = CompatibilityMatrix(Provider(registry), StableFirst())
    parsed = {node: VersionConstraint.parse(text) for node, text in requirements.items()}

    def again() -> str:
        try:
            solve_with(matrix, parsed)
        except ResolutionError:
            return "none"
        return "found"

    again()
    return again


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


def compare(limit_seconds: int) -> None:
    """Each set cold, on a kept matrix, and by resolvelib, in one run."""
    sets = {
        "simple": simple,
        "easy": easy,
        "random": random_registry,
        "unsatisfiable": unsatisfiable,
        "backtracking 30 x 20": backtracking,
        "backtracking 60 x 40": lambda seed: backtracking(seed, 60, 40),
        "backtracking 120 x 60": lambda seed: backtracking(seed, 120, 60),
        "package index": package_index,
        "two frameworks": frameworks,
    }
    print("milliseconds, median of eight seeds")
    print(f"{'':22} {'onex':>9} {'kept':>9} {'resolvelib':>11}   onex; kept; resolvelib")
    for name, make in sets.items():
        made = [make(seed) for seed in range(8)]
        columns = []
        for calls in (
            [functools.partial(ours, *given) for given in made],
            [ours_again(*given) for given in made],
            [functools.partial(theirs, *given) for given in made],
        ):
            results = [measured(call, limit_seconds) for call in calls]
            middle = statistics.median(time for time, _ in results)
            shown = f"{middle:.2f}" if middle < float("inf") else f"> {limit_seconds * 1000}"
            columns.append((shown, Counter(outcome for _, outcome in results)))
        outcomes = "; ".join(", ".join(f"{n} {o}" for o, n in c.items()) for _, c in columns)
        times = [shown for shown, _ in columns]
        print(f"{name:22} {times[0]:>9} {times[1]:>9} {times[2]:>11}   {outcomes}")


def memory() -> None:
    """The peak of what Python allocates while solving, beyond the registry itself."""
    print("\nmemory while solving, MiB at the peak")
    for name, make in (
        ("easy", easy),
        ("backtracking 120 x 60", lambda seed: backtracking(seed, 120, 60)),
        ("package index", package_index),
    ):
        registry, requirements = make(0)
        tracemalloc.start()
        ours(registry, requirements)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        print(f"{name:22} {peak / 2**20:9.1f}")


def cached() -> None:
    """Whole questions to a registry: first, again, and hit ratios on a mix with changes.

    Twenty applications need libraries, which need foundations, twenty of each. The mix: 10,000
    questions, half for resolutions and half for single versions, about nodes chosen by Zipf's
    law, while one node gets a new version after every 500 questions.
    """
    with tempfile.TemporaryDirectory() as folder, OnexRegistry.open(Path(folder, "home")) as onex:
        tree = Path(folder, "nodes")
        chance = random.Random(1)
        for i in range(60):
            below = range(i // 20 * 20 + 20, i // 20 * 20 + 40) if i < 40 else ()
            needs = [f"tool://mix.n{j}@^1" for j in chance.sample(below, 3 if below else 0)]
            write_node(tree, i, "1.0.0", needs)
        onex.scan([tree])
        whole = ["tool://mix.n0@^1"]
        started = time.perf_counter()
        onex.resolve(whole)
        first = time.perf_counter() - started
        rounds = 2000
        started = time.perf_counter()
        for _ in range(rounds):
            onex.resolve(whole)
        again = (time.perf_counter() - started) / rounds
        onex.caches.clear()
        weights = [1 / (rank + 1) for rank in range(60)]
        for number in range(10_000):
            if number and number % 500 == 0:
                write_node(tree, chance.randrange(60), f"1.{number}.0", [])
                onex.scan([tree])
            name = f"tool://mix.n{chance.choices(range(60), weights)[0]}"
            if chance.random() < 0.5:
                onex.resolve([f"{name}@^1"])
            else:
                onex.node(NodeRef.parse(f"{name}@^1"))
        print("\na registry of 60 nodes, on disk")
        print(f"first resolution       {first * 1e3:9.2f} ms")
        print(f"the same again         {again * 1e6:9.1f} us")
        for report in onex.caches.reports():
            ratio = report.statistics.hit_ratio
            print(f"hits among {report.name:12} {ratio or 0:8.1%}")


def write_node(tree: Path, number: int, version: str, needs: list[str]) -> None:
    folder = tree / f"n{number}" / version
    folder.mkdir(parents=True)
    (folder / "node.onex.yaml").write_text(
        f"name: n{number}\nnamespace: mix.n{number}\nversion: {version!r}\nmeta_type: tool\n"
        f"lifecycle: draft\nentrypoint: python@node.py\ndependencies: {needs}\n"
    )
    (folder / "node.py").write_text("def execute(context):\n    return None\n")


def main() -> None:
    compare(limit_seconds=2)
    memory()
    cached()


if __name__ == "__main__":
    main()
