"""The schemas for editors agree with the readers, which decide."""

from __future__ import annotations

import dataclasses
import json
import tomllib
from pathlib import Path

import jsonschema_rs
import pytest

from onex.configuration import agent_settings, toml_file
from onex.configuration.mcp_server import _KEYS as MCP_KEYS
from onex.domain.errors import OnexError
from onex.domain.limits import Limits
from onex.domain.trust_table import TRUST_KEYS
from onex.manifests import workflow_file
from onex.manifests.manifest import KNOWN_KEYS, read_manifest
from onex.manifests.workflow_file import read_workflow
from onex.manifests.yaml_document import parse_yaml, read_yaml
from onex.schemas.editor_schemas import DOCUMENTS, editor_schema
from tests.conftest import Project

CORPUS = Path(__file__).parents[3] / "shared" / "corpus" / "onex-manifests"
EXAMPLES = Path(__file__).parents[2] / "examples"


def accepts(document: str, body: object) -> bool:
    return jsonschema_rs.validator_for(json.dumps(editor_schema(document))).is_valid(body)


def test_every_key_that_a_reader_knows_is_described() -> None:
    manifest = editor_schema("manifest")
    assert manifest["properties"].keys() == KNOWN_KEYS
    workflow = editor_schema("workflow")
    assert workflow["properties"].keys() == workflow_file._WORKFLOW_KEYS
    step = workflow["$defs"]["step"]["properties"]
    assert step.keys() == workflow_file._STEP_KEYS | {"id"}
    assert step["retry"]["anyOf"][-1]["properties"].keys() == workflow_file._RETRY_KEYS
    policy = workflow["properties"]["policy"]["properties"]
    assert policy.keys() == workflow_file._POLICY_KEYS
    config = editor_schema("config")["properties"]
    assert config.keys() == toml_file._KNOWN_TABLES
    assert config["policy"]["properties"].keys() == TRUST_KEYS | {
        "trust_policy", "isolation", "limits",
    }  # fmt: skip
    assert config["sources"]["items"]["properties"].keys() == toml_file._SOURCE_KEYS | MCP_KEYS
    assert config["mcp"]["properties"].keys() == agent_settings._KEYS
    budget = config["mcp"]["properties"]["budget"]["properties"]
    assert budget.keys() == agent_settings._BUDGET_KEYS
    limits = {field.name for field in dataclasses.fields(Limits)}
    assert step["limits"]["properties"].keys() == limits
    assert editor_schema("config")["$defs"]["limits"]["properties"].keys() == limits


def test_everything_has_a_description() -> None:
    for document in DOCUMENTS:
        schema = editor_schema(document)
        assert schema["description"]
        for name, member in schema["properties"].items():
            assert member.get("description") or "properties" in member or "$ref" in member, name


@pytest.mark.skipif(
    not CORPUS.is_dir(), reason="the corpus of real manifests is not on this machine"
)
def test_real_manifests_that_are_read_are_accepted() -> None:
    files = sorted(CORPUS.rglob("*.onex.yaml"))
    assert len(files) > 40
    read = 0
    for file in files:
        try:
            document = read_yaml(file)
        except OnexError:
            continue
        if read_manifest(document).metadata is not None:
            read += 1
            assert accepts("manifest", document.data), file.name
    assert read > 20


def test_the_files_of_the_examples_are_accepted() -> None:
    for file in EXAMPLES.rglob("*.onex.yaml"):
        assert accepts("manifest", read_yaml(file).data), file
    for file in EXAMPLES.rglob("*.workflow.yaml"):
        assert accepts("workflow", read_yaml(file).data), file
    for file in EXAMPLES.rglob("onex.toml"):
        assert accepts("config", tomllib.loads(file.read_text())), file


@pytest.mark.parametrize(
    "text",
    [
        "name: w\nsteps:\n  a: {node: x, tiemout: 3}\n",
        "name: w\nsteps:\n  a: {node: x, timeout: -1}\n",
        "name: w\nsteps:\n  a: {with: {}}\n",
        "name: w\nsteps:\n  a: {node: x, retry: {on: 5}}\n",
        "name: w\nsteps:\n  a: {node: x, limits: {memory: lots}}\n",
        "name: w\nsteps: {}\n",
        "name: w\nsteps:\n  a: {node: x}\nextra: 1\n",
    ],
)
def test_what_is_no_workflow_is_refused_by_both(text: str) -> None:
    document = parse_yaml(text.encode(), "w.yaml")
    assert read_workflow(document)[0] is None
    assert not accepts("workflow", document.data)


def test_the_command_prints_a_schema(make_project) -> None:
    project: Project = make_project("p")
    for document in DOCUMENTS:
        done = project.onex_here("schema", document)
        assert done.code == 0
        assert json.loads(done.stdout) == editor_schema(document)
    assert project.onex_here("schema", "plan").code == 2
