"""The examples of the pages about Python run as they stand, are typed, and leave no name out."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import onex
from tests.conftest import CommandResult, Project
from tests.docs.blocks import DOCS, Block, blocks_of

PAGE, NAMES = DOCS / "python.md", DOCS / "python-names.md"


@pytest.fixture
def greeter(make_project: Callable[[str], Project]) -> Project:
    project = make_project("greeter")
    (project.root / "onex.toml").unlink()
    assert project.onex("init").code == 0
    assert project.onex("new", "greeter").code == 0
    return project


def examples(project: Project, page: Path) -> CommandResult:
    """Run the examples of a page in one process: those for notebooks are cells of one notebook."""
    blocks = blocks_of(page, "python")
    assert len(blocks) > 6
    script = project.write("page.py", "\n".join(block.text for block in blocks))
    done = subprocess.run(
        [sys.executable, str(script)], cwd=project.root, env=project.environment,
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return CommandResult(done.returncode, done.stdout, done.stderr)


def test_every_example_runs(greeter: Project) -> None:
    told = examples(greeter, PAGE).stdout
    assert "{'greeting': 'Hello, Ada!'}" in told
    assert "{'greeting': 'Hello, Grace!'}" in told
    assert "greet succeeded" in told
    assert "RES003 no node is called" in told


def test_every_example_of_a_name_runs(greeter: Project) -> None:
    told = examples(greeter, NAMES).stdout
    for line in (
        "{'said': 'Hello, Hello, Ada!!'}",
        "['greet']",
        "True True\nTrue\nFalse",
        "greeter 1.0 greeter",
        "['tool://local.greeter@0.1.0']",
        "['process'] ()\nTrue",
        "cancelled: True",
        "True {'greeting': 'Hello, world!'} None",
        "0 ['outputs.json']",
        f"onex {onex.__version__}",
    ):
        assert line in told, told


def test_every_public_name_has_an_example() -> None:
    text = "\n".join(block.text for page in (PAGE, NAMES) for block in blocks_of(page, "python"))
    assert not [name for name in onex.__all__ if not re.search(rf"\b{name}\b", text)]


@pytest.mark.slow
@pytest.mark.parametrize("page", [PAGE, NAMES], ids=lambda page: page.stem)
def test_every_example_passes_a_strict_type_check(tmp_path: Path, page: Path) -> None:
    file = tmp_path / "page.py"
    file.write_text("\n".join(_text(page, block) for block in blocks_of(page, "python")))
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-incremental", str(file)],
        cwd=tmp_path, capture_output=True, text=True, timeout=110, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


def _text(page: Path, block: Block) -> str:
    return f"# line {block.line} of {page.name}\n{block.text}"
