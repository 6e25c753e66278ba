"""Schemas of steps against each other, before anything runs; state contracts; the dry run."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onex.schemas.node_schemas import first_problem_of
from onex.schemas.step_types import conflict
from tests.conftest import Project

GIVES = "def execute(context, **inputs):\n    return {'n': 1, 'text': 'x', 'items': [1, 2]}\n"
OUTPUTS = {
    "n": {"type": "integer"},
    "text": {"type": "string"},
    "items": {"type": "array", "items": {"type": "integer"}},
}


@pytest.fixture
def typed(project: Project) -> Project:
    project.add("gives", GIVES, outputs=OUTPUTS)
    project.add("number", inputs={"n": {"type": "number"}})
    project.add("text", inputs={"t": {"type": "string"}, "more": {"type": "string", "default": ""}})
    project.add("any")
    project.scan()
    return project


def run(project: Project, steps: dict[str, object], *options: str, **fields: object):
    project.workflow(steps, **fields)
    return project.onex_here("run", "test.workflow.yaml", "--format", "json", *options)


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ({"node": "text", "with": {"t": "${{ steps.a.n }}"}}, "must be of type string, and gets of type integer"),
        ({"node": "number", "with": {"n": "text"}}, '"text" is not of type "number"'),
        ({"node": "number", "with": {}}, "the input n of tool://test.number@1.0.0 is not given"),
        ({"node": "number", "with": {"n": 1, "m": 2}}, "has no input 'm'"),
        ({"node": "number", "with": {"n": "no ${{ steps.a.n }}"}}, "must be of type number"),
        ({"node": "number", "foreach": "${{ steps.a.n }}", "with": {"n": "${{ item }}"}}, "not a list"),
        ({"node": "text", "foreach": "${{ steps.a.items }}", "with": {"t": "${{ item }}"}}, "gets of type integer"),
        ({"node": "text", "with": {"t": "${{ inputs.size }}"}}, "gets of type integer"),
    ],
)  # fmt: skip
def test_steps_that_cannot_fit_are_refused_before_anything_runs(
    typed: Project, step: dict[str, object], message: str
) -> None:
    typed.add("touch", f"def execute(context):\n    open({str(typed.root / 'ran')!r}, 'w')\n")
    typed.scan()
    result = run(
        typed,
        {"first": {"node": "touch"}, "a": {"node": "gives"}, "b": step},
        inputs={"size": {"type": "integer", "default": 1}},
    )
    assert (result.code, result.json["error"]["code"]) == (4, "WFL011"), result.stdout
    assert message in result.json["error"]["message"]
    assert result.json["error"]["problems"][0]["path"] == "steps.b"
    assert not (typed.root / "ran").exists()
    assert typed.onex_here("runs", "list", "--format", "json").json == {"runs": []}


def test_steps_that_may_fit_run(typed: Project) -> None:
    result = run(
        typed,
        {
            "a": {"node": "gives"},
            "b": {"node": "number", "with": {"n": "${{ steps.a.n }}"}},
            "c": {"node": "text", "with": {"t": "n is ${{ steps.a.n }}"}},
            "d": {
                "node": "number",
                "foreach": "${{ steps.a.items }}",
                "with": {"n": "${{ item }}"},
            },
            "e": {"node": "any", "with": {"x": "${{ steps.a.n }}"}},
            "f": {"node": "text", "with": {"t": "${{ steps.e.x }}", "more": "y"}, "when": False},
        },
    )
    assert result.code == 0, result.stdout


schemas = st.sampled_from(
    [
        {}, {"type": "string"}, {"type": "integer"}, {"type": "number"}, {"type": ["null", "string"]},
        {"enum": [1, "a"]}, {"const": 2}, {"type": "array", "items": {"type": "string"}},
        {"type": "array", "items": {"type": "integer"}, "minItems": 1}, {"type": "object"},
    ]
)  # fmt: skip
values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["a", "b"]),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("xy"), inner, max_size=2)
    ),
    max_leaves=4,
)


@given(schemas, schemas, values)
def test_a_conflict_means_that_no_value_meets_both(given_schema, wanted, value) -> None:
    if conflict(given_schema, wanted) is not None:
        fits = first_problem_of(given_schema, value) is None
        assert not (fits and first_problem_of(wanted, value) is None)


# State contracts

CONTRACT = {
    "input_state": {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}},
    "output_state": {"type": "object", "properties": {"r": {"type": "string", "maxLength": 3}}},
}
ECHO = "def execute(context, *, n):\n    return {'r': n if n else 'long text'}\n"


@pytest.mark.parametrize("where", ["inline", "uri", "path"])
def test_a_state_contract_is_checked_before_and_after(project: Project, where: str) -> None:
    reference = {"uri": "state_contract://c.yaml", "path": "c.yaml"}.get(where, CONTRACT)
    project.add("node", ECHO, state_contract=reference)
    if where != "inline":
        project.write("nodes/node-1.0.0/c.yaml", json.dumps(CONTRACT))
    project.scan()
    before = project.onex_here("run", "node", "-i", 'n="x"', "--format", "json").json["steps"][
        "node"
    ]
    assert (before["error"]["code"], before["attempts"]) == ("EXE008", 0)
    assert 'the state contract: n: "x" is not of type "integer"' in before["error"]["message"]
    after = project.onex_here("run", "node", "-i", "n=0", "--format", "json").json["steps"]["node"]
    assert after["error"]["code"] == "EXE008"
    assert "the state contract: r: " in after["error"]["message"]


def test_a_contract_that_is_one_schema_is_that_of_the_result(project: Project) -> None:
    project.add("node", "def execute(context):\n    return 5\n",
                state_contract={"type": "string"})  # fmt: skip
    project.scan()
    error = project.onex_here("run", "node", "--format", "json").json["steps"]["node"]["error"]
    assert error["code"] == "EXE008"


def test_a_contract_that_is_not_there_is_a_warning(project: Project) -> None:
    project.add("node", state_contract="state_contract://nowhere.yaml")
    project.scan()
    result = project.onex_here("run", "node")
    assert result.code == 0
    assert "nowhere.yaml of tool://test.node@1.0.0 is not among its files" in result.stderr


# The dry run


def test_a_dry_run_shows_hits_and_a_forecast_and_runs_nothing(project: Project) -> None:
    slow = "import time\ndef execute(context, *, n):\n    time.sleep(0.05)\n    return n + 1\n"
    project.add("inc", slow, idempotent=True, capabilities=["file.read:/data/**"])
    project.add("sum", "def execute(context, *, items):\n    return sum(items)\n")
    project.scan()
    steps = {
        "each": {"node": "inc", "foreach": "${{ inputs.items }}", "with": {"n": "${{ item }}"}},
        "sum": {"node": "sum", "with": {"items": "${{ steps.each }}"}},
    }
    fields = {"inputs": {"items": {"type": "array", "default": [1, 2, 3]}}}
    cold = run(project, steps, "--dry-run", **fields)
    assert cold.code == 0
    forecast = cold.json["forecast"]
    assert forecast["seconds"] is None
    assert forecast["steps"]["each"] == {
        "cache": "miss", "calls": 3, "hits": 0, "cache_note": None, "seconds": None,
    }  # fmt: skip
    assert forecast["steps"]["sum"]["cache"] == "unknown"
    assert cold.json["steps"]["each"]["permissions"] == ["file.read:/data/**"]
    assert project.onex_here("runs", "list", "--format", "json").json == {"runs": []}

    assert run(project, steps, "--jobs", "1", **fields).code == 0
    warm = run(project, steps, "--dry-run", "--jobs", "1", **fields).json["forecast"]
    assert (warm["steps"]["each"]["cache"], warm["steps"]["each"]["hits"]) == ("hit", 3)
    assert warm["steps"]["sum"]["cache"] == "off"
    assert warm["steps"]["sum"]["cache_note"] == "the node is not marked idempotent"
    uncached = run(project, steps, "--dry-run", "--no-cache", "--jobs", "1", **fields)
    assert uncached.json["forecast"]["seconds"] >= warm["seconds"] + 0.15
    more = run(project, steps, "--dry-run", "--jobs", "1", "-i", "items=[1, 2, 3, 4]", **fields)
    assert more.json["forecast"]["steps"]["each"]["cache"] == "partial"
    assert warm["seconds"] + 0.05 <= more.json["forecast"]["seconds"]
    assert more.json["forecast"]["seconds"] < uncached.json["forecast"]["seconds"]
    human = project.onex_here("run", "test.workflow.yaml", "--dry-run").stdout
    assert "about" in human


def test_a_dry_run_verifies_what_a_run_would(project: Project) -> None:
    project.add("a")
    project.scan()
    (project.nodes / "a-1.0.0" / "node.py").write_text("changed = 1\n")
    result = project.onex_here("run", "a", "--dry-run", "--format", "json")
    assert (result.code, result.json["error"]["code"]) == (5, "SEC002")


@pytest.mark.unconfined
def test_refresh_runs_a_step_and_keeps_its_new_result(project: Project) -> None:
    project.add("count", "import pathlib\ndef execute(context, *, file):\n    p = pathlib.Path(file)\n"
                "    n = int(p.read_text()) + 1 if p.exists() else 1\n    p.write_text(str(n))\n"
                "    return n\n", idempotent=True)  # fmt: skip
    project.scan()
    project.workflow({"a": {"node": "count", "with": {"file": str(project.root / "n")}}},
                     outputs={"n": "${{ steps.a }}"})  # fmt: skip

    def once(*options: str) -> int:
        done = project.onex_here("run", "test.workflow.yaml", "--format", "json", *options)
        return done.json["outputs"]["n"]

    assert [once(), once(), once("--refresh", "a"), once()] == [1, 1, 2, 2]
    unknown = project.onex_here("run", "test.workflow.yaml", "--refresh", "b", "--format", "json")
    assert (unknown.code, unknown.json["error"]["code"]) == (2, "USE001")
