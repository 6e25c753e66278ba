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
def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", DOCS, tmp_path],
        capture_output=True, text=True, timeout=110, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "reference" / "commands.html").read_text(encoding="utf-8")
    assert "report.workflow.yaml" in page
    assert (tmp_path / "index.html").exists()
