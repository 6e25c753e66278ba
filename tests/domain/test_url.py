"""URLs are shown without their secrets."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onex.domain.url import without_secrets

SHAPES = [
    "postgresql://user:{}@host.example:5432/base",
    "postgresql://user:{}@/base?host=/run/postgres&sslmode=require",
    "postgresql://host/base?user=me&password={}",
    "postgresql://host/base?password={}&sslmode=require",
    "postgresql://host/base?sslpassword={}&user=me",
    "redis://:{}@cache:6379/0",
    "rediss://user:{}@cache:6379/0?socket_timeout=1",
    "redis://cache:6379/0?password={}",
    "host=db user=me password={}",
]
# Capitals and signs alone, so that no part of a password can be part of what surrounds it.
passwords = st.text("QXZ/@?#:%&=;+ ~$", min_size=1, max_size=12).filter(
    lambda text: sum(letter in "QXZ" for letter in text) >= 2
)


@pytest.mark.parametrize("shape", SHAPES)
@given(password=passwords)
def test_no_letter_of_a_password_is_shown(shape: str, password: str) -> None:
    for written in (password, quote(password, safe="")):
        shown = without_secrets(shape.format(written))
        assert not set(shown) & set("QXZ"), shown


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://user:SECRET/base",
        "postgresql://user:SE?CRET/base",
        "redis://:SECRET/0",
        "redis://SECRET@cache/0",
        "redis://cache/0#SECRET",
        "postgresql://user@host/base?sslmode=require;password=SECRET",
        "postgresql://user@host/base?user=SECRET@host",
    ],
)
def test_a_password_in_an_odd_place_is_not_shown(url: str) -> None:
    shown = without_secrets(url)
    assert "SECRET" not in shown
    assert "CRET" not in shown


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://me@host/base", "postgresql://me@host/base"),
        ("postgresql://me:pw@host:1/base?sslmode=require", "postgresql://me:...@host:1/base?sslmode=require"),
        ("postgresql:///base?host=/run&user=me&password=x", "postgresql:///base?host=/run&user=me"),
        ("redis://:pw@cache/0", "redis://:...@cache/0"),
        ("sqlite:////var/registry.db", "sqlite:////var/registry.db"),
        ("registry.db", "registry.db"),
        ("postgresql://me@[::1]:5432/base", "postgresql://me@[::1]:5432/base"),
        ("postgresql://a:1,b:2/base?options=-csearch_path%3Dx", "postgresql://a:1,b:2/base?options=-csearch_path%3Dx"),
    ],
)  # fmt: skip
def test_what_says_where_a_server_is_stays(url: str, shown: str) -> None:
    assert without_secrets(url) == shown
