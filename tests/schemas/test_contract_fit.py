"""Whose outputs meet whose inputs, and the workflows that follow."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onex.domain.lifecycle import Lifecycle
from onex.domain.metadata import Entrypoint, NodeMetadata
from onex.domain.reference import NodeId
from onex.domain.version import Version
from onex.manifests.workflow_file import read_workflow
from onex.manifests.yaml_document import parse_yaml
from onex.schemas.contract_fit import propose_workflow, rank_fits
from onex.schemas.step_types import check_step_types
from onex.schemas.workflow_text import workflow_text


def node(name: str, inputs: Any = None, outputs: Any = None) -> NodeMetadata:
    return NodeMetadata(
        NodeId("tool", f"test.{name}"), name, Version(1, 2, 3), Lifecycle.DRAFT,
        Entrypoint("python", "node.py"), inputs=inputs or {}, outputs=outputs or {},
    )  # fmt: skip


FILES = {"type": "array", "items": {"type": "object", "properties": {
    "path": {"type": "string", "format": "path"}, "module": {"type": "string"}}}}  # fmt: skip
WALK = node(
    "walk",
    {"root": {"type": "string", "format": "path"}},
    {"files": FILES, "count": {"type": "integer"}},
)
PARSE = node(
    "parse",
    {"path": {"type": "string", "format": "path"}, "module": {"type": "string"},
     "strict": {"type": "boolean", "default": False}},
    {"tree": {"type": "object", "properties": {"names": {"type": "array"}}}},
)  # fmt: skip
COUNT = node(
    "count", {"count": {"type": "integer"}}, {"report": {"type": "string", "format": "path"}}
)
SEND = node("send", {"file": {"type": "string", "format": "path"}, "to": {"type": "string"}})
TEXT = node("text", {"title": {"type": "string"}}, {"body": {"type": "string"}})


def links(fits: list[Any]) -> dict[str, dict[str, str]]:
    return {fit.source.name: {link.input: link.value for link in fit.links} for fit in fits}


def test_the_same_name_and_type_fit_best() -> None:
    fits = rank_fits(COUNT, [SEND, TEXT, WALK, PARSE])
    assert links(fits) == {"walk": {"count": "steps.walk.count"}}
    assert fits[0].score == 1.0
    assert fits[0].missing == []


def test_members_of_a_list_fit_one_by_one() -> None:
    (fit,) = rank_fits(PARSE, [WALK])
    assert fit.foreach == "steps.walk.files"
    assert links([fit])["walk"] == {"path": "item.path", "module": "item.module"}
    assert fit.score == 1.0


def test_files_fit_files_and_the_rest_is_missing() -> None:
    (fit,) = rank_fits(SEND, [COUNT, TEXT])
    assert links([fit]) == {"count": {"file": "steps.count.report"}}
    assert fit.missing == ["to"]
    assert 0 < fit.score < 0.5


def test_a_type_alone_says_nothing() -> None:
    other = node("other", {"name": {"type": "string"}, "size": {"type": "integer"}})
    assert rank_fits(other, [TEXT, node("n", {}, {"number": {"type": "integer"}})]) == []


def test_types_that_exclude_each_other_do_not_fit() -> None:
    assert rank_fits(COUNT, [node("n", {}, {"count": {"type": "string"}})]) == []
    assert rank_fits(COUNT, [node("n", {}, {"count": {"type": ["string", "null"]}})]) == []


def test_a_workflow_is_joined_step_by_step() -> None:
    proposed = propose_workflow([WALK, PARSE, COUNT, SEND])
    steps = {step.id: step for step in proposed.steps}
    assert steps["parse"].foreach == "steps.walk.files"
    assert steps["count"].arguments["count"].value == "steps.walk.count"
    assert steps["send"].arguments["file"].value == "steps.count.report"
    # What has a default may be given too.
    assert list(proposed.inputs) == ["root", "strict", "to"]
    assert proposed.unconnected == []
    assert proposed.unused == ["parse"]


def test_two_steps_of_one_node_and_inputs_of_one_name() -> None:
    odd = node("walk!", {"root": {"type": "integer"}})
    proposed = propose_workflow([WALK, WALK, odd])
    assert [step.id for step in proposed.steps] == ["walk", "walk_2", "walk_"]
    # Inputs of the same name and schema are one; of another schema, two.
    assert list(proposed.inputs) == ["root", "walk__root"]
    # The second one walks each of the files that the first one found.
    assert proposed.unconnected == ["walk_"]


NAMES = st.sampled_from(["a", "b", "files", "path", "no", "null", "1x", "a-b"])
SCHEMAS = st.recursive(
    st.sampled_from([
        {}, {"type": "string"}, {"type": "integer"}, {"type": "array"}, {"type": "object"},
        {"type": "string", "format": "path"}, {"enum": ["x", 1]}, {"type": ["string", "null"]},
    ]),
    lambda inner: st.builds(lambda s: {"type": "array", "items": s}, inner)
    | st.builds(
        lambda members: {"type": "object", "properties": members},
        st.dictionaries(NAMES, inner, max_size=2),
    ),
    max_leaves=4,
)  # fmt: skip
NODES = st.builds(
    node,
    st.sampled_from(["a", "b", "c", "yes", "x.y"]),
    st.dictionaries(NAMES, SCHEMAS, max_size=3),
    st.dictionaries(NAMES, SCHEMAS, max_size=3),
)


@given(st.lists(NODES, min_size=2, max_size=5))
def test_what_is_proposed_is_a_workflow_that_could_run(nodes: list[NodeMetadata]) -> None:
    proposed = propose_workflow(nodes)
    text = workflow_text(proposed, "test")
    workflow, problems = read_workflow(parse_yaml(text.encode(), "test"))
    assert workflow is not None, (text, problems)
    by_step = {step.id: step.node for step in proposed.steps}
    assert check_step_types(workflow, by_step) == [], text


@given(NODES, st.lists(NODES, max_size=5))
def test_scores_lie_between_nothing_and_all(
    target: NodeMetadata, sources: list[NodeMetadata]
) -> None:
    fits = rank_fits(target, sources)
    assert all(0 < fit.score <= 1 for fit in fits)
    assert [fit.score for fit in fits] == sorted((fit.score for fit in fits), reverse=True)


@pytest.mark.parametrize("name", ["", "a: b", "# x", "{", "no", "\n"])
def test_names_of_workflows_are_texts(name: str) -> None:
    text = workflow_text(propose_workflow([WALK, COUNT]), name or "x")
    workflow, _ = read_workflow(parse_yaml(text.encode(), "test"))
    assert workflow is not None
    assert workflow.name == (name or "x")
