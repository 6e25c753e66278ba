"""What a patch or minor release may not do to those who call the node."""

from __future__ import annotations

from dataclasses import replace

import jsonschema_rs
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from onex.domain.lifecycle import Lifecycle
from onex.domain.metadata import Entrypoint, NodeMetadata
from onex.domain.permission import Permission
from onex.domain.reference import NodeId
from onex.domain.version import Version
from onex.schemas.object_schema import object_schema
from onex.schemas.release_check import added_permissions, breaking_changes, is_compatible_step

BASE = NodeMetadata(
    NodeId("tool", "test.node"),
    "node",
    Version(1, 0, 0),
    Lifecycle.ACTIVE,
    Entrypoint("python", "node.py"),
)


def inputs(before: object, after: object) -> list[str]:
    return breaking_changes(
        replace(BASE, inputs={"x": before}),
        replace(BASE, inputs={"x": after}),  # type: ignore[dict-item]
    )


def outputs(before: object, after: object) -> list[str]:
    return breaking_changes(
        replace(BASE, outputs={"x": before}),
        replace(BASE, outputs={"x": after}),  # type: ignore[dict-item]
    )


# Pairs of which the first is narrower than the second.
WIDER = [
    ({"type": "integer"}, {"type": "number"}),
    ({"type": "string"}, {"type": ["string", "null"]}),
    ({"type": "string"}, {}),
    ({"enum": ["a"]}, {"enum": ["a", "b"]}),
    ({"const": 1}, {"enum": [1, 2]}),
    ({"enum": ["a"]}, {"type": "string", "enum": ["a", "b"]}),
    ({"type": "integer", "minimum": 5}, {"type": "integer", "minimum": 3}),
    ({"type": "integer", "minimum": 5}, {"type": "integer"}),
    ({"type": "string", "maxLength": 3}, {"type": "string", "maxLength": 30}),
    ({"type": "array", "items": {"type": "integer"}}, {"type": "array", "items": {"type": "number"}}),
    ({"type": "array", "items": {"type": "integer"}}, {"type": "array"}),
    ({"type": "object", "required": ["a"]}, {"type": "object"}),
    ({"type": "object", "properties": {"a": {"type": "integer"}}},
     {"type": "object", "properties": {"a": {"type": "number"}}}),
    ({"type": "object", "properties": {"a": {}}, "additionalProperties": False},
     {"type": "object", "properties": {"a": {}}}),
    ({"type": "object", "properties": {"a": {}}, "additionalProperties": False},
     {"type": "object", "properties": {"a": {}, "b": {}}, "additionalProperties": False}),
    ({"type": "string", "pattern": "^a"}, {"type": "string"}),
    ({"const": True}, {"enum": [True, 1]}),
    ({"type": "array", "items": False}, {"type": "array"}),
    ({"type": "object", "properties": {"x": False}}, {"type": "object"}),
]  # fmt: skip


@pytest.mark.parametrize(("narrow", "wide"), WIDER, ids=repr)
def test_inputs_may_widen_and_results_may_narrow(narrow: object, wide: object) -> None:
    assert inputs(narrow, wide) == []
    assert inputs(wide, narrow)
    assert outputs(wide, narrow) == []
    assert outputs(narrow, wide)


def test_members_come_and_go() -> None:
    one = {"x": {"type": "string"}}
    two = one | {"y": {"type": "string"}}
    optional = one | {"y": {"type": "string", "default": "d"}}
    assert "the input y is new and must be given" in breaking_changes(
        replace(BASE, inputs=one), replace(BASE, inputs=two)
    )
    assert breaking_changes(replace(BASE, inputs=one), replace(BASE, inputs=optional)) == []
    assert "the input y is gone" in breaking_changes(
        replace(BASE, inputs=two), replace(BASE, inputs=one)
    )
    assert "the input y must be given now" in breaking_changes(
        replace(BASE, inputs=optional), replace(BASE, inputs=two)
    )
    assert "the output y is gone" in breaking_changes(
        replace(BASE, outputs=two), replace(BASE, outputs=one)
    )
    assert breaking_changes(replace(BASE, outputs=one), replace(BASE, outputs=two)) == []
    assert breaking_changes(replace(BASE, inputs=one), BASE) == []
    assert breaking_changes(BASE, replace(BASE, inputs=one))
    assert breaking_changes(replace(BASE, outputs=one), BASE)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"enum": [0, 1]}, {"enum": [False, True]}),
        ({"const": 1}, {"const": True}),
        ({"type": "object", "patternProperties": {"^a": {}}, "additionalProperties": False},
         {"type": "object", "additionalProperties": False}),
        ({"type": "array", "prefixItems": [{"type": "integer"}], "items": {"type": "string"}},
         {"type": "array", "items": {"type": "string"}}),
        ({"type": "array", "contains": {"const": 1}, "minContains": 0}, {"type": "array", "contains": {"const": 1}}),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"type": "integer"}}},
         {"$ref": "#/$defs/a", "$defs": {"a": {"type": "string"}}}),
        ({"type": "object", "properties": {"a": {"type": "integer"}}, "additionalProperties": {"type": "string"}},
         {"type": "object", "additionalProperties": {"type": "string"}}),
        ({"type": "object", "properties": {"a": {"type": "integer"}}, "additionalProperties": False},
         {"type": "object", "additionalProperties": {"type": "string"}}),
        ({"type": "object", "properties": {"a": {}}, "unevaluatedProperties": False},
         {"type": "object", "unevaluatedProperties": False}),
        ({"type": "object", "patternProperties": {"^a": {}}, "additionalProperties": False},
         {"type": "object", "patternProperties": {"^a": {}}, "properties": {"ab": {"type": "string"}},
          "additionalProperties": False}),
        ({"enum": ["s"], "$defs": {"i": {"type": "integer"}}}, {"$ref": "#/$defs/i", "$defs": {"i": {"type": "integer"}}}),
    ],
)  # fmt: skip
def test_what_looks_alike_breaks(before: object, after: object) -> None:
    assert inputs(before, after)


