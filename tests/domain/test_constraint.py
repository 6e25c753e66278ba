"""Constraints against the grammar and the examples of the node-semver documentation."""

from __future__ import annotations

import time

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from onex import Version, VersionConstraint
from onex.domain.errors import ConstraintError
from onex.resolver.version_table import VersionTable, indexes

# Each range beside the comparators that the node-semver documentation rewrites it to.
REWRITTEN = {
    "1.2.3 - 2.3.4": ">=1.2.3 <=2.3.4",
    "1.2 - 2.3.4": ">=1.2.0 <=2.3.4",
    "1.2.3 - 2.3": ">=1.2.3 <2.4.0-0",
    "1.2.3 - 2": ">=1.2.3 <3.0.0-0",
    "* - 2": "<3.0.0-0",
    "1 - *": ">=1.0.0",
    "*": "*",
    "": "*",
    "1.x": ">=1.0.0 <2.0.0-0",
    "1.2.x": ">=1.2.0 <1.3.0-0",
    "1": ">=1.0.0 <2.0.0-0",
    "1.2": ">=1.2.0 <1.3.0-0",
    "1.X.x": ">=1.0.0 <2.0.0-0",
    "~1.2.3": ">=1.2.3 <1.3.0-0",
    "~>1.2.3": ">=1.2.3 <1.3.0-0",
    "~1.2": ">=1.2.0 <1.3.0-0",
    "~1": ">=1.0.0 <2.0.0-0",
    "~0.2.3": ">=0.2.3 <0.3.0-0",
    "~0.2": ">=0.2.0 <0.3.0-0",
    "~0": ">=0.0.0 <1.0.0-0",
    "~1.2.3-beta.2": ">=1.2.3-beta.2 <1.3.0-0",
    "^1.2.3": ">=1.2.3 <2.0.0-0",
    "^0.2.3": ">=0.2.3 <0.3.0-0",
    "^0.0.3": ">=0.0.3 <0.0.4-0",
    "^1.2.3-beta.2": ">=1.2.3-beta.2 <2.0.0-0",
    "^0.0.3-beta": ">=0.0.3-beta <0.0.4-0",
    "^1.2.x": ">=1.2.0 <2.0.0-0",
    "^0.0.x": ">=0.0.0 <0.1.0-0",
    "^0.0": ">=0.0.0 <0.1.0-0",
    "^1.x": ">=1.0.0 <2.0.0-0",
    "^0.x": ">=0.0.0 <1.0.0-0",
    "^*": "*",
    "~*": "*",
    ">1": ">=2.0.0",
    ">1.2": ">=1.3.0",
    ">=1": ">=1.0.0",
    "<1": "<1.0.0-0",
    "<1.2": "<1.2.0-0",
    "<=1": "<2.0.0-0",
    "<=1.2": "<1.3.0-0",
    ">*": "<0.0.0-0",
    "<*": "<0.0.0-0",
    ">=*": "*",
    "1.2.3": "1.2.3",
    "=1.2.3": "1.2.3",
    "==1.2.3": "1.2.3",
    "v1.2.3": "1.2.3",
    ">=v1.2.3": ">=1.2.3",
    ">= 1.2.3": ">=1.2.3",
    "~ 1.2.3": ">=1.2.3 <1.3.0-0",
    "^ 1.2.3": ">=1.2.3 <2.0.0-0",
    "1.2.3+build": "1.2.3",
    ">=1.0.0 <2.0.0": ">=1.0.0 <2.0.0",
    ">=1.0.0,<2.0.0": ">=1.0.0 <2.0.0",
    ">=1.0.0 , <2.0.0": ">=1.0.0 <2.0.0",
    "1.2.7 || >=1.2.9 <2.0.0": "1.2.7||>=1.2.9 <2.0.0",
    "^1||^2": ">=1.0.0 <2.0.0-0||>=2.0.0 <3.0.0-0",
    "||": "*||*",
    "latest": "*",
}

ALLOWED = """
^1.2.3 1.8.1 | 1.2.3 1.2.3 | >1.0.0 1.0.1 | <2.0.0 0.2.9 | ~1.2.1 1.2.3 | 1.2.3-alpha 1.2.3-alpha
^1.2.3-alpha 1.2.3-pre | ^1.2.0-alpha 1.2.0-pre | ^0.0.1-alpha 0.0.1-beta | ~v0.5.4-pre 0.5.5
>1.2.3-alpha.3 1.2.3-alpha.7 | >1.2.3-alpha.3 3.4.5 | <=2.0.0 2.0.0 | * 0.0.1 | x 1.2.3
""".replace("\n", "|")

DENIED = """
^1.2.3 2.0.0 | ^1.2.3 1.2.2 | ^1.2.3 2.0.0-pre | ^1.2.3-alpha 1.2.4-pre | * 1.2.3-foo
>1.2.3-alpha.3 3.4.5-alpha.9 | ~0.0.1 0.1.0-alpha | ^0.0.1-alpha 0.0.2-alpha | <1 1.0.0-beta
~1.2.2 1.3.0 | ^1.0.0 2.0.0-rc1 | 1 2.0.0-alpha | <* 0.0.0 | >=1.2 1.1.1 | ^0.0.1 0.0.2
""".replace("\n", "|")

