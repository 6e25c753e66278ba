"""Designation: what is handed to a node it may read in that call, and nothing beside it."""

from __future__ import annotations

from pathlib import Path

import pytest

from onex.sandbox.availability import why_not_strict
from tests.conftest import Project

pytestmark = pytest.mark.skipif(
    why_not_strict() is not None, reason=f"NOTHING IS CONFINED HERE: {why_not_strict()}"
)

PATH = {"type": "string", "format": "path"}
READ = "def execute(context, *, file):\n    return open(file).read()\n"
LIST = "import os\ndef execute(context, *, folder):\n    return sorted(os.path.join(folder, n) for n in os.listdir(folder))\n"
TRUSTED = [True, False]


def make(project: Project, trusted: bool) -> Path:
    if not trusted:
        project.write("onex.toml", '[[sources]]\npath = "nodes"\ntrusted = false\n')
    project.write("data/a.txt", "a")
    project.write("data/b.txt", "b")
    project.write("other.txt", "other")
    project.add("read", READ, inputs={"file": PATH})
    project.add("list", LIST, inputs={"folder": PATH})
    if trusted:
        project.scan()
    return project.root / "data"


def run(project: Project, *arguments: str | Path) -> dict:
    done = project.onex_here("run", *arguments, "--format", "json")
    return done.json


@pytest.mark.parametrize("trusted", TRUSTED)
def test_a_file_that_is_handed_over_is_read_and_nothing_beside_it(
    project: Project, trusted: bool
) -> None:
    data = make(project, trusted)
    project.add(
        "peek", "import os\ndef execute(context, *, file, beside):\n    open(file).read()\n    return open(beside).read()\n",
        inputs={"file": PATH, "beside": {"type": "string"}},
    )  # fmt: skip
    project.add("plain", READ, inputs={"file": {"type": "string"}})
    if trusted:
        project.scan()
    assert run(project, "read", "-i", f"file={data}/a.txt")["outputs"] == {"result": "a"}
    link = project.root / "link"
    link.symlink_to(data / "a.txt")
    assert run(project, "read", "-i", f"file={data}/b.txt")["outputs"] == {"result": "b"}
    for node, inputs in (
        ("peek", (f"file={data}/a.txt", f"beside={data}/b.txt")),
        ("plain", (f"file={data}/a.txt",)),
    ):
        arguments = [part for text in inputs for part in ("-i", text)]
        failed = run(project, node, *arguments)["steps"]["node"]
        assert failed["error"]["code"] == "EXE001"
        assert "file.read:" in failed["error"]["hint"]


@pytest.mark.parametrize("trusted", TRUSTED)
def test_a_step_hands_on_what_it_holds_and_nothing_else(project: Project, trusted: bool) -> None:
    data = make(project, trusted)
    secret = project.root / "other.txt"
    project.add(
        "invent",
        f"def execute(context, *, folder):\n    return {str(secret)!r}\n",
        inputs={"folder": PATH},
    )
    if trusted:
        project.scan()
    project.workflow({
        "list": {"node": "list", "with": {"folder": str(data)}},
        "read": {"node": "read", "foreach": "${{ steps.list }}", "with": {"file": "${{ item }}"}},
        "made": {"node": "invent", "with": {"folder": str(data)}},
        "wrong": {"node": "read", "with": {"file": "${{ steps.made }}"}},
    }, policy={"fail_fast": False})  # fmt: skip
    done = run(project, "test.workflow.yaml")
    assert [done["steps"][f"read[{n}]"]["status"] for n in (0, 1)] == ["succeeded"] * 2
    error = done["steps"]["wrong"]["error"]
    assert error["code"] == "SEC008"
    assert "made by the step made" in error["message"]
    assert f"file.read:{secret}" in error["hint"]


def test_an_input_that_says_so_may_be_written_to(project: Project) -> None:
    data = make(project, trusted=True)
    write = "def execute(context, *, folder):\n    open(folder + '/new', 'w').write('x')\n    return 1\n"
    project.add("write", write, inputs={"folder": PATH | {"x-onex-access": "write"}})
    project.add("try", write, inputs={"folder": PATH})
    project.scan()
    assert run(project, "try", "-i", f"folder={data}")["status"] == "failed"
    assert run(project, "write", "-i", f"folder={data}")["status"] == "succeeded"
    assert (data / "new").read_text() == "x"


