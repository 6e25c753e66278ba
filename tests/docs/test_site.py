"""The documentation as a site: its reference is current, and every link in it leads somewhere."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.blocks import DOCS

SCRIPT = Path(__file__).parents[2] / "scripts" / "write_reference.py"


def test_the_reference_says_what_the_code_says() -> None:
    spec = importlib.util.spec_from_file_location("write_reference", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name, text in module.pages().items():
        written = (DOCS / "reference" / name).read_text(encoding="utf-8")
        assert written == text, f"{name} is not current: run make docs"


@pytest.mark.slow
def test_the_shapes_of_json_are_those_that_commands_print() -> None:
    script = SCRIPT.with_name("write_json_reference.py")
    asked = "import runpy, sys; sys.stdout.write(runpy.run_path(sys.argv[1])['page']())"
    done = subprocess.run(
        [sys.executable, "-c", asked, script],
        capture_output=True,
        text=True,
        timeout=110,
        check=True,
    )
    written = sections((DOCS / "reference" / "json.md").read_text(encoding="utf-8"))
    printed = sections(done.stdout)
    assert written.keys() == printed.keys(), "json.md is not current: run make docs"
    for command, keys in printed.items():
        # What is empty here may have had members where the page was made, and the other way round.
        assert keys - written[command] == set(), f"{command}: run make docs"


def sections(page: str) -> dict[str, set[str]]:
    """The keys below each heading."""
    found: dict[str, set[str]] = {}
    for section in page.split("\n## ")[1:]:
        command, _, text = section.partition("\n")
        found[command] = {line.partition(":")[0].rstrip("?[]") for line in text.splitlines()}
    return found


@pytest.mark.slow
def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", DOCS, tmp_path],
        capture_output=True, text=True, timeout=110, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "reference" / "commands.html").read_text(encoding="utf-8")
    assert "report.workflow.yaml" in page
    assert (tmp_path / "index.html").exists()