def test_a_member_that_no_value_had_may_be_declared() -> None:
    closed = {"type": "object", "properties": {"a": {}}, "additionalProperties": False}
    assert inputs(closed, closed | {"properties": {"a": {}, "b": {"type": "string"}}}) == []
    assert inputs({"type": "string", "x-note": 1}, {"type": "string", "x-note": 2}) == []
    assert inputs({"type": "string", "$defs": {"a": {}}}, {"type": "string"}) == []


def test_notes_do_not_break() -> None:
    assert inputs({"type": "string", "description": "a"}, {"type": "string", "title": "b"}) == []


def test_permissions() -> None:
    before = replace(BASE, permissions=(Permission.parse("file.read:/data/**"),))
    more = replace(
        BASE,
        permissions=(Permission.parse("file.read:/data/x"), Permission.parse("file.read:/etc/x")),
    )
    assert added_permissions(before, more) == ["file.read:/etc/x"]
    assert added_permissions(more, before) == ["file.read:/data/**"]
    assert added_permissions(before, BASE) == []


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("1.0.0", "1.0.1", True), ("1.0.0", "1.5.0", True), ("1.0.0", "2.0.0", False),
        ("0.1.0", "0.1.1", True), ("0.1.0", "0.2.0", False), ("0.0.1", "0.0.2", False),
        ("1.2.0", "1.1.9", False), ("1.0.0", "1.1.0-rc.1", False), ("0.0.0", "0.0.1", False),
    ],
)  # fmt: skip
def test_which_steps_must_be_compatible(before: str, after: str, expected: bool) -> None:
    assert is_compatible_step(Version.parse(before), Version.parse(after)) is expected


TYPES = st.sampled_from(["string", "integer", "number", "boolean", "null"])
SIMPLE = st.one_of(
    st.builds(lambda t: {"type": t}, TYPES),
    st.builds(lambda ts: {"type": sorted(ts)}, st.sets(TYPES, min_size=1, max_size=3)),
    st.builds(lambda e: {"enum": e}, st.lists(st.sampled_from([1, 2, "a", None]), min_size=1, max_size=3, unique_by=repr)),
    st.builds(lambda n: {"type": "integer", "minimum": n}, st.integers(-3, 3)),
    st.builds(lambda n: {"type": "string", "maxLength": n}, st.integers(0, 3)),
    st.just({}),
)  # fmt: skip
SCHEMAS = st.recursive(
    SIMPLE,
    lambda inner: st.one_of(
        st.builds(lambda i: {"type": "array", "items": i}, inner),
        st.builds(
            lambda p, r, a: {"type": "object", "properties": p, "required": sorted(r & set(p)),
                             **({"additionalProperties": False} if a else {})},
            st.dictionaries(st.sampled_from("ab"), inner, max_size=2), st.sets(st.sampled_from("ab")), st.booleans(),
        ),
    ),
    max_leaves=4,
)  # fmt: skip
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-4, 4), st.sampled_from([1.5, "", "a", "abcd"])),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(st.sampled_from("abc"), inner, max_size=2)),
    max_leaves=4,
)  # fmt: skip


@pytest.mark.slow
@settings(suppress_health_check=[HealthCheck.filter_too_much])
@given(SCHEMAS, SCHEMAS, st.lists(VALUES, min_size=5, max_size=20))
def test_nothing_that_was_valid_is_refused_after_a_release_that_is_called_compatible(
    before: dict[str, object], after: dict[str, object], values: list[object]
) -> None:
    assume(not inputs(before, after))
    old, new = (
        jsonschema_rs.validator_for(object_schema({"x": schema}))  # type: ignore[dict-item]
        for schema in (before, after)
    )
    for value in values:
        if old.is_valid({"x": value}):
            assert new.is_valid({"x": value}), value
