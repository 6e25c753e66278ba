"""Versions against the rules and examples of semver.org."""

from __future__ import annotations

import itertools
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onex import Version
from onex.domain.errors import VersionError
from onex.storage.node_record import version_order

VALID = [
    "0.0.4",
    "1.2.3",
    "10.20.30",
    "1.1.2-prerelease+meta",
    "1.1.2+meta",
    "1.1.2+meta-valid",
    "1.0.0-alpha",
    "1.0.0-beta",
    "1.0.0-alpha.beta",
    "1.0.0-alpha.beta.1",
    "1.0.0-alpha.1",
    "1.0.0-alpha0.valid",
    "1.0.0-alpha.0valid",
    "1.0.0-alpha-a.b-c-somethinglong+build.1-aef.1-its-okay",
    "1.0.0-rc.1+build.1",
    "2.0.0-rc.1+build.123",
    "1.2.3-beta",
    "10.2.3-DEV-SNAPSHOT",
    "1.2.3-SNAPSHOT-123",
    "1.0.0",
    "2.0.0",
    "1.1.7",
    "2.0.0+build.1848",
    "2.0.1-alpha.1227",
    "1.0.0-alpha+beta",
    "1.2.3----RC-SNAPSHOT.12.9.1--.12+788",
    "1.2.3----R-S.12.9.1--.12+meta",
    "1.2.3----RC-SNAPSHOT.12.9.1--.12",
    "1.0.0+0.build.1-rc.10000aaa-kk-0.1",
    "99999999999999999999999.999999999999999999.99999999999999999",
    "1.0.0-0A.is.legal",
]

INVALID = [
    "", "1", "1.2", "1.2.3-0123", "1.2.3-0123.0123", "1.1.2+.123", "+invalid", "-invalid",
    "-invalid+invalid", "alpha", "alpha.beta", "1.2.3.DEV", "1.2-SNAPSHOT", "1.2.31.2.3----RC",
    "01.1.1", "1.01.1", "1.1.01", "1.2.3.4", "v1.2.3", "=1.2.3", " 1.2.3", "1.2.3 ", "1.2.3-",
    "1.2.3+", "1.2.3-a..b", "1.2.3-é", "1.2.3-١", "١.2.3", "1.2.3\n", "1.0.0-alpha_beta",
    "1.0.0+a+b", "-1.0.3-gamma+b7718",
]  # fmt: skip

PRECEDENCE = [
    "0.0.1-0",
    "0.0.1",
    "0.9.99",
    "1.0.0-0",
    "1.0.0-1",
    "1.0.0-2",
    "1.0.0-10",
    "1.0.0-A",
    "1.0.0-alpha",
    "1.0.0-alpha.1",
    "1.0.0-alpha.beta",
    "1.0.0-beta",
    "1.0.0-beta.2",
    "1.0.0-beta.11",
    "1.0.0-rc.1",
    "1.0.0",
    "1.0.1",
    "1.2.0",
    "1.10.0",
    "2.0.0",
    "2.1.0",
    "2.1.1",
    "11.0.0",
]

numbers = st.integers(0, 10**12)
identifiers = st.one_of(
    st.integers(0, 10**9).map(str), st.from_regex(r"[a-zA-Z-][0-9a-zA-Z-]{0,5}", fullmatch=True)
)
versions = st.builds(
    lambda a, b, c, pre, build: Version.parse(
        f"{a}.{b}.{c}" + ("-" + ".".join(pre) if pre else "") + ("+" + ".".join(build) if build else "")
    ),
    numbers, numbers, numbers, st.lists(identifiers, max_size=4), st.lists(identifiers, max_size=2),
)  # fmt: skip


@pytest.mark.parametrize("text", VALID)
def test_reads_what_semver_calls_valid(text: str) -> None:
    assert str(Version.parse(text)) == text


@pytest.mark.parametrize("text", INVALID)
def test_refuses_what_semver_calls_invalid(text: str) -> None:
    with pytest.raises(VersionError) as caught:
        Version.parse(text)
    assert caught.value.code == "VER001"
    assert caught.value.hint


def test_precedence_is_that_of_semver() -> None:
    parsed = [Version.parse(text) for text in PRECEDENCE]
    assert sorted(parsed) == parsed
    assert len(set(parsed)) == len(parsed)


@given(st.lists(versions, max_size=8))
def test_order_is_total_and_storage_sorts_the_same(found: list[Version]) -> None:
    ordered = sorted(found)
    assert all(not later < earlier for earlier, later in itertools.pairwise(ordered))
    keys = [version_order(version).encode() for version in ordered]
    assert keys == sorted(keys)


@given(versions)
def test_text_reads_back_as_the_same_version(version: Version) -> None:
    again = Version.parse(str(version))
    assert (again, again.build, hash(again)) == (version, version.build, hash(version))
    assert pickle.loads(pickle.dumps(version)) == version


@given(versions, versions)
def test_equal_and_ordered_exclude_each_other(a: Version, b: Version) -> None:
    assert [a < b, a == b, a > b].count(True) == 1
    assert (a == b) <= (hash(a) == hash(b))


def test_build_metadata_does_not_count() -> None:
    assert Version.parse("1.0.0+linux") == Version.parse("1.0.0+mac")


def test_a_version_cannot_be_changed() -> None:
    version = Version.parse("1.0.0")
    with pytest.raises(AttributeError):
        version.major = 2
    with pytest.raises(AttributeError):
        del version.key


def test_a_long_text_is_refused_at_once() -> None:
    with pytest.raises(VersionError, match="too long"):
        Version.parse("1.0.0-" + "9" * 4096)
