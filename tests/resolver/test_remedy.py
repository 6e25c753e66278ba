"""Remedies: every one that is offered was solved, and pairs are offered only where singles fail."""

from __future__ import annotations

import pytest
from hypothesis import given

from onex.domain.constraint import VersionConstraint
from onex.domain.errors import ResolutionError
from onex.resolver import StableFirst, solve
from onex.resolver.compatibility_matrix import CompatibilityMatrix
from onex.resolver.remedy import find_remedies
from tests.resolver.test_solver import Provider, Registry, registries, requests


def remedies(registry: Registry, requirements: dict[str, str]) -> list[list[str]]:
    parsed = {name: VersionConstraint.parse(text) for name, text in requirements.items()}
    provider = Provider(registry)
    with pytest.raises(ResolutionError) as caught:
        solve(parsed, provider)
    found = find_remedies(parsed, CompatibilityMatrix(provider, StableFirst()), caught.value.facts)
    return [[str(edit) for edit in edits] for edits in found]


def test_the_request_itself_may_be_what_to_change() -> None:
    assert remedies({"a": {"1.0.0": {}}}, {"a": "^2"}) == [["ask for a@1.0.0 in place of ^2"]]


def test_an_unknown_node_can_only_go() -> None:
    found = remedies({"a": {"1.0.0": {"ghost": "^1"}}}, {"a": "*"})
    assert found == [["drop ghost from a, or register a node of that name"]]


def test_either_side_of_a_conflict_may_give_way() -> None:
    registry: Registry = {
        "left": {"1.0.0": {"shared": "^1"}},
        "right": {"1.0.0": {"shared": "^2"}},
        "shared": {"1.0.0": {}, "2.0.0": {}},
    }
    assert sorted(remedies(registry, {"left": "*", "right": "*"})) == [
        ["let left accept shared 2.0.0, where it asks ^1"],
        ["let right accept shared 1.0.0, where it asks ^2"],
    ]


def test_several_edits_are_offered_together_where_one_is_not_enough() -> None:
    registry: Registry = {
        "a": {"1.0.0": {"x": "^9", "y": "^9"}},
        "x": {"1.0.0": {}},
        "y": {"1.0.0": {"ghost": "*"}},
    }
    assert remedies(registry, {"a": "*"}) == [
        [
            "let a accept x 1.0.0, where it asks ^9",
            "let a accept y 1.0.0, where it asks ^9",
            "drop ghost from y, or register a node of that name",
        ]
    ]


@given(registries, requests)
def test_every_remedy_unblocks(registry: Registry, requirements: dict[str, str]) -> None:
    parsed = {name: VersionConstraint.parse(text) for name, text in requirements.items()}
    try:
        solve(parsed, Provider(registry))
    except ResolutionError as error:
        for edits in find_remedies(
            parsed, CompatibilityMatrix(Provider(registry), StableFirst()), error.facts
        ):
            edited = {n: {v: dict(needs) for v, needs in vs.items()} for n, vs in registry.items()}
            request = dict(requirements)
            for edit in edits:
                for needs in (
                    [request] if edit.dependent is None else edited[edit.dependent].values()
                ):
                    if edit.accept is None:
                        needs.pop(edit.needed, None)
                    elif edit.needed in needs:
                        needs[edit.needed] = f"{needs[edit.needed]} || {edit.accept}"
            solve(request, Provider(edited))
