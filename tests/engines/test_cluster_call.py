"""What goes to workers and comes back is read as it was written, whatever it holds."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onex.domain.errors import (
    ExecutionError,
    LimitExceededError,
    NodeRaisedError,
    OnexError,
    SecretMissingError,
    StepTimeoutError,
)
from onex.domain.limits import Limits
from onex.domain.result import CallFailure, CallOutcome, IsolationLevel
from onex.engines.cluster_call import ClusterCall, ClusterEnd, ClusterNode, StorePlace

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
TABLES = st.dictionaries(TEXT, VALUES, max_size=3)
TEXTS = st.dictionaries(TEXT, TEXT, max_size=3)
TUPLES = st.lists(TEXT, max_size=3).map(tuple)
NODES = st.builds(
    ClusterNode,
    **dict.fromkeys(("identity", "digest", "archive", "kind", "target", "folder", "callable_name"), TEXT),
    isolation=st.sampled_from(IsolationLevel),
    permissions=TUPLES, hidden=TUPLES, manifest=TEXT, evidence=st.none() | TEXT,
    limits=st.builds(Limits, memory=st.integers(1, 2**50), cpu=st.integers(1, 1000)),
    **dict.fromkeys(("asks_for_files", "is_trusted", "is_idempotent"), st.booleans()),
    variables=TEXTS, libraries=TEXTS,
)  # fmt: skip
CALLS = st.builds(
    ClusterCall,
    **dict.fromkeys(("id", "attempt", "topic", "correlation_id", "onex", "python"), TEXT),
    node=NODES, store=st.builds(StorePlace, TEXT, TEXT), inputs=TABLES, config=TABLES,
    timeout_seconds=st.floats(0, 1e300), secrets=st.none() | TEXTS, traceparent=st.none() | TEXT,
    readable=TUPLES, writable=TUPLES,
)  # fmt: skip


@given(CALLS)
def test_a_call_is_read_as_it_was_written(call: ClusterCall) -> None:
    assert ClusterCall.parse(call.to_text()) == call


@given(VALUES, TEXT, st.floats(0, 1e6))
def test_an_outcome_is_read_as_it_was_written(output: object, log: str, seconds: float) -> None:
    end = ClusterEnd(CallOutcome(output, log, is_stored=True), seconds, "worker")
    assert ClusterEnd.parse(end.to_text()) == end


@pytest.mark.parametrize(
    "error",
    [
        NodeRaisedError("it broke", hint="mend it"),
        StepTimeoutError.after(1.5),
        SecretMissingError("no secret"),
        LimitExceededError.of("memory", 5, 3),
    ],
)
def test_a_failure_keeps_its_kind(error: OnexError) -> None:
    end = ClusterEnd(CallFailure(error, "traceback", "log"), 0.5, "worker", is_made=True)
    read = ClusterEnd.parse(end.to_text()).end
    assert isinstance(read, CallFailure)
    assert type(read.error) is type(error)
    assert (read.error.message, read.error.hint, read.error.details) == (
        error.message,
        error.hint,
        error.details,
    )
    assert (read.detail, read.log) == ("traceback", "log")


def test_an_error_of_a_kind_that_is_not_known_is_one_of_execution() -> None:
    end = ClusterEnd(CallFailure(NodeRaisedError("it broke")), 0.5, "worker")
    text = json.dumps(
        json.loads(end.to_text())
        | {"failure": {**json.loads(end.to_text())["failure"], "code": "ABC999"}}
    )
    read = ClusterEnd.parse(text).end
    assert isinstance(read, CallFailure)
    assert type(read.error) is ExecutionError
