"""References, permissions, lifecycle, events and the catalog of errors."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest

import onex
from onex import NodeId, NodeRef
from onex.domain.audit import audit
from onex.domain.error_catalog import ERROR_CATALOG
from onex.domain.errors import (
    ConstraintError,
    InvalidPermissionError,
    InvalidReferenceError,
    LifecycleError,
)
from onex.domain.event import GENESIS_HASH, Event, LogHead
from onex.domain.lifecycle import ALLOWED_TRANSITIONS, Lifecycle, check_transition
from onex.domain.permission import Permission


@pytest.mark.parametrize(
    ("text", "kind", "name", "constraint"),
    [
        ("tool://a.b@^1.2", "tool", "a.b", "^1.2"),
        ("tool://a.b", "tool", "a.b", "*"),
        ("a.b@1.0.0", None, "a.b", "1.0.0"),
        ("parse", None, "parse", "*"),
        ("model://x@latest", "model", "x", "latest"),
        ("tool://a@>=1 <2 || 3", "tool", "a", ">=1 <2 || 3"),
    ],
)
def test_reads_references(text: str, kind: str | None, name: str, constraint: str) -> None:
    reference = NodeRef.parse(text)
    assert (reference.type, reference.name, str(reference.constraint)) == (kind, name, constraint)


@pytest.mark.parametrize(
    "text",
    ["", "@1", "tool://", "://a", "Tool://a", "tool://../../x", "tool://a/b", "a b", "a..b", ".a", "-rf",
     "tool://a\x1b[2J", "tool://аtlas", "x" * 600],
)  # fmt: skip
def test_refuses_other_references(text: str) -> None:
    with pytest.raises(InvalidReferenceError):
        NodeRef.parse(text)


def test_a_reference_with_a_broken_constraint_is_refused() -> None:
    with pytest.raises(ConstraintError):
        NodeRef.parse("tool://a@nonsense")


def test_node_ids_sort_and_print() -> None:
    assert str(NodeId.parse("tool://a.b")) == "tool://a.b"


@pytest.mark.parametrize(
    ("granted", "wanted", "covers"),
    [
        ("file.read:/data/**", "file.read:/data/a/b", True),
        ("file.read:/data/**", "file.read:/data", True),
        ("file.read:/data/**", "file.read:/database", False),
        ("file.read:/data/**", "file.write:/data/a", False),
        ("file.read:/data/x", "file.read:/data/x", True),
        ("file.read:/data/x", "file.read:/data/**", False),
        ("file.read:/**", "file.read:/etc/passwd", True),
        ("network.connect:*.a.org", "network.connect:x.a.org:443", True),
        ("network.connect:*.a.org", "network.connect:a.org", False),
        ("network.connect:a.org:443", "network.connect:a.org:80", False),
        ("secret.access:TOKEN", "secret.access:TOKEN", True),
        ("secret.access:TOKEN", "secret.access:OTHER", False),
    ],
)
def test_permissions_cover(granted: str, wanted: str, covers: bool) -> None:
    assert Permission.parse(granted).covers(Permission.parse(wanted)) is covers


@pytest.mark.parametrize(
    "text",
    ["file.read:/a/*", "file.read:/a/**/b", "file.read:relative", "file.read:/a/../etc", "file.read:",
     "disk.format:/x", "network.connect:*", "network.connect:a.*.org", "network.connect:a:99999",
     "secret.access:*", "plain"],
)  # fmt: skip
def test_permissions_that_cannot_be_enforced_are_refused(text: str) -> None:
    with pytest.raises(InvalidPermissionError):
        Permission.parse(text)


def test_lifecycle_allows_exactly_the_documented_transitions() -> None:
    for before, after in itertools.product(Lifecycle, Lifecycle):
        is_allowed = after in ALLOWED_TRANSITIONS[before]
        if is_allowed:
            check_transition(before, after, deprecated_by="tool://b", archived_reason="old")
        else:
            with pytest.raises(LifecycleError):
                check_transition(before, after, deprecated_by="tool://b", archived_reason="old")


@pytest.mark.parametrize(
    ("before", "after", "code"),
    [
        (Lifecycle.DRAFT, Lifecycle.DRAFT, "LC001"),
        (Lifecycle.ARCHIVED, Lifecycle.ACTIVE, "LC002"),
        (Lifecycle.DRAFT, Lifecycle.DEPRECATED, "LC003"),
        (Lifecycle.ACTIVE, Lifecycle.DEPRECATED, "LC004"),
        (Lifecycle.ACTIVE, Lifecycle.ARCHIVED, "LC005"),
    ],
)
def test_each_lifecycle_rule_has_its_code(before: Lifecycle, after: Lifecycle, code: str) -> None:
    with pytest.raises(LifecycleError) as caught:
        check_transition(before, after)
    assert caught.value.code == code


def chain(length: int) -> list[Event]:
    events: list[Event] = []
    for serial in range(1, length + 1):
        previous = events[-1].hash if events else GENESIS_HASH
        events.append(
            Event(serial, "t", "me", "a", "o", "allowed", {"n": serial}, previous).sealed()
        )
    return events


def test_a_chain_of_events_shows_any_change() -> None:
    events = chain(5)
    head = LogHead(events[-1].serial, events[-1].hash)
    assert audit(events).reason is None
    assert audit(events, head).reason is None
    edited = [*events[:2], events[2]._replace(actor="you"), *events[3:]]
    assert audit(edited).reason == "entry 3 was changed after it was written"
    resealed = [*events[:2], events[2]._replace(actor="you").sealed(), *events[3:]]
    assert audit(resealed).reason == "entry 4 does not follow from the one before it"
    assert audit([*events[:2], *events[3:]]).reason == "entry 3 is not there; entry 4 follows"
    swapped = [events[0], events[2], events[1], *events[3:]]
    assert audit(swapped).reason == "entry 2 is not there; entry 3 follows"
    assert audit(events[1:]).reason == "entry 1 is not there; entry 2 follows"
    assert audit(events[:-1]).reason is None
    told = audit(events[:-1], head).reason
    assert (
        told
        == f"the log ends at entry {head.serial - 1}, and entry {head.serial} was exported before"
    )
    other = LogHead(2, "f" * 64)
    assert audit(events, other).reason == "entry 2 is another one than that which was exported"
    assert audit([events[0]._replace(body="{}").sealed(), *events[1:]]).reason is not None


def test_every_code_in_the_source_is_explained_and_no_other() -> None:
    source = "\n".join(
        path.read_text(encoding="utf-8")
        for path in Path(onex.__file__).parent.rglob("*.py")
        if path.name != "error_catalog.py"
    )
    used = set(re.findall(r'"([A-Z]{2,4}\d{3})"', source))
    for prefix, file in (("MAN", "manifest.py"), ("WFL", "workflow_file.py")):
        more = ("entrypoint.py", "contract.py") if prefix == "MAN" else ()
        for name in (file, "field_reader.py", *more):
            text = (Path(onex.__file__).parent / "manifests" / name).read_text(encoding="utf-8")
            used |= {prefix + number for number in re.findall(r'report\(\s*"(\d{3})"', text)}
    assert used == set(ERROR_CATALOG)
