"""The commands of ``docs/authoring.md`` run as they stand, and its example is one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

import pytest

from onex.domain.example import NodeExample
from onex.manifests.yaml_document import parse_yaml
from tests.conftest import Project
from tests.docs.blocks import DOCS, blocks_of

PAGE = DOCS / "authoring.md"


@pytest.mark.slow
def test_every_command_runs(make_project: Callable[[str], Project]) -> None:
    project = make_project("p")
    (project.root / "onex.toml").unlink()
    project.nodes.rmdir()
    function, fixture = (block.text for block in blocks_of(PAGE, "python"))
    project.write("tools/clean.py", function)
    project.write("notes.txt", "one\n\ntwo\n")
    folder = project.root / "bin"
    folder.mkdir()
    (folder / "onex").write_text(f'#!/bin/sh\nexec {sys.executable} -m onex "$@"\n')
    (folder / "onex").chmod(0o755)
    environment = project.environment | {"PATH": f"{folder}:{os.environ['PATH']}"}
    lines = [line for block in blocks_of(PAGE, "sh") for line in block.text.splitlines()]
    assert len(lines) > 6
    for line in lines:
        done = subprocess.run(
            ["bash", "-c", line], cwd=project.root, env=environment, capture_output=True,
            text=True, timeout=100, check=False,
        )  # fmt: skip
        assert done.returncode == 0, (line, done.stdout, done.stderr)
    assert '"lines": 2' in done.stdout
    project.write("tests/test_page.py", fixture)
    tested = project.pytest()
    assert "3 passed" in tested.stdout, tested.stdout


def test_the_examples_on_the_page_are_examples() -> None:
    (block,) = blocks_of(PAGE, "yaml")
    entries = parse_yaml(block.text.encode(), "page").data["examples"]
    read = [NodeExample.from_json(entry, index) for index, entry in enumerate(entries)]
    assert [one.name for one in read] == ["two lines", "example 2", "example 3"]
    assert read[0].artifacts == {"file": "data/expected.txt"}