@pytest.mark.parametrize("trusted", TRUSTED)
def test_a_folder_that_holds_the_registry_shows_all_but_that(
    project: Project, trusted: bool
) -> None:
    make(project, trusted)
    reading = (
        "import os\ndef execute(context, *, folder):\n    found = []\n"
        "    for name in ('/data/a.txt', '/state/registry.db', '/link/registry.db'):\n"
        "        try:\n            found.append(bool(open(folder + name, 'rb').read(1)))\n"
        "        except OSError:\n            found.append('refused')\n    return found\n"
    )
    project.add("look", reading, inputs={"folder": PATH})
    (project.root / "link").symlink_to(project.home)
    if trusted:
        project.scan()
    done = run(project, "look", "-i", f"folder={project.root}")
    assert done["outputs"] == {"result": [True, "refused", "refused"]}


def test_artifacts_are_readable_where_they_are_passed_and_nowhere_else(project: Project) -> None:
    make(project, trusted=True)
    project.add(
        "make",
        "def execute(context):\n    (context.workdir / 'f').write_text('made')\n    return context.artifact('f')\n",
    )
    project.add("text", READ)
    project.add(
        "steal", "import os\ndef execute(context, *, folder):\n    return os.listdir(folder)\n"
    )
    project.scan()
    project.workflow({
        "make": {"node": "make"},
        "first": {"node": "text", "with": {"file": "${{ steps.make }}"}},
        "second": {"node": "read", "with": {"file": "${{ steps.make }}"}},
        "steal": {"node": "steal", "with": {"folder": str(project.home / "artifacts")}, "needs": ["make"]},
    }, policy={"fail_fast": False}, outputs={"first": "${{ steps.first }}"})  # fmt: skip
    steps = run(project, "test.workflow.yaml")["steps"]
    assert {name: step["status"] for name, step in steps.items()} == {
        "make": "succeeded", "first": "succeeded", "second": "succeeded", "steal": "failed",
    }  # fmt: skip


def test_a_file_that_is_not_there_yet_may_be_written(project: Project) -> None:
    (project.root / "out").mkdir()
    granted, handed = project.root / "out" / "granted", project.root / "out" / "handed"
    write = "def execute(context, *, file):\n    open(file, 'w').write('x')\n    return 1\n"
    project.add(
        "granted",
        write,
        inputs={"file": {"type": "string"}},
        capabilities=[f"file.write:{granted}"],
    )
    project.add("handed", write, inputs={"file": PATH | {"x-onex-access": "write"}})
    project.scan()
    for name, path in (("granted", granted), ("handed", handed)):
        assert run(project, name, "-i", f"file={path}")["status"] == "succeeded"
        assert path.read_text() == "x"


def test_a_step_may_hand_on_what_its_manifest_was_granted(project: Project) -> None:
    data = make(project, trusted=True)
    project.add(
        "find",
        f"def execute(context):\n    return {str(data / 'a.txt')!r}\n",
        capabilities=[f"file.read:{data}/**"],
    )
    project.scan()
    project.workflow({
        "find": {"node": "find"}, "read": {"node": "read", "with": {"file": "${{ steps.find }}"}},
    }, outputs={"text": "${{ steps.read }}"})  # fmt: skip
    assert run(project, "test.workflow.yaml")["outputs"] == {"text": "a"}


@pytest.mark.parametrize("trusted", TRUSTED)
def test_links_that_lead_to_what_is_handed_over_are_other_names_of_it(
    project: Project, trusted: bool
) -> None:
    data = make(project, trusted)
    (project.root / "link").symlink_to(data)
    link = project.root / "link"
    assert run(project, "read", "-i", f"file={link}/a.txt")["outputs"] == {"result": "a"}
    listed = run(project, "list", "-i", f"folder={link}")["outputs"]["result"]
    assert [Path(name).name for name in listed] == ["a.txt", "b.txt"]


@pytest.mark.parametrize("trusted", TRUSTED)
def test_the_folder_of_the_registry_may_be_behind_a_link(project: Project, trusted: bool) -> None:
    make(project, trusted)
    (project.root / "real").mkdir()
    (project.root / "state-link").symlink_to(project.root / "real")
    project.environment["ONEX_HOME"] = str(project.root / "state-link")
    code = "import os\ndef execute(context):\n    p = context.workdir / 'f'\n    p.write_text('x')\n    p.chmod(0o600)\n    return context.artifact(p)\n"
    project.add("make", code)
    if trusted:
        project.onex_here("scan", "nodes")
    project.workflow({
        "make": {"node": "make"}, "read": {"node": "read", "with": {"file": "${{ steps.make }}"}},
    }, outputs={"text": "${{ steps.read }}"})  # fmt: skip
    assert run(project, "test.workflow.yaml")["outputs"] == {"text": "x"}
