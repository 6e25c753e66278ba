"""Metadata blocks in comments, and stamps."""

from __future__ import annotations

from pathlib import Path, PurePath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onex.domain.errors import StampError
from onex.manifests.local_node import read_local_node
from onex.manifests.metadata_block import find_block
from onex.manifests.stamp import stamp_text
from tests.conftest import Project

FIELDS = """\
name: sample
version: 1.0.0
uuid: 67461fb1-6f66-4ab1-bb5e-361805435b11
author: A
description: d
state_contract: state_contract://default
lifecycle: active
entrypoint: python@sample.py
namespace:
  value: py://local.sample
meta_type: tool
"""
HASH = "".join(f"# {line}\n" for line in FIELDS.splitlines())
EACH = "".join(f"<!-- {line} -->\n" for line in FIELDS.splitlines())
STYLES = {
    "hash.py": f"#!/usr/bin/env python3\n# === OmniNode:Metadata ===\n{HASH}# === /OmniNode:Metadata ===\n\nX = 1\n",
    "plain.md": f"<!-- === OmniNode:Metadata ===\n{FIELDS}<!-- === /OmniNode:Metadata === -->\n\n# Title\n",
    "lines.md": f"<!-- === OmniNode:Metadata ===\n{EACH}=== /OmniNode:Metadata === -->\n\n# Title\n",
    "each.md": f"<!-- === OmniNode:Metadata === -->\n{EACH}<!-- === /OmniNode:Metadata === -->\n",
    "data.yaml": f"# === OmniNode:Metadata ===\n{HASH}# === /OmniNode:Metadata ===\nkey: value\n",
}


@pytest.mark.parametrize("name", STYLES)
def test_all_styles_are_read(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text(STYLES[name])
    reading = read_local_node(path)
    assert reading.problems == ()
    assert reading.node is not None
    assert str(reading.node.metadata.node_version) == "tool://local.sample@1.0.0"
    assert reading.node.metadata.entrypoint.target == name
    assert reading.node.metadata.entrypoint.type == (
        "python" if name.endswith(".py") else "document"
    )


def test_a_problem_has_the_line_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "hash.py"
    path.write_text(STYLES["hash.py"].replace("version: 1.0.0", "version: 1.0"))
    reading = read_local_node(path)
    assert [(p.code, p.location.line) for p in reading.problems] == [("MAN003", 4)]


def test_the_specification_itself_is_a_node() -> None:
    path = Path(__file__).parents[3] / "shared" / "spec" / "registry_architecture.md"
    if not path.is_file():
        pytest.skip(f"the specification is not at {path}")
    reading = read_local_node(path)
    assert reading.node is not None
    assert str(reading.node.metadata.node) == "tool://onex.stamped.registry_architecture"


def test_blocks_are_read_only_where_a_source_asks(project: Project) -> None:
    for name, text in STYLES.items():
        if name in ("hash.py", "plain.md"):
            project.write(f"nodes/{name}", text.replace("local.sample", f"local.{name[:4]}"))
    project.write("nodes/README.md", "# No block here\n")
    project.write("onex.toml", '[[sources]]\npath = "nodes"\n')
    assert project.onex_here("scan", "--format", "json").json["nodes"] == 0
    project.write("onex.toml", '[[sources]]\npath = "nodes"\nblocks = true\n')
    body = project.onex_here("scan", "--format", "json").json
    assert (body["nodes"], body["sources"][0]["skipped"]) == (2, 0)
    assert [p["code"] for p in body["problems"]] == ["DSC003"]
    project.write("nodes/README.md", STYLES["plain.md"].replace("local.sample", "local.readme"))
    assert project.onex_here("scan", "--format", "json").json["nodes"] == 3
    assert project.onex_here("validate", "nodes/hash.py").code == 0


TEXTS = st.text(
    st.characters(codec="utf-8", exclude_characters="\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029\0"),
    max_size=200,
).filter(lambda text: "===" not in text)


@given(TEXTS, st.sampled_from(["a.py", "b.md", "c.yaml", "d.sh"]), st.booleans())
def test_stamping_is_idempotent_and_notices_changes(text: str, name: str, shebang: bool) -> None:
    path = PurePath(name)
    text = ("#!/bin/sh\n" if shebang else "") + text
    first = stamp_text(text, path, "me", "2026-01-01T00:00:00+00:00")
    assert not first.is_current
    again = stamp_text(first.text, path, "you", "2027-01-01T00:00:00+00:00")
    assert again.is_current
    assert again.text == first.text
    block = find_block(first.text)
    assert block is not None
    assert 'author: "me"' in block.yaml
    changed = stamp_text(first.text + "more", path, "you", "2027-01-01T00:00:00+00:00")
    assert not changed.is_current
    assert changed.hash != first.hash
    assert stamp_text(changed.text, path, "x", "2028-01-01T00:00:00+00:00").is_current
    if shebang:
        assert changed.text.startswith("#!/bin/sh\n")


def test_the_command_stamps_checks_and_gives_a_node_that_is_found(project: Project) -> None:
    project.write("nodes/tool.py", "def execute(context):\n    return 7\n")
    assert project.onex_here("stamp", "--check", "nodes/tool.py").code == 4
    assert project.onex_here("stamp", "nodes/tool.py", "--author", "A: B # c").code == 0
    assert project.onex_here("stamp", "--check", "nodes/tool.py").code == 0
    before = (project.nodes / "tool.py").read_text()
    assert (
        project.onex_here("stamp", "nodes/tool.py", "--format", "json").json["files"][0]["state"]
        == "current"
    )
    assert (project.nodes / "tool.py").read_text() == before
    project.write("onex.toml", '[[sources]]\npath = "nodes"\nblocks = true\n')
    assert project.onex_here("scan", "--format", "json").json["nodes"] == 1
    run = project.onex_here("run", "tool://local.stamped.tool", "--format", "json")
    assert run.json["success"], run.stdout
    manifest = project.add("m")
    assert project.onex_here("stamp", manifest).code == 0
    assert project.onex_here("stamp", "--check", manifest).code == 0
    assert project.onex_here("validate", manifest).code == 0
    assert project.onex_here("stamp", project.write("x.bin", "")).code == 2
    with pytest.raises(StampError):
        stamp_text("", PurePath("x.bin"), "a", "now")
