"""Every step of an explanation follows from what it rests on, by trying all choices.

The sentences are read as a user reads them. A fact must be what the registry says, and no
choice of versions may meet both reasons of a step and not what the step concludes.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping

import pytest
from hypothesis import assume, event, given, settings
from hypothesis import strategies as st

from onex.domain.constraint import VersionConstraint
from onex.domain.errors import ResolutionError
from onex.domain.version import Version
from onex.resolver import solve
from tests.fuzz.conftest import EXAMPLES, fuzzing
from tests.resolver.test_solver import Provider, Registry

NODES = ["n0", "n1", "n2", "n3"]
VERSIONS = ["1.0.0", "1.1.0", "2.0.0"]
CONSTRAINTS = ["*", "^1", "^2", "~1.1", "1.0.0", "<=1.1.0", ">=1.1.0"]

Choice = Mapping[str, str | None]
Claim = Callable[[Choice], bool]


@st.composite
def registries(draw: st.DrawFn) -> Registry:
    """Nodes that need later ones alone, so that there is no cycle."""
    found: Registry = {}
    for number, node in enumerate(NODES):
        found[node] = {}
        later = NODES[number + 1 :] + ["missing"] * (draw(st.integers(0, 9)) // 9)
        for version in draw(st.lists(st.sampled_from(VERSIONS), min_size=2, unique=True)):
            few = min(2, len(later))
            needed = (
                draw(st.lists(st.sampled_from(later), min_size=few, unique=True)) if few else ()
            )
            found[node][version] = {n: draw(st.sampled_from(CONSTRAINTS)) for n in needed}
    return found


requests = st.dictionaries(
    st.sampled_from(NODES), st.sampled_from([*CONSTRAINTS, "^3"]), min_size=1, max_size=3
)


class Reader:
    """Reads sentences of an explanation as claims about choices of versions."""

    def __init__(self, registry: Registry, request: Mapping[str, str]) -> None:
        self._registry = registry
        self._request = request
        self._steps: dict[int, str] = {}
        known = {node: sorted(map(Version.parse, found)) for node, found in registry.items()}
        self._known = {node: [str(version) for version in found] for node, found in known.items()}
        nodes = [*NODES, "missing"]
        choices = [[None, *self._known.get(node, ())] for node in nodes]
        self.choices = [dict(zip(nodes, each, strict=True)) for each in itertools.product(*choices)]

    def check(self, line: str) -> None:
        """Check one line: the facts, the numbers that it refers to, and what it concludes."""
        whole = re.fullmatch(r"(\d+)\. Because (.*), (.*)\.", line)
        assert whole, line
        number, reasons, conclusion = int(whole[1]), whole[2], whole[3]
        splits = [
            (reasons[: place.start()], reasons[place.end() :])
            for place in re.finditer(" and ", reasons)
        ]
        readings = [
            [self.reason(first), self.reason(second)]
            for first, second in splits
            if self.is_reason(first) and self.is_reason(second)
        ]
        assert readings, f"no two reasons: {line}"
        concluded = self.statement(conclusion)
        for choice in self.choices:
            if not concluded(choice):
                assert any(not all(reason(choice) for reason in reading) for reading in readings), (
                    line,
                    choice,
                )
        self._steps[number] = conclusion

    def is_reason(self, text: str) -> bool:
        try:
            self.reason(text)
        except ValueError:
            return False
        return True

    def reason(self, text: str) -> Claim:
        numbered = re.fullmatch(r"(.*) \((\d+)\)", text)
        if numbered and int(numbered[2]) in self._steps:
            if self._steps[int(numbered[2])] != numbered[1]:
                raise ValueError(f"step {numbered[2]} did not say {numbered[1]!r}")
            return self.statement(numbered[1])
        return self.fact(text)

    def fact(self, text: str) -> Claim:
        """A fact of the registry or of the request; raises ValueError for other texts."""
        if text == "the request must be met":
            return lambda _: True
        asked = re.fullmatch(rf"you asked for {_NODE} {_ASKED}{_WHY}", text)
        if asked:
            node, constraints = asked[1], asked[2].split(" or ")
            if constraints != [self._request.get(node)]:
                raise ValueError(text)
            return self.allowed(node, constraints, asked[3])
        needs = re.fullmatch(rf"{_NODE} {_SET} needs {_NODE} {_ASKED}{_WHY}", text)
        if not needs:
            raise ValueError(text)
        node, versions, needed = needs[1], self.versions(needs[1], needs[2]), needs[3]
        constraints = needs[4].split(" or ")
        for version in versions:
            if self._registry[node][version].get(needed) not in constraints:
                raise ValueError(f"{node} {version} does not need {needed} so")
        allowed = self.allowed(needed, constraints, needs[5])
        return lambda choice: choice[node] not in versions or allowed(choice)

    def allowed(self, node: str, constraints: list[str], why: str | None) -> Claim:
        fitting = {
            version
            for version in self._known.get(node, ())
            for constraint in constraints
            if VersionConstraint.parse(constraint).allows(Version.parse(version))
        }
        if why is not None and fitting:
            raise ValueError(f"{node} has versions that fit")
        if why == " and no node has that name" and node in self._known:
            raise ValueError(f"{node} exists")
        return lambda choice: choice[node] in fitting

    def statement(self, text: str) -> Claim:
        """A conclusion; raises ValueError for other texts."""
        if text == "the request cannot be met":
            return lambda _: False
        if text.startswith("the request needs "):
            needed = self.terms(text.removeprefix("the request needs "), " or ")
            return lambda choice: any(choice[node] in found for node, found in needed)
        if " needs " in text:
            have, need = text.split(" needs ")
            given, needed = self.terms(have, " with "), self.terms(need, " or ")
            return lambda choice: (
                not all(choice[node] in found for node, found in given)
                or any(choice[node] in found for node, found in needed)
            )
        cannot = re.fullmatch(r"(.*?) cannot be used( together)?", text)
        if not cannot:
            raise ValueError(text)
        together = self.terms(cannot[1], " and ")
        return lambda choice: not all(choice[node] in found for node, found in together)

    def terms(self, text: str, joint: str) -> list[tuple[str, set[str]]]:
        parts = re.split(f"{joint}(?={_NODE} )", text)
        found = []
        for part in parts[:1] + [p for p in parts[1:] if p and not re.fullmatch(_NODE, p)]:
            match = re.fullmatch(f"{_NODE} {_SET}", part)
            if not match:
                raise ValueError(text)
            found.append((match[1], self.versions(match[1], match[2])))
        return found

    def versions(self, node: str, text: str) -> set[str]:
        known = self._known.get(node, [])
        if text == "(any version)":
            return set(known)
        if text == "(no version)":
            return set()
        found: set[str] = set()
        for span in text.split(" or "):
            low, _, high = span.partition(" to ")
            start, end = known.index(low), known.index(high or low)
            found |= set(known[start : end + 1])
        return found


_NODE = r"(n\d|missing)"
_SET = r"(\(any version\)|\(no version\)|\d[\d. a-z]*?)"
_ASKED = r"(\S+(?: or \S+)*?)"
_WHY = r"( and no node has that name| and only .* exist)?"


@pytest.mark.slow
@settings(fuzzing, max_examples=5 * EXAMPLES)
@given(registries(), requests)
def test_every_step_follows(registry: Registry, request: dict[str, str]) -> None:
    try:
        solve(request, Provider(registry))
    except ResolutionError as error:
        explanation = error.explanation
    else:
        assume(False)
    reader = Reader(registry, request)
    lines = explanation.splitlines()
    if not lines[0].startswith("1. "):
        # One fact alone is the whole reason.
        (line,) = lines
        claim = reader.fact(line[0].lower() + line[1:].removesuffix("."))
        assert not any(map(claim, reader.choices))
        return
    for line in lines:
        reader.check(line)
    assert lines[-1].endswith("the request cannot be met.")
    event(f"{len(lines)} steps")


def test_a_wrong_step_is_noticed() -> None:
    registry = {"n0": {"1.0.0": {"n1": "^1"}}, "n1": {"1.0.0": {}, "2.0.0": {}}}
    reader = Reader(registry | {node: {} for node in NODES[2:]}, {"n0": "*"})
    reader.check(
        "1. Because you asked for n0 * and n0 1.0.0 needs n1 ^1, the request needs n1 1.0.0."
    )
    with pytest.raises(AssertionError):
        reader.check(
            "2. Because you asked for n0 * and n0 1.0.0 needs n1 ^1, the request needs n1 2.0.0."
        )
    with pytest.raises(AssertionError):
        reader.check("2. Because you asked for n0 ^2 and n0 1.0.0 needs n1 ^1, n1 cannot be used.")
