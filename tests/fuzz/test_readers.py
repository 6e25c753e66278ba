"""Whatever a file holds, reading it gives a value or an error with a code."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onex.configuration.loading import load_configuration
from onex.domain.constraint import LATEST
from onex.domain.errors import OnexError
from onex.domain.version import Version
from onex.manifests.local_node import has_block, read_local_node
from onex.manifests.workflow_file import load_workflow
from onex.resolver.lockfile import LockedNode, LockedRequest, Lockfile
from tests.fuzz.conftest import fuzzing

MANIFEST = """\
name: a
namespace: test.a
version: "1.0.0"
meta_type: tool
lifecycle: draft
entrypoint: {type: python, target: node.py}
tags: [x, "y z"]
capabilities: ["file.read:/data/**", {type: network.connect, resource: "*.example.org"}]
dependencies: ["tool://test.b@^1", {id: c, version_spec: "~2", optional: true}, "jinja2>=3"]
inputs: {path: {type: string, format: path}, top: integer}
"""
WORKFLOW = """\
name: w
inputs: {root: {type: string, default: "."}}
steps:
  a: {node: "tool://test.a@^1", with: {path: "${{ inputs.root }}"}, retry: {attempts: 2}}
  b: {node: b, foreach: "${{ steps.a.files }}", with: {x: "${{ item }}"}, timeout: 5}
outputs: {all: "${{ steps.b }}"}
policy: {fail_fast: false, breaker: {failures: 3}}
"""
CONFIGURATION = """\
storage = "sqlite:///x.db"
[[sources]]
name = "a"
path = "nodes"
timeout = 5
namespaces = ["x.*"]
[config]
a = 1
[overrides]
"tool://a" = "1.0.0"
"""
LOCK = Lockfile(
    (
        LockedRequest(
            "w.yaml",
            {"a": "tool://test.a"},
            {"tool://test.a": LATEST},
            {"tool://test.a": LockedNode(Version(1, 0, 0), "sha256:0", "a")},
        ),
    )
).to_toml()
ODD = ["9" * 5000, "[" * 2000, "{" * 500, "- " * 40, "\0", "\ufeff", "&a", "*a", "!!python/x", "<<: ",
       "\r\n", "\t", "'", '"', "...", "---\n", "|\n", "? ", "1e999", ".inf", "~", "\u202e", "é" * 300]  # fmt: skip


def mutated(text: str, seed: int) -> bytes:
    """The text with a few pieces dropped, doubled, moved or replaced by something odd."""
    chance = random.Random(seed)
    content = text.encode()
    for _ in range(chance.randrange(1, 5)):
        start = chance.randrange(len(content) + 1)
        end = min(len(content), start + chance.randrange(1, 20))
        piece = content[start:end]
        new = chance.choice([b"", piece * 3, chance.choice(ODD).encode(), chance.randbytes(3)])
        content = content[:start] + new + content[end:]
    return content


@fuzzing
@given(st.integers(0, 2**32))
@pytest.mark.parametrize("name", ["a.onex.yaml", "contract.yaml", "a.md"])
def test_manifests(tmp_path: Path, name: str, seed: int) -> None:
    text = MANIFEST
    if name == "contract.yaml":
        text = text.replace("meta_type: tool", "node_type: COMPUTE_GENERIC")
    if name == "a.md":
        text = f"<!-- === OmniNode:Metadata ===\n{text}<!-- === /OmniNode:Metadata === -->\n"
    path = tmp_path / name
    path.write_bytes(mutated(text, seed))
    has_block(path)
    reading = read_local_node(path)
    assert (reading.node is None) == (reading.outcome != "node")
    assert all(problem.code for problem in reading.problems)


@fuzzing
@given(st.integers(0, 2**32))
def test_workflows(tmp_path: Path, seed: int) -> None:
    path = tmp_path / "w.workflow.yaml"
    path.write_bytes(mutated(WORKFLOW, seed))
    try:
        load_workflow(path)
    except OnexError as error:
        assert error.code != "ONEX001"


@fuzzing
@given(st.integers(0, 2**32))
def test_configurations(tmp_path: Path, seed: int) -> None:
    (tmp_path / "onex.toml").write_bytes(mutated(CONFIGURATION, seed))
    try:
        load_configuration(tmp_path, {})
    except OnexError as error:
        assert error.code == "CFG001"


@fuzzing
@given(st.integers(0, 2**32))
def test_locks(seed: int) -> None:
    text = mutated(LOCK, seed).decode("utf-8", "replace")
    try:
        Lockfile.parse(text)
    except OnexError as error:
        assert error.code == "CFG001"
