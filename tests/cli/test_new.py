"""``onex new``: from nothing, from a folder, and from a function that is there."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Project

CLEAN = '''
from pathlib import Path
from typing import Annotated, Literal, TypedDict

class Cleaned(TypedDict):
    lines: int
    file: Path

def clean(path: Path, mode: Literal["keep", "drop"] = "drop", top: Annotated[int, "How many."] = 2) -> Cleaned:
    """Leave empty lines out.

    Args:
        path: the file.
    """
    lines = [line for line in path.read_text().splitlines() if line or mode == "keep"][:top]
    out = Path("clean.txt")
    out.write_text("\\n".join(lines))
    return {"lines": len(lines), "file": out}
'''


@pytest.fixture
def project(make_project: Callable[[str], Project]) -> Project:
    project = make_project("p")
    (project.root / "onex.toml").unlink()
    project.nodes.rmdir()
    assert project.onex_here("init").code == 0
    return project


@pytest.mark.parametrize("kind", ["python", "cli"])
def test_a_new_node_runs_and_its_example_and_tests_pass(project: Project, kind: str) -> None:
    made = project.onex_here("new", "greeter", "--type", kind, "--json")
    assert made.code == 0
    assert "tests/test_greeter.py" in made.json["files"]
    run = project.onex_here("run", "greeter", "-i", "who=Ada", "--json")
    assert run.json["outputs"] == {"result": {"greeting": "Hello, Ada!"}}
    flow = project.onex_here("run", "greeter.workflow.yaml", "--json")
    assert flow.json["outputs"] == {"greeting": "Hello, world!"}
    assert project.onex_here("test", "greeter").code == 0
    assert project.onex_here("validate", ".").code == 0


def test_namespace_and_kind_are_chosen(project: Project) -> None:
    made = project.onex_here(
        "new", "judge", "--meta-type", "validator", "--namespace", "acme.judge", "--json"
    )
    assert made.json["node"] == "validator://acme.judge"
    assert project.onex_here("test", "validator://acme.judge").code == 0


def test_nothing_half_made_is_left(project: Project) -> None:
    project.write("tests/test_greeter.py", "# mine\n")
    refused = project.onex_here("new", "greeter", "--json")
    assert (refused.code, refused.json["error"]["code"]) == (2, "USE003")
    assert not (project.root / "nodes" / "greeter").exists()
    assert (project.root / "tests" / "test_greeter.py").read_text() == "# mine\n"
    assert project.onex_here("new", "Greeter").code == 2
    assert project.onex_here("new").code == 2


# From a function


def test_a_function_becomes_a_node(project: Project) -> None:
    project.write("tools/clean.py", CLEAN)
    made = project.onex_here("new", "--from", "tools/clean.py:clean", "--json")
    assert made.json["files"] == ["tools/clean.onex.yaml"]
    assert project.onex_here("register", "tools/clean.onex.yaml").code == 0
    project.write("text.txt", "a\n\nb\nc\n")
    done = project.onex_here("run", "clean", "-i", "path=text.txt", "--json")
    result = done.json["outputs"]["result"]
    assert result["lines"] == 2
    assert Path(result["file"]["path"]).read_text() == "a\nb"
    refused = project.onex_here("run", "clean", "-i", "path=text.txt", "-i", "mode=x", "--json")
    assert refused.code != 0
    shown = project.onex_here("show", "clean", "--json").json
    assert shown["description"] == "Leave empty lines out."
    assert shown["inputs"]["path"] == {
        "type": "string", "format": "path", "description": "the file.",
    }  # fmt: skip


def test_drift_between_code_and_manifest_is_told(project: Project) -> None:
    file = project.write("tools/clean.py", CLEAN)
    command = ("new", "--from", "tools/clean.py:clean")
    assert project.onex_here(*command, "--check").code == 2
    assert project.onex_here(*command).code == 0
    assert project.onex_here(*command).code == 2
    assert project.onex_here(*command, "--check").code == 0
    # What a manifest says beyond the code is its own.
    manifest = project.root / "tools" / "clean.onex.yaml"
    text = manifest.read_text()
    manifest.write_text(
        text.replace("description: How many.", "description: Other words.\n    minimum: 1")
    )
    assert project.onex_here(*command, "--check").code == 0
    for before, after in (
        ('mode: Literal["keep", "drop"]', 'mode: Literal["keep", "drop", "sort"]'),
        ("top: Annotated[int", "top: Annotated[str"),
        ('"How many."] = 2', '"How many."] = 3'),
        ("    lines: int\n", "    lines: str\n"),
        ("    lines: int\n", "    lines: int\n    more: int\n"),
        (") -> Cleaned", ", extra: int = 1) -> Cleaned"),
        ("path: Path, ", ""),
    ):
        assert before in CLEAN
        file.write_text(CLEAN.replace(before, after))
        told = project.onex_here(*command, "--check", "--json")
        assert (told.code, told.json["current"]) == (4, False), before
        assert any(line.startswith("+") for line in told.json["difference"])


def test_a_manifest_takes_over_what_the_code_says(project: Project) -> None:
    file = project.write("tools/clean.py", CLEAN)
    command = ("new", "--from", "tools/clean.py:clean")
    assert project.onex_here(*command, "--update").code == 2
    assert project.onex_here(*command).code == 0
    manifest = project.root / "tools" / "clean.onex.yaml"
    text = manifest.read_text()
    head = text.replace("lifecycle: draft", "lifecycle: draft  # for now").replace(
        "description: How many.", "description: Mine.\n    minimum: 1"
    )
    manifest.write_text(head + "tags2: 1\n")
    assert project.onex_here(*command, "--update", "--json").json["changed"] in (True, False)
    file.write_text(
        CLEAN.replace("top: Annotated[int", "top: Annotated[float").replace(
            "lines: int", "lines: str"
        )
    )
    assert project.onex_here(*command, "--check").code == 4
    assert "MAN019" in project.onex_here("validate", "tools").stderr
    assert project.onex_here(*command, "--update", "--json").json["changed"] is True
    assert project.onex_here(*command, "--check").code == 0
    assert "MAN019" not in project.onex_here("validate", "tools").stderr
    after = manifest.read_text()
    for kept in (
        "lifecycle: draft  # for now",
        "minimum: 1",
        "tags2: 1",
        "# examples:",
        "type: number",
    ):
        assert kept in after
    uuid = next(line for line in text.splitlines() if line.startswith("uuid"))
    assert uuid in after


def test_a_second_node_in_a_folder_is_warned_of(project: Project) -> None:
    project.write("tools/helper.py", "def h(): ...\n")
    project.write("tools/up.py", "from helper import h\ndef up(text: str) -> str: ...\n")
    project.write("tools/lo.py", "def lo(text: str) -> str: ...\n")
    assert "helper" not in project.onex_here("new", "--from", "tools/up.py:up").stderr
    assert "up.py imports helper" in project.onex_here("new", "--from", "tools/lo.py:lo").stderr


@pytest.mark.parametrize("place", ["tools/clean.py", "clean.py:nothing", "tools/clean.txt:f", ":f"])
def test_what_names_no_function_is_refused(project: Project, place: str) -> None:
    project.write("clean.py", CLEAN)
    refused = project.onex_here("new", "--from", place, "--json")
    assert (refused.code, refused.json["error"]["code"]) == (2, "USE001")
    assert refused.json["error"]["hint"]


def test_odd_texts_in_code_are_written_as_they_are(project: Project) -> None:
    project.write(
        "tools/odd.py",
        "def odd(a: str = 'no', b: str = '1.10', c: str = '${{ x }}', d: str = '# \\u2028 : {',"
        " e: str = '', f: float = 1e300, g: str = 'null'):\n    '''Say: no # \"it\" {NAME}'''\n"
        "    return [a, b, c, d, e, f, g]\n",
    )
    done = project.onex_here("new", "--from", "tools/odd.py:odd", "--json")
    assert done.code == 0, done.stdout
    project.onex_here("register", "tools/odd.onex.yaml")
    done = project.onex_here("run", "odd", "--json")
    result = done.json["outputs"]["result"]
    assert result == ["no", "1.10", "${{ x }}", "# \u2028 : {", "", 1e300, "null"]


def test_what_to_do_next_depends_on_where_it_is(project: Project) -> None:
    project.write("nodes/in/one.py", "def one(): ...\n")
    project.write("tools/two.py", "def two(): ...\n")
    assert (
        "onex run one runs it" in project.onex_here("new", "--from", "nodes/in/one.py:one").stdout
    )
    told = project.onex_here("new", "--from", "tools/two.py:two").stdout
    assert "onex sources add tools" in told
    (project.root / "onex.toml").unlink()
    project.write("other/three.py", "def three(): ...\n")
    told = project.onex_here("new", "--from", "other/three.py:three").stdout
    assert "onex register other/three.onex.yaml" in told


# From a folder


def test_a_template_of_ones_own_is_filled_in(project: Project) -> None:
    home = project.root / "mine"
    project.write(
        "mine/node.onex.yaml",
        'name: {NODE_NAME}\nnamespace: {NAMESPACE}\nversion: "1.0.0"\nmeta_type: {NODE_TYPE}\n'
        "uuid: TEMPLATE-0000\nlifecycle: template\nauthor: {AUTHOR}\nentrypoint: python@node.py\n",
    )
    project.write("mine/node.py", "def execute(context):\n    return '{NODE_NAME} {OTHER} {x}'\n")
    (home / "logo.bin").write_bytes(b"\xff{NODE_NAME}")
    (home / "run.sh").write_text("#!/bin/sh\n")
    (home / "run.sh").chmod(0o755)
    made = project.onex_here("new", "thing", "--template", home, "--json")
    assert made.code == 0, made.stdout
    assert sorted(made.json["files"]) == [
        f"nodes/thing/{name}" for name in ("logo.bin", "node.onex.yaml", "node.py", "run.sh")
    ]
    assert (project.root / "nodes/thing/logo.bin").read_bytes() == b"\xff{NODE_NAME}"
    assert os.access(project.root / "nodes/thing/run.sh", os.X_OK)
    run = project.onex_here("run", "thing", "--json")
    assert run.json["outputs"] == {"result": "thing {OTHER} {x}"}


def test_a_template_may_be_laid_out_as_a_project(project: Project) -> None:
    manifest = json.dumps({
        "name": "{NODE_NAME}", "namespace": "{NAMESPACE}", "version": "1.0.0",
        "meta_type": "tool", "lifecycle": "draft", "entrypoint": "python@node.py",
    })  # fmt: skip
    project.write("mine/nodes/{NODE_NAME}/node.onex.yaml", manifest)
    project.write("mine/docs/{NODE_NAME}.md", "# {NODE_NAME}\n")
    made = project.onex_here("new", "thing", "--template", "mine", "--json")
    assert made.json["files"] == ["docs/thing.md", "nodes/thing/node.onex.yaml"]
    assert (project.root / "docs" / "thing.md").read_text() == "# thing\n"


def test_what_is_no_template_is_refused(project: Project) -> None:
    project.write("empty/readme.md", "x")
    assert project.onex_here("new", "thing", "--template", "empty").code == 2
    assert project.onex_here("new", "thing", "--template", "missing").code == 2
    (project.root / "empty" / "x.onex.yaml").symlink_to("/etc/passwd")
    assert project.onex_here("new", "thing", "--template", "empty").code == 2
