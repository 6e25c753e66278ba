"""What a node's code imports from its own folder."""

from __future__ import annotations

import pytest

from tests.conftest import Project

LEVELS = ["inline", "process", "strict"]


def run(project: Project, node: str, isolation: str) -> object:
    project.scan()
    done = project.onex("run", f"test.{node}", "--isolation", isolation, "--format", "json")
    assert done.code == 0, done.stdout
    return done.json["outputs"]["result"]


@pytest.mark.parametrize("isolation", LEVELS)
def test_modules_beside_the_code_by_both_kinds_of_import(project: Project, isolation: str) -> None:
    code = (
        "import beside\nfrom . import beside as same\nfrom .beside import VALUE\n"
        "def execute(context):\n    return [beside.VALUE, same.VALUE, VALUE]\n"
    )
    project.add("a", folder="a", code=code)
    project.write("nodes/a/beside.py", "VALUE = 5\n")
    assert run(project, "a", isolation) == [5, 5, 5]


@pytest.mark.parametrize("isolation", LEVELS)
def test_packages_above_and_below_the_code(project: Project, isolation: str) -> None:
    code = (
        "from ...library.tools import VALUE\nfrom . import NAME\nfrom .inner.more import MORE\n"
        "def execute(context):\n"
        "    from ...library import tools\n"
        "    return [VALUE, NAME, MORE, tools.VALUE]\n"
    )
    manifest = project.add("a", folder="a", code=code)
    manifest.write_text(manifest.read_text().replace("python@node.py", "python@src/deep/node.py"))
    folder = project.nodes / "a"
    (folder / "src" / "deep").mkdir(parents=True)
    (folder / "node.py").rename(folder / "src" / "deep" / "node.py")
    project.write("nodes/a/library/tools.py", "VALUE = 1\n")
    project.write("nodes/a/src/deep/__init__.py", "from .inner.more import MORE\nNAME = MORE + 1\n")
    project.write("nodes/a/src/deep/inner/more.py", "MORE = 2\n")
    assert run(project, "a", isolation) == [1, 3, 2, 1]


@pytest.mark.parametrize("isolation", LEVELS)
def test_a_node_that_is_a_package(project: Project, isolation: str) -> None:
    manifest = project.add("a", folder="a")
    manifest.write_text(manifest.read_text().replace("python@node.py", "python@__init__.py"))
    project.write(
        "nodes/a/__init__.py", "from .part import VALUE\ndef execute(context):\n    return VALUE\n"
    )
    project.write("nodes/a/part.py", "VALUE = 8\n")
    assert run(project, "a", isolation) == 8


@pytest.mark.parametrize("isolation", LEVELS)
def test_a_package_that_cannot_be_imported_costs_only_what_goes_through_it(
    project: Project, isolation: str
) -> None:
    project.add("a", folder="a", code="def execute(context):\n    return 1\n")
    project.write("nodes/a/__init__.py", "import no_such_module_anywhere\n")
    assert run(project, "a", isolation) == 1


def test_a_module_beside_the_code_during_a_call(project: Project) -> None:
    project.add(
        "a", folder="a", code="def execute(context):\n    import beside\n    return beside.VALUE\n"
    )
    project.write("nodes/a/beside.py", "VALUE = 6\n")
    assert run(project, "a", "process") == 6


def test_the_folder_above_the_node_is_out_of_reach(project: Project) -> None:
    project.add(
        "a",
        folder="a",
        code="from ..outside import VALUE\ndef execute(context):\n    return VALUE\n",
    )
    project.write("nodes/outside.py", "VALUE = 6\n")
    project.scan()
    done = project.onex("run", "test.a", "--format", "json")
    assert done.code != 0
    assert "relative import" in done.stdout
