"""Tokens: their text, and that the log alone says which are good."""

from __future__ import annotations

import hashlib

import pytest

from onex.domain.access_control import Role
from onex.domain.errors import UsageError
from onex.domain.remote_errors import NotAuthenticatedError
from onex.domain.token_text import is_token_text, new_token_text
from onex.trust.tokens import find_token
from tests.conftest import Project


def test_the_text_of_a_token_can_be_told_from_a_misprint() -> None:
    text = new_token_text()
    assert text.startswith("onex_")
    assert is_token_text(text)
    assert text != new_token_text()
    other = "a" if text[10] != "a" else "b"
    for wrong in (text[:-1], text[:10] + other + text[11:], text.upper(), f"{text} ", "", "onex_"):
        assert not is_token_text(wrong)


def test_a_token_is_known_by_its_text_alone_which_is_nowhere_stored(project: Project) -> None:
    with project.registry() as registry:
        created = registry.tokens.create("ci", Role.PUBLISHER, ["acme.*"])
        found = find_token(registry.storage.token_events(), created.text)
        assert (found.role, found.namespaces, found.name) == (Role.PUBLISHER, ("acme.*",), "ci")
        misprint = created.text[:-1] + ("0" if created.text[-1] != "0" else "1")
        for wrong in (new_token_text(), misprint, "", "x" * 10_000):
            with pytest.raises(NotAuthenticatedError):
                find_token(registry.storage.token_events(), wrong)
    stored = (project.home / "registry.db").read_bytes() + b"".join(
        path.read_bytes() for path in project.home.glob("registry.db-*")
    )
    assert created.text.encode() not in stored
    assert hashlib.sha256(created.text.encode()).hexdigest().encode() in stored


def test_a_token_is_revoked_once_and_at_once(project: Project) -> None:
    with project.registry() as registry, project.registry() as other:
        created = registry.tokens.create("ci", Role.READER)
        assert find_token(other.storage.token_events(), created.text).id == created.token.id
        registry.tokens.revoke(created.token.id)
        with pytest.raises(NotAuthenticatedError, match="revoked"):
            find_token(other.storage.token_events(), created.text)
        with pytest.raises(UsageError, match="already"):
            registry.tokens.revoke(created.token.id)
        with pytest.raises(UsageError, match="not there"):
            registry.tokens.revoke("tok_none")


def test_a_token_expires(project: Project) -> None:
    with project.registry() as registry:
        created = registry.tokens.create("short", Role.READER, valid_seconds=0.001)
        with pytest.raises(NotAuthenticatedError, match="expired"):
            find_token(registry.storage.token_events(), created.text)


def test_patterns_are_checked_and_tokens_survive_a_rebuild_and_a_copy(project: Project) -> None:
    with project.registry() as registry:
        for wrong in ("a b", "", "*.x", "a..b"):
            with pytest.raises(UsageError):
                registry.tokens.create("ci", Role.READER, [wrong])
        created = registry.tokens.create("ci", Role.READER)
        registry.storage.rebuild()
        assert find_token(registry.storage.token_events(), created.text).id == created.token.id
    assert project.onex_here("storage", "backup", project.root / "copy.db").code == 0
    assert project.onex_here("storage", "check").code == 0
