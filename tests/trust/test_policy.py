"""What [policy] of onex.toml lets be registered, resolved and run, and how it says so."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onex.domain.evidence import TrustLevel
from onex.domain.look_alikes import NameRules, is_slip, looks_like
from onex.domain.trust_rules import TrustRule, TrustRules, Use
from onex.domain.trust_table import read_span, read_trust_rules
from onex.storage.node_record import neighbours_of
from tests.trust.conftest import Origin, Reader


@pytest.fixture
def published(origin: Origin) -> Origin:
    origin.publish("plain")
    origin.publish("plain", version="1.1.0", license="AGPL-3.0-only")
    origin.publish("signed", key="mallory")
    origin.claim("acme", "alice")
    origin.publish("owned", key="alice", namespace="acme.owned")
    origin.publish("asking", capabilities=["process.execute:git"])
    origin.export()
    return origin


def explanation(reader: Reader, *nodes: str) -> str:
    done = reader.resolve(*nodes)
    assert done.code == 3, done.stdout
    return str(done.json["error"]["explanation"])


def test_a_version_that_is_forbidden_is_not_there_and_the_policy_is_named(
    published: Origin, reader: Reader
) -> None:
    reader.declare('[policy.trust."*"]\nresolve = "signed"\n[policy.trust."test.plain"]\nresolve = "unverified"\n')  # fmt: skip
    assert reader.resolve("plain", "signed", "owned").code == 0
    told = explanation(reader, "asking")
    assert "is unverified, and the policy for * lets resolve signed alone" in told
    reader.declare('[policy]\nforbidden_licenses = ["agpl-*"]\nforbidden_permissions = ["process.execute"]\n')  # fmt: skip
    # The best version is left out, and the next one is taken.
    assert reader.resolve("plain").json["selected"] == {"tool://test.plain": "1.0.0"}
    assert "has the licence AGPL-3.0-only" in explanation(reader, "plain@1.1.0")
    assert "asks for process.execute:git, which the policy forbids" in explanation(reader, "asking")
    reader.declare()
    assert reader.resolve("plain").json["selected"] == {"tool://test.plain": "1.1.0"}


@pytest.mark.parametrize(
    ("policy", "fields"),
    [
        ('forbidden_licenses = ["AGPL-*"]', {"license": "MIT OR AGPL-3.0-only"}),
        ('forbidden_licenses = ["agpl-*"]', {"license": "(AGPL-3.0-only)"}),
        (
            'forbidden_permissions = ["network.connect:evil.example"]',
            {"capabilities": ["network.connect:*.example"]},
        ),
        ('forbidden_permissions = ["process.*"]', {"capabilities": ["process.execute:git"]}),
    ],
)
def test_what_is_forbidden_is_found_in_more_that_is_asked_for(
    origin: Origin, reader: Reader, policy: str, fields: dict[str, object]
) -> None:
    origin.publish("asking", **fields)
    origin.export()
    reader.declare(f"[policy]\n{policy}\n")
    assert "which the policy forbids" in explanation(reader, "asking")


def test_a_fresh_version_waits_until_it_is_old_enough(published: Origin, reader: Reader) -> None:
    reader.declare('[policy]\nminimum_age = "3d"\nminimum_age_except = ["acme.*"]\n')
    told = explanation(reader, "plain")
    assert "seconds ago, and the policy wants a minimum age of 3 days" in told
    assert reader.resolve("owned").code == 0


def test_a_lock_is_no_way_around_the_policy(published: Origin, reader: Reader) -> None:
    """It may have been written by somebody who has another policy, or none."""
    workflow = reader.project.workflow({"a": {"node": "plain"}})
    assert reader.project.onex_here("lock", workflow).code == 0
    reader.declare('[policy]\nminimum_age = "3d"\n')
    for command in (["lock", workflow, "--check"], ["run", workflow]):
        done = reader.project.onex_here(*command)
        assert done.code == 3
        assert "the policy wants a minimum age of 3 days" in done.stdout + done.stderr


def test_what_may_be_resolved_may_still_not_be_run(published: Origin, reader: Reader) -> None:
    reader.declare('[policy.trust."*"]\nrun = "verified"\n')
    assert reader.resolve("signed").code == 0
    done = reader.project.onex_here("run", "signed")
    assert done.code == 5
    assert "TRU005" in done.stderr
    assert "is signed, and the policy for * lets run verified alone" in done.stderr
    assert reader.project.onex_here("run", "owned").code == 0


def test_what_may_not_be_registered_is_not(published: Origin, reader: Reader) -> None:
    reader.declare('[policy.trust."*"]\nregister = "verified"\n')
    assert reader.resolve("owned").code == 0
    assert reader.resolve("signed").code != 0
    names = [n["name"] for n in reader.project.onex_here("list", "--json").json["nodes"]]
    assert names == ["owned"]


def test_isolation_that_is_too_weak_for_a_level(published: Origin, reader: Reader) -> None:
    reader.declare('[policy.trust."*"]\nisolation = {signed = "strict"}\n')
    done = reader.project.onex_here("run", "signed", "--allow-unsandboxed", "signed")
    assert done.code == 5
    assert "lets signed nodes run with strict at least" in done.stderr
    assert reader.project.onex_here("run", "owned", "--allow-unsandboxed", "owned").code == 0
    # What is asked of a level is asked of those below it.
    assert reader.project.onex_here("run", "plain", "--allow-unsandboxed", "plain").code == 5


def test_a_lock_or_the_whole_registry_is_judged(
    published: Origin, reader: Reader, tmp_path: Path
) -> None:
    workflow = reader.project.workflow({"a": {"node": "signed"}, "b": {"node": "owned"}})
    assert reader.project.onex_here("lock", workflow).code == 0
    reader.resolve("asking")
    reader.declare('[policy.trust."*"]\nrun = "verified"\n')
    done = reader.project.onex_here("policy", "check", reader.project.root / "onex.lock", "--json")
    assert done.code == 5
    assert [one["node"] for one in done.json["refused"]] == ["tool://test.signed@1.0.0"]
    done = reader.project.onex_here("policy", "check", "--json")
    assert {one["node"] for one in done.json["refused"]} == {
        "tool://test.signed@1.0.0", "tool://test.asking@1.0.0",
    }  # fmt: skip
    reader.declare()
    assert reader.project.onex_here("policy", "check").code == 0


def test_nodes_of_folders_here_are_not_kept_from_their_author(reader: Reader) -> None:
    reader.project.add("own")
    reader.project.write(
        "onex.toml", '[[sources]]\npath = "nodes"\n[policy.trust."*"]\nrun = "verified"\n'
    )
    assert reader.project.onex_here("run", "own").code == 0
    reader.project.write(
        "onex.toml",
        '[[sources]]\npath = "nodes"\ntrusted = false\n[policy.trust."*"]\nrun = "verified"\n',
    )
    assert reader.project.onex_here("run", "own").code == 5


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ('[policy]\nminimum_age = 3\n', "a time must be a number with s, m, h, d or w"),
        ('[policy]\nminimum_age = "3 weeks"\n', "a time must be"),
        ('[policy.trust."*"]\nrun = "local"\n', "is none of unverified, signed, verified"),
        ('[policy.trust."*"]\nuse = "signed"\n', "has no key 'use'"),
        ('[policy.trust."a b"]\nrun = "signed"\n', "is no pattern of namespaces"),
        ('[policy.trust."*"]\nisolation = {signed = "none"}\n', "none of strict, process, inline"),
        ('[policy]\nforbidden_licenses = "GPL"\n', "must be a list of texts"),
        ('[policy]\nforbidden_permissions = ["network"]\n', "forbids no kind of permission"),
        ('[policy]\ntrust = 1\n', "trust must be a table"),
        ('[server]\nreserved = []\n', "[server] has no key 'reserved'"),
    ],
)  # fmt: skip
def test_a_policy_that_is_none_is_refused(reader: Reader, table: str, words: str) -> None:
    reader.declare(table)
    done = reader.project.onex_here("resolve", "x")
    assert done.code == 2
    assert words in done.stderr


def test_the_most_specific_rule_decides() -> None:
    rules = read_trust_rules(
        {"trust": {"*": {"run": "verified"}, "acme": {"run": "signed"}, "acme.dev.*": {"run": "unverified"}}}
    )  # fmt: skip
    assert rules.level_refusal("other", Use.RUN, TrustLevel.SIGNED) is not None
    assert rules.level_refusal("acme.x", Use.RUN, TrustLevel.SIGNED) is None
    assert rules.level_refusal("acme.x", Use.RUN, TrustLevel.UNVERIFIED) is not None
    assert rules.level_refusal("acme.dev.x", Use.RUN, TrustLevel.UNVERIFIED) is None
    assert rules.level_refusal("acme.developer", Use.RUN, TrustLevel.UNVERIFIED) is not None
    assert rules.level_refusal("other", Use.RESOLVE, TrustLevel.UNVERIFIED) is None


@given(st.sampled_from(list(TrustLevel)), st.sampled_from(list(TrustLevel)))
def test_levels_are_in_their_order(one: TrustLevel, other: TrustLevel) -> None:
    rules = TrustRules((TrustRule("*", {Use.RUN: other}),))
    allowed = rules.level_refusal("x", Use.RUN, one) is None
    assert allowed == (list(TrustLevel).index(one) >= list(TrustLevel).index(other))


def test_the_time_counts_only_if_ages_do() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert TrustRules().clock(now) == ""
    aging = TrustRules(minimum_age_seconds=read_span("2h"))
    assert aging.clock(now) != aging.clock(now + timedelta(minutes=11))


LOOK_ALIKES = [
    ("acrne", "acme"), ("acme-tools", "acmetools"), ("ACME", "acme"), ("g00gle", "google"),
    ("googel", "google"), ("gogle", "google"), ("googlee", "google"), ("goog1e", "google"),
    ("acme_tools", "acme-tools"), ("pay-pal.x", "paypal"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "known"), LOOK_ALIKES)
def test_names_that_look_like_others(name: str, known: str) -> None:
    assert looks_like(name, [known]) == known


@pytest.mark.parametrize(
    ("name", "known"),
    [("acme.x", "acme"), ("test", "text"), ("atlas", "greeter"), ("core", "care"), ("a", "b")],
)
def test_names_that_do_not(name: str, known: str) -> None:
    assert looks_like(name, [known]) is None


@given(st.text("abc-", min_size=5, max_size=8), st.text("abc-", min_size=5, max_size=8))
def test_slips_are_the_neighbours_of_a_word(one: str, other: str) -> None:
    assert is_slip(one, other) == (one != other and other in neighbours_of(one))


def test_a_look_alike_is_refused_when_published_and_told_of_when_resolved(
    origin: Origin, reader: Reader
) -> None:
    origin.publish("x", namespace="google.x")
    manifest = origin.project.add("y", namespace="goog1e.y")
    done = origin.project.onex_here("publish", manifest.parent, "--here")
    assert done.code == 4
    assert "goog1e.y looks like google, which others have" in done.stderr
    done = origin.project.onex_here("trust", "claim", "gogle", "--here", "--key", origin.key("m"))
    assert "gogle looks like google" in done.stderr
    origin.project.write("onex.toml", '[server]\nallowed_look_alikes = ["goog1e"]\nreserved_namespaces = ["onex.*"]\n')  # fmt: skip
    assert origin.project.onex_here("publish", manifest.parent, "--here").code == 0
    reserved = origin.project.add("z", namespace="onex.z")
    done = origin.project.onex_here("publish", reserved.parent, "--here")
    assert "onex.z is reserved (onex.*)" in done.stderr
    origin.export()
    reader.project.add("own", namespace="google.own")
    reader.project.scan()
    warnings = reader.resolve("tool://goog1e.y").json["warnings"]
    assert any("looks like google, which is known here" in warning for warning in warnings)
    assert not any("looks like" in w for w in reader.resolve("tool://google.x").json["warnings"])


def test_reserved_names_are_kept_from_everybody() -> None:
    rules = NameRules(("onex",), ("exact",))
    assert rules.refusal("onex.core", []) == "is reserved (onex)"
    assert rules.refusal("exacts", ["exact"]) is not None
    assert rules.refusal("exact.x", ["exacts"]) is None