INVALID = [
    "1.2.3.4", "foo", "^", "~", ">", ">= ", "1.2.3 -", "- 1.2.3", "1..2", "^1.2.3.4", "|", "1 | 2",
    ",", "1,", ",1", ">=1,,<2", "01.2.3", "^01", "1.2.3-01", "blerg || ^1", ">>1", "!1.2", "1.2.3-é",
    "٣.x", "[1.0,2.0)", "1.2.3 -2.3.4", "^1.2 - 2",
]  # fmt: skip


def pairs(text: str) -> list[tuple[str, str]]:
    entries = [entry.strip() for entry in text.split("|") if entry.strip()]
    return [(entry.rpartition(" ")[0], entry.rpartition(" ")[2]) for entry in entries]


@pytest.mark.parametrize(("written", "meant"), REWRITTEN.items())
def test_is_rewritten_as_documented(written: str, meant: str) -> None:
    assert VersionConstraint.parse(written).normalized() == meant


@pytest.mark.parametrize(("constraint", "version"), pairs(ALLOWED))
def test_allows(constraint: str, version: str) -> None:
    assert VersionConstraint.parse(constraint).allows(Version.parse(version))


@pytest.mark.parametrize(("constraint", "version"), pairs(DENIED))
def test_denies(constraint: str, version: str) -> None:
    assert not VersionConstraint.parse(constraint).allows(Version.parse(version))


@pytest.mark.parametrize("text", INVALID)
def test_refuses(text: str) -> None:
    with pytest.raises(ConstraintError) as caught:
        VersionConstraint.parse(text)
    assert caught.value.code == "VER002"


@pytest.mark.parametrize(
    "text", [">=1 " * 10_000, "^1||" * 10_000, "1" * 4096, "1.0.0-" + "a" * 4096, "^" * 5000]
)
def test_huge_constraints_are_refused_at_once(text: str) -> None:
    started = time.perf_counter()
    with pytest.raises(ConstraintError):
        VersionConstraint.parse(text)
    assert time.perf_counter() - started < 60


small = st.integers(0, 3)
releases = st.builds(Version, small, small, small)
prereleases = st.builds(Version, small, small, small, st.tuples(st.sampled_from(["a", "b", 0, 1])))
any_versions = releases | prereleases


@given(any_versions)
def test_caret_and_tilde_lie_within_their_major(version: Version) -> None:
    for prefix in ("^", "~", "="):
        constraint = VersionConstraint.parse(f"{prefix}{version}")
        assert constraint.allows(version)
        assert not constraint.allows(Version(version.major + 1, 0, 0))


@given(any_versions, any_versions, any_versions)
def test_comparators_agree_with_precedence(version: Version, low: Version, high: Version) -> None:
    constraint = VersionConstraint.parse(f">={low} <{high}")
    inside = low <= version < high
    is_named = any(b.prerelease and b.triple == version.triple for b in (low, high))
    assert constraint.allows(version) == (inside and (not version.prerelease or is_named))


texts = st.sampled_from(
    [*REWRITTEN, ">=0.1.0-a <3", "^1.0.0-b || 2.x", "<1.1.1-1", ">0.0.3 <=2.2.2-a"]
)


@given(texts, st.lists(any_versions, max_size=30))
def test_masks_of_the_solver_agree_with_allows(text: str, versions: list[Version]) -> None:
    constraint = VersionConstraint.parse(text)
    # Which version is the latest depends on the others: a prerelease only if there is no release.
    assume(text != "latest" or not all(version.prerelease for version in versions))
    table = VersionTable("n", versions, lambda _: 0)
    assert [table.versions[i] for i in indexes(table.mask_of(constraint))] == sorted(
        {version for version in versions if constraint.allows(version)}
    )


@given(texts, texts, releases)
def test_intersection_is_both(a: str, b: str, version: Version) -> None:
    first, second = VersionConstraint.parse(a), VersionConstraint.parse(b)
    both = first.intersection(second)
    assert both.allows(version) == (first.allows(version) and second.allows(version))
    assert VersionConstraint.parse(both.text).allows(version) == both.allows(version)


def test_equal_meaning_is_equal() -> None:
    assert VersionConstraint.parse("^1.2") == VersionConstraint.parse(">=1.2.0 <2.0.0-0")
    assert VersionConstraint.parse("1.2.3").is_exact
    assert not VersionConstraint.parse("^1.2.3").is_exact


@pytest.mark.parametrize(
    ("text", "normalized"),
    [
        ("^1.x+build", ">=1.0.0 <2.0.0-0"),
        ("~1.2+a.b", ">=1.2.0 <1.3.0-0"),
        (">=1+x", ">=1.0.0"),
        ("1.2.3+" + "b" * 400, "1.2.3"),
        ("1.x.x", ">=1.0.0 <2.0.0-0"),
    ],
)
def test_build_metadata_and_missing_parts(text: str, normalized: str) -> None:
    assert VersionConstraint.parse(text).normalized() == normalized


@pytest.mark.parametrize(
    "text",
    ["1.x.5", "x.1", "*.1.2", "^1.*.3", "9007199254740992.0.0", ">=1.9007199254740992", "1.2.3+"],
)
def test_ranges_that_say_nothing_sure_are_refused(text: str) -> None:
    with pytest.raises(ConstraintError):
        VersionConstraint.parse(text)
