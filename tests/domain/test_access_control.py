"""Access control: every combination of token, action and namespace, decided as the table says."""

from __future__ import annotations

import itertools

import pytest

from onex.domain.access_control import (
    NEEDED_ROLE,
    Action,
    NamespaceRules,
    Role,
    Token,
    covers,
)

RULES = NamespaceRules(("acme.secret", "hidden.*"))
NAMESPACES = (
    None,
    "acme",
    "acme.tool",
    "acme.secret",
    "acme.secret.inner",
    "acme.secrets",
    "hidden",
    "other",
)
PRIVATE = {"acme.secret", "acme.secret.inner", "hidden"}
PATTERNS: dict[tuple[str, ...], set[str | None]] = {
    ("*",): set(NAMESPACES),
    ("acme",): {"acme", "acme.tool", "acme.secret", "acme.secret.inner", "acme.secrets"},
    ("acme.*",): {"acme", "acme.tool", "acme.secret", "acme.secret.inner", "acme.secrets"},
    ("acme.secret",): {"acme.secret", "acme.secret.inner"},
    ("other", "hidden"): {"other", "hidden"},
}


def token(role: Role, namespaces: tuple[str, ...]) -> Token:
    return Token("tok_1", "a test", role, namespaces, "2026-01-01T00:00:00+00:00")


@pytest.mark.parametrize("action", Action)
def test_every_combination(action: Action) -> None:
    cases = itertools.product([None, *Role], PATTERNS, NAMESPACES)
    for role, patterns, namespace in cases:
        held = None if role is None else token(role, patterns)
        decision = RULES.decide(held, action, namespace)
        is_public_read = action is Action.READ and namespace not in PRIVATE
        is_entitled = (
            role is not None and role >= NEEDED_ROLE[action] and namespace in PATTERNS[patterns]
        )
        assert decision.allowed == (is_public_read or is_entitled), (role, patterns, namespace)
        assert decision.is_hidden == (
            not decision.allowed and action is Action.READ and namespace in PRIVATE
        )
        assert bool(decision.reason) != decision.allowed


def test_each_action_needs_the_role_that_the_documents_name() -> None:
    assert NEEDED_ROLE == {
        Action.READ: Role.READER, Action.PUBLISH: Role.PUBLISHER,
        Action.RUN: Role.PUBLISHER, Action.DECIDE: Role.MAINTAINER, Action.ADMINISTER: Role.ADMIN,
    }  # fmt: skip
    assert Role.READER < Role.PUBLISHER < Role.MAINTAINER < Role.ADMIN


@pytest.mark.parametrize(
    "patterns", [None, *PATTERNS, ("acme.secret.inner",), ("hidden.*", "acme.secret")]
)
@pytest.mark.parametrize("rules", [RULES, NamespaceRules(("*",)), NamespaceRules()])
def test_listings_leave_out_what_a_reader_may_not_read(
    rules: NamespaceRules, patterns: tuple[str, ...] | None
) -> None:
    held = None if patterns is None else token(Role.READER, patterns)
    hidden = rules.hidden_from(held)
    for namespace in NAMESPACES[1:]:
        decision = rules.decide(held, Action.READ, namespace)
        assert hidden.hides(str(namespace)) is not decision.allowed, namespace
    assert bool(hidden) is any(
        not rules.decide(held, Action.READ, n).allowed for n in ("acme.secret", "hidden", "x")
    )


@pytest.mark.parametrize(
    ("pattern", "namespace", "expected"),
    [("a", "a", True), ("a", "a.b", True), ("a", "ab", False), ("a.*", "a", True),
     ("a.b", "a", False), ("*", "x.y", True), ("a.*", "a.b.c", True)],
)  # fmt: skip
def test_patterns(pattern: str, namespace: str, expected: bool) -> None:
    assert covers(pattern, namespace) is expected


def test_a_token_ends_when_it_expires_or_is_revoked() -> None:
    whole = token(Role.READER, ("*",))
    assert whole.refusal("2030-01-01T00:00:00+00:00") is None
    expiring = Token("tok_1", "", Role.READER, ("*",), "", expires_at="2026-06-01T00:00:00+00:00")
    assert expiring.refusal("2026-05-31T23:59:59+00:00") is None
    assert "expired" in str(expiring.refusal("2026-06-01T00:00:00+00:00"))
    revoked = Token("tok_1", "", Role.READER, ("*",), "", revoked_at="2026-01-01T00:00:00+00:00")
    assert "revoked" in str(revoked.refusal("2026-01-01T00:00:00+00:00"))
