"""The solver against an independent brute-force oracle, and on shapes that break recursion."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from onex.domain.constraint import VersionConstraint
from onex.domain.errors import DependencyCycleError, ResolutionError
from onex.domain.version import Version
from onex.resolver import StableFirst, solve

Registry = dict[str, dict[str, dict[str, str]]]
"""For each node, for each version, what it needs."""


class Provider:
    def __init__(self, registry: Registry) -> None:
        self.registry = registry

    def versions(self, node: str) -> Sequence[Version]:
        return [Version.parse(text) for text in self.registry.get(node, {})]

    def dependencies(self, node: str, version: Version) -> Mapping[str, VersionConstraint]:
        needs = self.registry[node][str(version)]
        return {name: VersionConstraint.parse(text) for name, text in needs.items()}


def is_valid(
    registry: Registry, requirements: Mapping[str, str], chosen: Mapping[str, str]
) -> bool:
    """Every need of the request and of the chosen is met, nothing else is chosen, no cycle."""
    reached: set[str] = set()
    pending = list(requirements.items())
    while pending:
        node, constraint = pending.pop()
        if node not in chosen:
            return False
        if not VersionConstraint.parse(constraint).allows(Version.parse(chosen[node])):
            return False
        if node not in reached:
            reached.add(node)
            pending += registry[node][chosen[node]].items()
    if reached != set(chosen):
        return False
    return is_acyclic({node: set(registry[node][version]) for node, version in chosen.items()})


def is_acyclic(needs: Mapping[str, set[str]]) -> bool:
    remaining = dict(needs)
    while free := {node for node, needed in remaining.items() if not needed}:
        remaining = {n: needed - free for n, needed in remaining.items() if n not in free}
    return not remaining


def has_answer(registry: Registry, requirements: Mapping[str, str]) -> bool:
    names = sorted(registry)
    options = [[None, *registry[name]] for name in names]
    return any(
        is_valid(registry, requirements, {n: v for n, v in zip(names, choice, strict=True) if v})
        for choice in itertools.product(*options)
    )


NAMES = ["a", "b", "c", "d", "e"]
VERSIONS = ["1.0.0", "1.1.0", "2.0.0", "2.0.1-rc.1"]
CONSTRAINTS = ["*", "^1", "^2", "1.0.0", ">=1.1", "<2", "~2.0.1-rc.0", "3.x", "1.0.0 || 2.0.0"]

needs = st.dictionaries(
    st.sampled_from([*NAMES, "missing"]), st.sampled_from(CONSTRAINTS), max_size=3
)
registries = st.dictionaries(
    st.sampled_from(NAMES),
    st.dictionaries(st.sampled_from(VERSIONS), needs, min_size=1, max_size=3),
    min_size=1,
    max_size=5,
)
requests = st.dictionaries(
    st.sampled_from(NAMES), st.sampled_from(CONSTRAINTS), min_size=1, max_size=3
)


@settings(max_examples=1000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(registries, requests)
def test_agrees_with_brute_force(registry: Registry, requirements: dict[str, str]) -> None:
    if has_answer(registry, requirements):
        chosen = solve(requirements, Provider(registry))
        assert is_valid(registry, requirements, {n: str(v) for n, v in chosen.items()})
    else:
        with pytest.raises(ResolutionError) as caught:
            solve(requirements, Provider(registry))
        assert caught.value.explanation


@pytest.mark.slow
@settings(max_examples=1000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(registries, requests)
def test_no_node_alone_could_be_a_better_version(registry, requirements) -> None:
    """The documented sense of newest first: each choice is the best beside all the others."""
    try:
        found = solve(requirements, Provider(registry))
    except ResolutionError:
        return
    chosen = {node: str(version) for node, version in found.items()}
    policy = StableFirst()
    for node, version in found.items():
        rank = (policy.preference(node, version), version)
        for text in registry[node]:
            other = Version.parse(text)
            if (policy.preference(node, other), other) > rank:
                assert not holds(registry, requirements, chosen | {node: text})


def holds(registry: Registry, requirements: Mapping[str, str], chosen: Mapping[str, str]) -> bool:
    """Whether every need is met, without a cycle; some of the chosen may be superfluous."""
    asked = [requirements, *(registry[node][version] for node, version in chosen.items())]
    return all(
        node in chosen and VersionConstraint.parse(constraint).allows(Version.parse(chosen[node]))
        for needs in asked
        for node, constraint in needs.items()
    ) and is_acyclic({node: set(registry[node][version]) for node, version in chosen.items()})


@pytest.mark.slow
@settings(max_examples=600, deadline=None)
@given(registries, requests, st.randoms(use_true_random=False))
def test_order_of_discovery_does_not_matter(registry, requirements, random) -> None:
    def shuffled(mapping):
        items = list(mapping.items())
        random.shuffle(items)
        return dict(items)

    other = {
        name: {version: shuffled(needed) for version, needed in shuffled(versions).items()}
        for name, versions in shuffled(registry).items()
    }
    outcomes = []
    for given_registry, given_request in (
        (registry, requirements),
        (other, shuffled(requirements)),
    ):
        try:
            outcomes.append(dict(solve(given_request, Provider(given_registry))))
        except ResolutionError:
            outcomes.append(None)
    assert outcomes[0] == outcomes[1]


def test_newest_stable_is_chosen() -> None:
    registry: Registry = {"a": {"1.0.0": {}, "1.2.0": {}, "2.0.0-rc.1": {}}}
    assert solve({"a": "*"}, Provider(registry)) == {"a": Version.parse("1.2.0")}


def test_jumps_back_over_an_unrelated_choice() -> None:
    registry: Registry = {
        "app": {"1.0.0": {"driver": "*", "theme": "*"}},
        "driver": {"1.0.0": {"core": "1.0.0"}, "2.0.0": {"core": "2.0.0"}},
        "theme": {"1.0.0": {}, "2.0.0": {}},
        "core": {"1.0.0": {}, "2.0.0": {"gone": "*"}},
    }
    chosen = {name: str(v) for name, v in solve({"app": "*"}, Provider(registry)).items()}
    assert chosen == {"app": "1.0.0", "driver": "1.0.0", "theme": "2.0.0", "core": "1.0.0"}


def test_explanation_names_every_constraint_in_the_conflict() -> None:
    registry: Registry = {
        "left": {"1.0.0": {"shared": "^1"}},
        "right": {"1.0.0": {"shared": "^2"}},
        "shared": {"1.0.0": {}, "2.0.0": {}},
    }
    with pytest.raises(ResolutionError) as caught:
        solve({"left": "*", "right": "*"}, Provider(registry))
    explanation = caught.value.explanation
    assert "left 1.0.0 needs shared ^1" in explanation
    assert "right 1.0.0 needs shared ^2" in explanation
    assert explanation.splitlines()[-1].endswith("the request cannot be met.")
    for line_number, line in enumerate(explanation.splitlines(), 1):
        used = [int(text) for text in re.findall(r"\((\d+)\)", line)]
        assert all(number < line_number for number in used)


def test_unknown_node_is_named() -> None:
    with pytest.raises(ResolutionError) as caught:
        solve({"ghost": "^1"}, Provider({}))
    assert "ghost ^1 and no node has that name" in caught.value.explanation


def test_missing_version_lists_what_exists() -> None:
    with pytest.raises(ResolutionError) as caught:
        solve({"a": "^9"}, Provider({"a": {"1.0.0": {}, "1.1.0": {}}}))
    assert "only 1.0.0, 1.1.0 exist" in caught.value.explanation


def test_cycle_is_reported() -> None:
    registry: Registry = {"a": {"1.0.0": {"b": "*"}}, "b": {"1.0.0": {"a": "*"}}}
    with pytest.raises(DependencyCycleError) as caught:
        solve({"a": "*"}, Provider(registry))
    assert caught.value.cycles == (("a", "b"),)
    assert caught.value.details["cycles"] == [["a", "b"]]


def test_dependency_on_itself_is_a_cycle() -> None:
    with pytest.raises(DependencyCycleError) as caught:
        solve({"a": "*"}, Provider({"a": {"1.0.0": {"a": "*"}}}))
    assert caught.value.cycles == (("a",),)


def test_avoidable_cycle_is_avoided() -> None:
    registry: Registry = {
        "a": {"1.0.0": {"b": "*"}},
        "b": {"1.0.0": {}, "2.0.0": {"a": "*"}},
    }
    assert str(solve({"a": "*"}, Provider(registry))["b"]) == "1.0.0"


def test_chain_of_5000_needs_no_recursion() -> None:
    registry: Registry = {
        f"n{i:05}": {"1.0.0": {f"n{i + 1:05}": "^1"} if i < 4999 else {}} for i in range(5000)
    }
    started = time.perf_counter()
    assert len(solve({"n00000": "*"}, Provider(registry))) == 5000
    assert time.perf_counter() - started < 60


def test_diamond_of_10000_resolves() -> None:
    middle = [f"m{i:05}" for i in range(9998)]
    registry: Registry = {
        "top": {"1.0.0": dict.fromkeys(middle, "^1")},
        **{name: {"1.0.0": {"bottom": "^1"}, "1.1.0": {"bottom": "^1.1"}} for name in middle},
        "bottom": {"1.0.0": {}, "1.1.0": {}},
    }
    started = time.perf_counter()
    found = solve({"top": "*"}, Provider(registry))
    assert (len(found), str(found["bottom"])) == (10_000, "1.1.0")
    assert time.perf_counter() - started < 60


def test_long_unsatisfiable_chain_is_explained_without_recursion() -> None:
    registry: Registry = {f"n{i:05}": {"1.0.0": {f"n{i + 1:05}": "^1"}} for i in range(3000)}
    with pytest.raises(ResolutionError) as caught:
        solve({"n00000": "*"}, Provider(registry))
    assert "n03000 ^1 and no node has that name" in caught.value.explanation


class Optional(StableFirst):
    """A policy with optional dependencies: node, version, what it takes, in which versions."""

    def __init__(self, *entries: tuple[str, str, str, str]) -> None:
        self.entries = entries

    def optional_dependencies(self, node: str, version: Version) -> dict[str, VersionConstraint]:
        return {
            needed: VersionConstraint.parse(constraint)
            for owner, at, needed, constraint in self.entries
            if (owner, at) == (node, str(version))
        }


def test_an_optional_dependency_asks_for_nothing_but_limits_what_is_there() -> None:
    registry: Registry = {"a": {"1.0.0": {}}, "b": {"1.0.0": {}, "2.0.0": {}}}
    policy = Optional(("a", "1.0.0", "b", "^1"))
    assert solve({"a": "*"}, Provider(registry), policy) == {"a": Version.parse("1.0.0")}
    together = solve({"a": "*", "b": "*"}, Provider(registry), policy)
    assert str(together["b"]) == "1.0.0"
    with pytest.raises(ResolutionError) as caught:
        solve({"a": "*", "b": "^2"}, Provider(registry), policy)
    assert "a 1.0.0 takes only b ^1" in caught.value.explanation


def test_an_optional_dependency_on_a_missing_node_does_no_harm() -> None:
    policy = Optional(("a", "1.0.0", "ghost", "^1"))
    assert solve({"a": "*"}, Provider({"a": {"1.0.0": {}}}), policy) == {
        "a": Version.parse("1.0.0")
    }


def test_a_need_that_is_both_required_and_optional_is_required_within_both() -> None:
    registry: Registry = {
        "a": {"1.0.0": {}, "1.5.0": {}, "2.0.0": {}},
        "c": {"1.0.0": {"a": "*"}},
    }
    policy = Optional(("c", "1.0.0", "a", "<1.2.0"))
    chosen = solve({"c": "*"}, Provider(registry), policy)
    assert {node: str(version) for node, version in chosen.items()} == {"a": "1.0.0", "c": "1.0.0"}


optional_entries = st.lists(
    st.tuples(
        st.sampled_from(NAMES),
        st.sampled_from(VERSIONS),
        st.sampled_from(NAMES),
        st.sampled_from(CONSTRAINTS),
    ),
    max_size=4,
)


@settings(max_examples=400, deadline=None)
@given(registries, requests, optional_entries)
def test_optional_dependencies_agree_with_brute_force(registry, requirements, entries) -> None:
    policy = Optional(*((o, v, n, c) for o, v, n, c in entries if o != n))

    def fits(chosen: dict[str, str]) -> bool:
        taken = {
            node: {
                needed: constraint
                for needed, constraint in policy.optional_dependencies(
                    node, Version.parse(v)
                ).items()
                if needed in chosen
            }
            for node, v in chosen.items()
        }
        return (
            is_valid(registry, requirements, chosen)
            and is_acyclic({n: {*registry[n][v], *taken[n]} for n, v in chosen.items()})
            and all(
                constraint.allows(Version.parse(chosen[needed]))
                for limits in taken.values()
                for needed, constraint in limits.items()
            )
        )

    names = sorted(registry)
    options = itertools.product(*([None, *registry[name]] for name in names))
    candidates = [{n: v for n, v in zip(names, choice, strict=True) if v} for choice in options]
    try:
        chosen = solve(requirements, Provider(registry), policy)
    except ResolutionError:
        assert not any(fits(candidate) for candidate in candidates)
    else:
        assert fits({n: str(v) for n, v in chosen.items()})
