"""``contract.yaml`` of both dialects as metadata."""

from __future__ import annotations

import pytest

from onex.domain.lifecycle import Lifecycle
from onex.manifests.contract import read_contract
from onex.manifests.yaml_document import parse_yaml


def read(text: str, package: str | None = "pack.nodes.one"):
    return read_contract(parse_yaml(text.encode(), "contract.yaml"), package)


def test_both_dialects() -> None:
    old = read(
        "name: one\nnode_type: EFFECT_GENERIC\nnode_version: {major: 1, minor: 2, patch: 3}\n"
    )
    new = read("name: one\nnode_type: effect\nnode_version: 1.2.3\n")
    for reading in (old, new):
        assert reading.problems == ()
        metadata = reading.metadata
        assert metadata is not None
        assert str(metadata.node_version) == "effect://pack.nodes.one@1.2.3"
        assert metadata.lifecycle is Lifecycle.ACTIVE


def test_prerelease_and_fallbacks_of_the_version() -> None:
    both = read(
        "name: a\nnode_type: compute\nnode_version: {major: 1, minor: 0, patch: 0, prerelease: rc.1}\n"
    )
    assert both.metadata is not None
    assert str(both.metadata.version) == "1.0.0-rc.1"
    older = read("name: a\nnode_type: compute\ncontract_version: {major: 2}\n")
    assert older.metadata is not None
    assert str(older.metadata.version) == "2.0.0"


def test_typed_dependencies_words_and_purity() -> None:
    metadata = read(
        """
name: one
node_type: compute
node_version: "1.0.0"
status: deprecated
descriptor: {purity: pure, idempotent: true}
metadata: {author: A, license: MIT, tags: [x, y]}
profile_tags: [y, z]
capabilities: [{name: parse.it, description: d}, plain, "with spaces"]
node_capabilities: {postgres: true, redis: false}
dependencies:
- {name: reader, type: node, module: pack.nodes.reader, version: ^1}
- {name: node_extra, optional: true, version: ">=1.0.0"}
- {name: http_client, type: library, library: aiohttp, version: ">=3"}
- {name: helper, type: library, module: jsonschema.tools}
- {name: bus, type: protocol, module: pack.bus}
- {name: KAFKA, type: environment, env_var: KAFKA}
"""
    ).metadata
    assert metadata is not None
    assert [str(d.reference) for d in metadata.dependencies] == [
        "pack.nodes.reader@^1",
        "node_extra@>=1.0.0",
    ]
    assert [d.optional for d in metadata.dependencies] == [False, True]
    assert metadata.libraries == ("aiohttp>=3", "jsonschema")
    assert metadata.tags == ("x", "y", "z")
    assert metadata.capabilities == ("parse.it", "plain", "postgres")
    assert metadata.idempotent
    assert metadata.lifecycle is Lifecycle.DEPRECATED
    assert (metadata.author, metadata.license) == ("A", "MIT")


def test_without_a_package_the_name_is_the_namespace() -> None:
    reading = read("name: alone\nnode_type: compute\nnode_version: 1.0.0\n", None)
    assert reading.metadata is not None
    assert str(reading.metadata.node) == "compute://alone"


@pytest.mark.parametrize(
    ("text", "code", "line"),
    [
        ("node_type: compute\nnode_version: 1.0.0\n", "MAN001", 1),
        ("name: a\nnode_type: compute\n", "MAN001", 1),
        ("name: a\nnode_type: compute\nnode_version: 1.10\n", "MAN003", 3),
        ("name: a\nnode_type: compute\nnode_version: {major: x}\n", "MAN002", 3),
        ("name: a\nnode_type: two words\nnode_version: 1.0.0\n", "MAN004", 2),
        ("name: a\nnode_type: compute\nnode_version: one\n", "MAN004", 3),
        (
            "name: a\nnode_type: compute\nnode_version: 1.0.0\ndependencies:\n- {type: node, name: 'a b'}\n",
            "MAN010",
            5,
        ),
    ],
)
def test_what_is_wrong_is_named_with_its_place(text: str, code: str, line: int) -> None:
    reading = read(text)
    assert reading.metadata is None
    assert [(p.code, p.location.line) for p in reading.problems] == [(code, line)]


def test_a_contract_of_something_else_is_skipped() -> None:
    reading = read("name: api\nendpoints: []\n")
    assert reading.is_template
    assert [p.code for p in reading.problems] == ["MAN013"]
