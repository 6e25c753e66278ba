"""Stamping odd but valid files: they stay what they are, or are left alone with a reason."""

from __future__ import annotations

from pathlib import PurePath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onex.domain.errors import DocumentError, StampError
from onex.manifests.metadata_block import find_block
from onex.manifests.stamp import stamp_text

NOW = "2026-01-01T00:00:00+00:00"
MANIFEST = "name: a\nnamespace: x.a\nversion: '1.0.0'\n"


def stamp(text: str, name: str):
    return stamp_text(text, PurePath(name), "me", NOW)


@pytest.mark.parametrize(
    "text",
    [
        '{"name": "a", "version": "1.0.0"}\n',
        "  name: a\n  version: '1.0.0'\n",
        f"{MANIFEST}...\n",
        f'{MANIFEST}"hash": abc\n',
        f"{MANIFEST}hash:\n- abc\n",
        f"{MANIFEST}hash: |\n  abc\n",
    ],
)
def test_a_manifest_without_room_for_a_hash_is_left_alone(text: str) -> None:
    with pytest.raises(StampError) as caught:
        stamp(text, "a.onex.yaml")
    assert caught.value.code == "STM001"


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_a_manifest_keeps_every_other_byte(newline: str) -> None:
    text = MANIFEST.replace("\n", newline)
    stamped = stamp(text, "a.onex.yaml").text
    assert stamped.startswith(text)
    assert stamped.count("\n") == stamped.count(newline)
    assert stamp(stamped, "a.onex.yaml").is_current


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize(
    ("name", "lead", "body"),
    [
        ("a.py", "#!/usr/bin/python\n# -*- coding: utf-8 -*-\n", "x = 1\n"),
        ("a.py", "", "x = 1\n"),
        ("a.md", "---\ntitle: A\n---\n", "# A\n"),
        ("a.md", "", "---\nnot front matter\n"),
    ],
)
def test_what_must_come_first_comes_first(
    newline: str, mark: str, name: str, lead: str, body: str
) -> None:
    lead, body = lead.replace("\n", newline), body.replace("\n", newline)
    stamped = stamp(mark + lead + body, name)
    assert stamped.text.startswith(mark + lead)
    assert stamped.text.endswith(body)
    assert stamped.text.count("\ufeff") == len(mark)
    assert stamped.text.count("\n") == stamped.text.count(newline)
    assert stamp(stamped.text, name).is_current
    if name.endswith(".py"):
        compile(stamped.text.encode(), name, "exec")


@given(st.text(max_size=200), st.sampled_from(["a.py", "a.md", "a.toml", "a.onex.yaml"]))
def test_a_stamp_is_read_again_or_refused(text: str, name: str) -> None:
    try:
        stamped = stamp(text, name)
    except (StampError, DocumentError):
        return
    assert stamp(stamped.text, name).is_current
    if not name.endswith(".onex.yaml"):
        block = find_block(stamped.text)
        assert block is not None
