"""Names of tools, and texts of publishers: properties over odd ones."""

from __future__ import annotations

import fnmatch
import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onex.agents.publisher_text import clean_schema, clean_text, has_hidden
from onex.agents.session import Sessions
from onex.agents.tool import ToolFacts
from onex.agents.tool_name import name_of_node, name_of_workflow_file, namespace_glob
from onex.configuration.agent_settings import SessionBudget
from onex.domain.expose_pattern import (
    NamespacePattern,
    TagPattern,
    WorkflowPattern,
    parse_expose_pattern,
)
from onex.domain.permission import Permission
from onex.domain.reference import NAMESPACE, NODE_TYPE, NodeId

ACCEPTED = re.compile(r"[A-Za-z0-9_-]{1,48}")
NODES = st.builds(
    NodeId,
    st.one_of(st.just("tool"), st.from_regex(NODE_TYPE, fullmatch=True)),
    st.one_of(
        st.from_regex(r"[a-z0-9_.-]{1,6}", fullmatch=True),
        st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,9}(\.[A-Za-z0-9_]{1,60}){0,3}", fullmatch=True),
    ).filter(NAMESPACE.fullmatch),
)


@given(NODES)
def test_names_are_accepted_by_clients_and_lead_back(node: NodeId) -> None:
    name = name_of_node(node)
    assert ACCEPTED.fullmatch(name)
    assert fnmatch.fnmatchcase(node.namespace, namespace_glob(name))


@given(st.sets(NODES, min_size=2, max_size=20))
def test_no_two_nodes_have_one_name(nodes: set[NodeId]) -> None:
    assert len({name_of_node(node) for node in nodes}) == len(nodes)


def test_names_that_look_alike_are_not_the_same() -> None:
    namespaces = ["a.b_c", "a.b.c", "a_b.c", "a_b_c", "a-b.c", "A.b.c", "a.B.c", "find.tools"]
    namespaces += ["a._b", "a_.b", "a__b", "_a.b", "a.b_", "a_._b"]
    nodes = [NodeId(kind, name) for name in namespaces for kind in ("tool", "validator", "model")]
    names = [name_of_node(node) for node in nodes]
    assert len({name.lower() for name in names}) == len(nodes)
    assert "find_tools" not in names
    assert name_of_node(NodeId("tool", "a.b.c")) == "a_b_c"
    assert name_of_node(NodeId("tool", "a.b_c")) == "a_b__c"
    assert namespace_glob("a_b__c") == "a.b_c"


@given(
    st.sets(st.from_regex(r"[A-Za-z0-9 _./-]{1,80}\.ya?ml", fullmatch=True), min_size=2, max_size=9)
)
def test_workflow_files_have_names_of_their_own(paths: set[str]) -> None:
    names = [name_of_workflow_file(path) for path in paths]
    assert all(ACCEPTED.fullmatch(name) for name in names)
    assert len(set(names)) == len(paths)


def test_plain_workflow_files_have_plain_names() -> None:
    assert name_of_workflow_file("atlas.workflow.yaml") == "workflow-atlas"
    assert name_of_workflow_file("flows/atlas.workflow.yaml").startswith("workflow-atlas-")
    assert name_of_workflow_file("atlas.yaml").startswith("workflow-atlas-")


@given(st.text(max_size=300), st.integers(10, 100))
def test_cleaned_texts_hold_nothing_hidden_and_have_a_length(text: str, limit: int) -> None:
    found = clean_text(text, limit)
    assert len(found) <= limit
    assert "\n" not in found
    assert not has_hidden(found)
    assert clean_text(found, limit) == found


@pytest.mark.parametrize(
    "hidden",
    ["\u200b", "\u202e", "\u2066", "\U000e0041", "\x1b", "\x00", "\ufe0f", "\U000e0100", "\u3164", "\u00ad"],
)  # fmt: skip
def test_what_is_not_seen_is_taken_out(hidden: str) -> None:
    assert clean_text(f"a{hidden}b", 20) == "ab"
    with pytest.raises(ValueError, match="not seen"):
        clean_schema({"properties": {f"a{hidden}": {"type": "string"}}})
    with pytest.raises(ValueError, match="not seen"):
        clean_schema({"properties": {"a": {"enum": [f"x{hidden}"]}}})
    found = clean_schema({"properties": {"a": {"description": f"a{hidden}b", "$comment": hidden}}})
    assert found == {"properties": {"a": {"description": "ab"}}}


def test_what_people_write_stays() -> None:
    text = "Zähle die Wörter: 日本語, emoji 🎉, a – dash"
    assert clean_text(text, 200) == text
    assert unicodedata.normalize("NFC", text) == text


@pytest.mark.parametrize(
    ("permissions", "writes", "hints"),
    [
        ((), False, (True, False, False)),
        (("file.read:/a",), False, (True, False, False)),
        (("file.write:/a",), False, (False, True, False)),
        (("process.execute:git",), False, (False, True, False)),
        (("network.connect:a.example",), False, (False, True, True)),
        (("registry.write:x",), False, (False, True, False)),
        ((), True, (False, True, False)),
    ],
)
def test_hints_follow_from_permissions(
    permissions: tuple[str, ...], writes: bool, hints: tuple[bool, bool, bool]
) -> None:
    found = ToolFacts(tuple(map(Permission.parse, permissions)), writes, False).annotations()
    assert (
        found["readOnlyHint"], found["destructiveHint"], found["openWorldHint"]
    ) == hints  # fmt: skip


def test_patterns_of_what_is_offered() -> None:
    assert parse_expose_pattern("tag:agent") == TagPattern("agent")
    assert parse_expose_pattern("tool://my.*") == NamespacePattern("tool", "my.*")
    assert parse_expose_pattern("*.workflow.yaml") == WorkflowPattern("*.workflow.yaml")


@pytest.mark.parametrize(
    "text",
    ["", "tag:", "agent", "tool://", "tool://a*", "Tool://a", "/etc/a.yaml", "../a.yaml", "a/../b.yaml", "x://*.yaml"],
)  # fmt: skip
def test_patterns_that_mean_nothing_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="means no nodes"):
        parse_expose_pattern(text)


def test_sessions_of_one_principal_take_no_room_of_others() -> None:
    now = [0.0]
    sessions = Sessions(SessionBudget(), of_principal=3, idle_seconds=10, clock=lambda: now[0])
    mine = sessions.of("me", "")
    for number in range(50):
        sessions.of("greedy", str(number))
    assert sessions.of("me", "") is mine
    now[0] = 11
    sessions.of("other", "")
    assert sessions.of("me", "") is not mine
