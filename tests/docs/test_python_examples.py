"""The examples of ``docs/python.md`` run as they stand, and are typed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Project
from tests.docs.blocks import DOCS, Block, blocks_of

PAGE = DOCS / "python.md"
BLOCKS = blocks_of(PAGE, "python")


@pytest.fixture
def greeter(make_project: Callable[[str], Project]) -> Project:
    project = make_project("greeter")
    (project.root / "onex.toml").unlink()
    assert project.onex("init").code == 0
    assert project.onex("new", "greeter").code == 0
    return project


def test_every_example_runs(greeter: Project) -> None:
    assert len(BLOCKS) > 6
    # One process for all: the blocks for notebooks are cells of one notebook.
    script = greeter.write("page.py", "\n".join(block.text for block in BLOCKS))
    done = subprocess.run(
        [sys.executable, str(script)], cwd=greeter.root, env=greeter.environment,
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "{'greeting': 'Hello, Ada!'}" in done.stdout
    assert "{'greeting': 'Hello, Grace!'}" in done.stdout
    assert "greet succeeded" in done.stdout
    assert "RES003 no node is called" in done.stdout


@pytest.mark.slow
def test_every_example_passes_a_strict_type_check(tmp_path: Path) -> None:
    file = tmp_path / "page.py"
    file.write_text("\n".join(map(_text, BLOCKS)))
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-incremental", str(file)],
        cwd=tmp_path, capture_output=True, text=True, timeout=110, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


def _text(block: Block) -> str:
    return f"# line {block.line} of {PAGE.name}\n{block.text}"
