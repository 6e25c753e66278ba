"""Values that hold artifacts, as they count for the cache."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from onex.domain.artifact_records import with_records, without_paths
from onex.domain.json_value import canonical_json

DIGEST = "sha256:" + "0" * 64
RECORD = {"$artifact": DIGEST, "name": "a", "size_bytes": 1, "path": "/here/a"}
LITERAL = {"$artifact": DIGEST, "name": "a"}

values = st.recursive(
    st.sampled_from([RECORD, LITERAL, {"$literal": LITERAL}, 1, "a"]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["$artifact", "$literal", "name", "x"]), inner, max_size=2
        )
    ),
    max_leaves=6,
)


@given(values, values)
def test_no_two_values_count_as_one(one: object, other: object) -> None:
    same = canonical_json(one) == canonical_json(other)
    assert (canonical_json(without_paths(one)) == canonical_json(without_paths(other))) == same


@given(values)
def test_where_artifacts_lie_does_not_count(value: object) -> None:
    elsewhere = with_records(value, lambda record: {**record, "path": "/there/a"})
    assert without_paths(elsewhere) == without_paths(value)
