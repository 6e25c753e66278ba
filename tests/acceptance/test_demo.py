"""The demo on real input: what it makes, that it is right, and that a second run is faster."""

from __future__ import annotations

import json
import sysconfig
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tests.conftest import Project


def demo(project: Project, *arguments: str | Path) -> dict:
    result = project.onex("demo", "d", *arguments, "--format", "json", timeout=110)
    assert result.code == 0, result.stdout
    return result.json


@pytest.mark.slow
def test_the_standard_library_is_mapped_and_a_second_run_is_faster(project: Project) -> None:
    first = demo(project)
    assert first["outputs"]["files"] >= 500
    assert first["steps"]["parse"]["node"] == "tool://atlas.python.parse@1.1.0"
    assert first["steps"]["rank"]["node"] == "tool://atlas.python.rank@1.1.0"
    second = demo(project)
    fanned = [step for name, step in second["steps"].items() if name.startswith("parse[")]
    assert len(fanned) == first["outputs"]["files"]
    assert all(step["cached"] for step in fanned)
    assert second["seconds"] < first["seconds"] / 2
    assert second["steps"]["walk"]["cache_note"] == "the node is not marked idempotent"

    picture = ET.parse(project.root / first["files"]["picture"]).getroot()
    drawn = [e.get("data-module") for e in picture.iter() if e.get("class") == "module"]
    assert {"json.decoder", "asyncio.events", "os"} <= set(drawn)
    report = (project.root / first["files"]["report"]).read_text(encoding="utf-8")
    assert "What everything rests on" in report
    assert "Import cycles" in report
    assert "slowest calls" in report
    assert "http" not in report.replace("http://www.w3.org/2000/svg", "").split("<script>")[1]


@pytest.mark.slow
def test_another_tree_and_its_facts(project: Project) -> None:
    """A small tree whose graph, cycle and complexity are known by hand."""
    project.write("tree/pkg/__init__.py", "from . import a\n")
    project.write(
        "tree/pkg/a.py",
        "from . import b\n\ndef f(x):\n    if x and x > 1:\n        return 1\n    return 2\n",
    )
    project.write(
        "tree/pkg/b.py",
        "import pkg.a\nfrom typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import pkg.c\n",
    )
    project.write("tree/pkg/c.py", "def g():\n    import pkg.b\n")
    project.write("tree/broken.py", "def (:\n")
    body = demo(project, "-i", f"root={project.root / 'tree'}")
    assert body["outputs"]["summary"] == {
        "modules": 5, "lines": 14, "functions": 2, "mean_complexity": 2.0, "cycles": 1, "unparsed": 1,
    }  # fmt: skip
    shown = project.onex(
        "runs", "show", body["run_id"], "--home", "d/.onex", "--format", "json"
    ).json
    graph = shown["steps"]["graph"]["output"]
    assert graph["edges"] == [["pkg", "pkg.a"], ["pkg.a", "pkg.b"], ["pkg.b", "pkg.a"]]
    assert graph["lazy_edges"] == [["pkg.c", "pkg.b"]]
    assert shown["steps"]["rank"]["output"]["cycles"] == [
        {"loop": ["pkg.a", "pkg.b"], "members": ["pkg.a", "pkg.b"]}
    ]


def test_names_in_the_tree_cannot_write_html(project: Project) -> None:
    project.write("tree/ok.py", "def f():\n    pass\n")
    evil = project.root / "tree<script>alert(1)"
    (project.root / "tree").rename(evil)
    body = demo(project, "-i", f"root={evil}")
    report = (project.root / body["files"]["report"]).read_text(encoding="utf-8")
    assert "<script>alert" not in report


def test_the_demo_leaves_other_folders_alone(project: Project) -> None:
    project.write("d/mine.txt", "precious")
    result = project.onex("demo", "d", "--format", "json")
    assert (result.code, json.loads(result.stdout)["error"]["code"]) == (2, "USE003")
    assert [path.name for path in (project.root / "d").iterdir()] == ["mine.txt"]
    missing = project.onex("demo", "e", "-i", "root=/no/such/folder")
    assert missing.code == 2
    assert not (project.root / "e").exists()


def test_the_standard_library_is_where_python_says() -> None:
    assert (Path(sysconfig.get_path("stdlib")) / "os.py").is_file()
