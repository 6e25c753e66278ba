"""Full disks, folders that are gone, files that are not files: coded errors, and nothing half made."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from onex import Registry
from tests.conftest import Project


def in_shell(project: Project, script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "-c", script], cwd=project.root, env=project.environment,
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip


def onex(project: Project, *arguments: str) -> str:
    return shlex.join(map(str, project.command(*arguments)))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_events_on_a_full_disk_change_nothing_of_the_run(project: Project) -> None:
    project.add("a")
    project.scan()
    done = project.onex("run", "a", "--events", "/dev/full", "--format", "json")
    assert done.json["status"] == "succeeded"


def test_a_node_that_cannot_be_written_leaves_nothing(project: Project) -> None:
    refused = in_shell(project, f"ulimit -f 0; {onex(project, 'new', 'fresh')}")
    assert refused.returncode == 2
    assert "ONEX002" not in refused.stderr
    assert not (project.nodes / "fresh").exists()
    assert project.onex("new", "fresh").code == 0


@pytest.mark.parametrize("command", [["new", "x"], ["init", "y"], ["validate", "."], ["scan"]])
def test_a_working_folder_that_is_gone(project: Project, command: list[str]) -> None:
    gone = f"mkdir gone && cd gone && rmdir ../gone && {onex(project, *command)}"
    done = in_shell(project, gone)
    assert done.returncode == 2
    assert "ONEX002" not in done.stderr


def test_a_state_elsewhere_can_be_used_from_a_folder_that_is_gone(project: Project) -> None:
    project.add("a")
    project.scan()
    del project.environment["ONEX_HOME"]
    listed = in_shell(
        project,
        "mkdir gone && cd gone && rmdir ../gone &&"
        f" {onex(project, 'list', '--home', str(project.home.absolute()))}",
    )
    assert listed.returncode == 0, listed.stderr
    assert "tool://test.a" in listed.stdout


def test_a_pipe_is_not_stamped(project: Project) -> None:
    os.mkfifo(project.root / "pipe.py")
    done = project.onex("stamp", "pipe.py", "--format", "json", timeout=60)
    assert done.json["error"]["code"] == "USE002"


@pytest.mark.parametrize("kind", ["folder", "dangling"])
def test_a_lock_that_is_no_file_is_no_absent_lock(project: Project, kind: str) -> None:
    project.add("a")
    project.write("onex.toml", '[[sources]]\nname = "nodes"\npath = "nodes"\n')
    project.workflow({"s": {"node": "test.a"}})
    if kind == "folder":
        (project.root / "onex.lock").mkdir()
    else:
        (project.root / "onex.lock").symlink_to("nowhere")
    (workflow,) = project.root.glob("*.workflow.yaml")
    done = project.onex("run", workflow.name, "--format", "json")
    assert done.json["error"]["code"] == "CFG001"


def test_what_is_wrong_with_the_node_that_was_asked_for_is_printed(project: Project) -> None:
    project.write("onex.toml", '[[sources]]\nname = "nodes"\npath = "nodes"\n')
    project.add("wanted", version="one")
    for number in range(5):
        project.write(f"nodes/other{number}/node.onex.yaml", "name: [\n")
    done = project.onex("run", "test.wanted")
    assert "error MAN004" in done.stderr
    assert "'one' is not a semantic version" in done.stderr
    assert "5 errors in other manifests" in done.stderr
    assert "DOC004" not in done.stderr


def test_a_dependency_by_a_name_of_several_nodes_is_told_as_that(project: Project) -> None:
    project.add("dep", folder="dep", namespace="team.dep")
    project.add("parse", dependencies=["dep@^1"])
    project.scan()
    assert project.onex("resolve", "parse").code == 0
    project.add("new", namespace="dep")
    project.scan()
    refused = project.onex("resolve", "parse", "--format", "json")
    assert (refused.code, refused.json["error"]["code"]) == (3, "RES004")
    assert "tool://team.dep" in refused.json["error"]["hint"]
    assert "tool://dep" in refused.json["error"]["hint"]


def test_a_version_that_no_constraint_can_name_is_refused(project: Project) -> None:
    project.add("a", version="9007199254740992.0.0")
    body = project.onex("scan", "nodes", "--format", "json").json
    assert [problem["code"] for problem in body["problems"]] == ["MAN004"]


def test_forgetting_a_source_leaves_what_another_gives(project: Project) -> None:
    project.write("onex.toml", '[[sources]]\nname = "nodes"\npath = "nodes"\n')
    project.add("a", folder="part/a")
    project.onex("scan")
    project.onex("scan", "nodes/part")
    assert project.onex("sources", "forget", "nodes/part", "--format", "json").json["nodes"] == 0
    assert project.onex("list", "--format", "json").json["total"] == 1


def test_a_source_that_leaves_a_folder_out_takes_nothing_from_another(project: Project) -> None:
    project.write(
        "onex.toml",
        '[[sources]]\nname = "all"\npath = "nodes"\n[[sources]]\nname = "part"\npath = "nodes/part"\n',
    )
    project.add("a", folder="part/a")
    project.onex("scan")
    project.write("nodes/.onexignore", "all:\n  patterns: [part/]\n")
    for _ in range(2):
        body = project.onex("scan", "--format", "json").json
        assert body["nodes"] == 1


def test_odd_ignore_files_cost_no_more_than_a_line(project: Project) -> None:
    (project.nodes / ".gitignore").write_bytes(b"# caf\xe9\nsecret/\n" + b"*a" * 40 + b"*b\n")
    project.add("a", folder="a" * 60)
    project.add("b", folder="secret")
    project.add("c", folder="hidden")
    project.write("nodes/.onexignore", "registry:\n  patterns: hidden/\n")
    body = project.onex("scan", "nodes", "--format", "json", timeout=60).json
    assert (body["nodes"], body["problems"]) == (1, [])
    project.write("nodes/.onexignore", "registry:\n  patterns: [1]\n")
    body = project.onex("scan", "nodes", "--format", "json").json
    assert [problem["code"] for problem in body["problems"]] == ["DSC008"]


def test_removing_a_source_keeps_the_comments_of_the_next_table(project: Project) -> None:
    file = project.write(
        "onex.toml",
        '# top\n[[sources]]\nname = "a"\npath = "a"\n# of a\n\n# === policy ===\n[policy]\n'
        'trust_policy = "quarantine"\n',
    )
    (project.root / "a").mkdir()
    assert project.onex("sources", "remove", "a").code == 0
    assert file.read_text() == '# top\n# === policy ===\n[policy]\ntrust_policy = "quarantine"\n'


def test_a_source_is_added_to_sources_in_one_line(project: Project) -> None:
    file = project.write("onex.toml", 'sources = [{name = "b", path = "b"}]\n')
    assert project.onex("sources", "add", "c").code == 0
    assert "[[" not in file.read_text()
    listed = project.onex("sources", "list", "--format", "json").json["sources"]
    assert [source["name"] for source in listed] == ["b", "c"]
    assert project.onex("sources", "remove", "b").code == 0
    listed = project.onex("sources", "list", "--format", "json").json["sources"]
    assert [source["name"] for source in listed] == ["c"]


@pytest.mark.parametrize("front", ["+++\ntitle = 1\n+++\n", "---\ntitle: 1\n---\n"])
def test_front_matter_stays_in_front(project: Project, front: str) -> None:
    file = project.write("page.md", f"{front}text\n")
    assert project.onex("stamp", "page.md").code == 0
    assert file.read_text().startswith(front)


def test_a_declaration_stays_in_front(project: Project) -> None:
    file = project.write("page.html", "<!DOCTYPE html>\n<p>text</p>\n")
    assert project.onex("stamp", "page.html").code == 0
    assert file.read_text().startswith("<!DOCTYPE html>\n")


def test_a_locked_run_names_the_files_that_changed(project: Project) -> None:
    project.write("onex.toml", '[[sources]]\nname = "nodes"\npath = "nodes"\n')
    manifest = project.add("a", folder="a")
    workflow = project.workflow({"s": {"node": "test.a"}})
    project.write("nodes/a/.gitignore", "scratch\n")
    project.onex("lock")
    assert project.onex("run", workflow).code == 0
    (manifest.parent / "node.py").write_text("def execute(context, **inputs):\n    return 2\n")
    project.write("nodes/a/new.py", "")
    project.write("nodes/a/scratch", "")
    refused = project.onex("run", workflow, "--format", "json").json["error"]
    assert refused["code"] == "SEC002"
    assert refused["changes"] == ["new new.py", "changed node.py"]
    assert "changed node.py" in refused["message"]


def test_show_says_which_versions_are_yanked(project: Project) -> None:
    project.add("a")
    project.add("a", version="1.1.0")
    project.scan()
    project.onex("yank", "test.a@1.1.0")
    assert "1.1.0 (draft, yanked), 1.0.0" in project.onex("show", "test.a").stdout


@pytest.mark.parametrize("command", [["tree"], ["outdated"], ["graph"], ["why", "test.p"]])
def test_workflows_that_do_not_go_together_are_asked_about_one_by_one(
    project: Project, command: list[str]
) -> None:
    project.write("onex.toml", '[[sources]]\nname = "nodes"\npath = "nodes"\n')
    project.add("p", version="1.0.0")
    project.add("p", version="2.0.0")
    for number, asked in enumerate(["^1", "^2"]):
        text = f"name: w{number}\nsteps:\n  s:\n    node: tool://test.p@{asked}\n"
        project.write(f"w{number}.workflow.yaml", text)
    assert project.onex("lock").code == 0
    refused = project.onex(*command, "--format", "json").json["error"]
    assert refused["code"] == "USE001"
    assert "w0.workflow.yaml, w1.workflow.yaml" in refused["hint"]
    one = ["--in", "w0.workflow.yaml"] if command[0] == "why" else ["w0.workflow.yaml"]
    assert project.onex(*command, *one).code == 0


def test_a_name_of_several_nodes_is_located_in_the_workflow(project: Project) -> None:
    project.write("onex.toml", '[[sources]]\nname = "nodes"\npath = "nodes"\n')
    project.add("parse", namespace="team.parse", folder="one")
    project.add("parse", namespace="other.parse", folder="two")
    project.write("w.workflow.yaml", "name: w\nsteps:\n  s:\n    node: parse@^1\n")
    for command in (["lock"], ["run", "w.workflow.yaml"]):
        refused = project.onex(*command, "--format", "json").json["error"]
        assert (refused["code"], refused["line"]) == ("RES004", 4)
        assert refused["path"].endswith("w.workflow.yaml")


def test_the_source_that_was_named_is_removed_and_no_other(project: Project) -> None:
    file = project.write(
        "onex.toml",
        '[[sources]]\npath = "lib"\n\n[[sources]]\nkind = "package"\nname = "work"\n\n'
        '[[sources]]\nkind = "package"\n',
    )
    assert project.onex("sources", "remove", "package").code == 0
    assert file.read_text() == (
        '[[sources]]\npath = "lib"\n\n[[sources]]\nkind = "package"\nname = "work"\n\n'
    )


@pytest.mark.parametrize("digest", ["sha256:/", "sha256:../..", "sha256:" + "A" * 64, "md5:0"])
def test_a_lock_leads_to_no_folder_of_the_machine(project: Project, digest: str) -> None:
    project.write("onex.toml", '[[sources]]\nname = "nodes"\npath = "nodes"\n')
    project.add("a")
    workflow = project.workflow({"s": {"node": "test.a"}})
    project.onex("lock")
    lock = project.root / "onex.lock"
    text = lock.read_text()
    start = text.index('digest = "') + len('digest = "')
    lock.write_text(text[:start] + digest + text[text.index('"', start) :])
    refused = project.onex("run", workflow, "--format", "json", timeout=60).json["error"]
    assert (refused["code"], refused["changes"]) == ("SEC002", [])


def test_errors_that_cannot_be_printed_keep_their_exit_code(project: Project) -> None:
    for arguments, code in ((["show", "nothing"], 3), (["nosuch"], 2)):
        done = in_shell(project, f"{onex(project, *arguments)} 2>/dev/full")
        assert done.returncode == code


def test_two_new_nodes_of_one_name_do_not_undo_each_other(project: Project) -> None:
    (project.nodes / "fresh").mkdir()
    assert project.onex("new", "fresh", "--format", "json").json["error"]["code"] == "USE003"
    assert (project.nodes / "fresh").is_dir()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
@pytest.mark.skipif(sys.platform == "darwin", reason="names must be UTF-8 on macOS")
def test_a_project_whose_name_is_not_utf8(
    project: Project, kind: str, request: pytest.FixtureRequest
) -> None:
    odd = Project(project.root / os.fsdecode(b"pr\xffoj"))
    odd.nodes.mkdir(parents=True)
    del odd.environment["ONEX_HOME"]
    if kind == "postgresql":
        odd.environment["ONEX_STORAGE"] = request.getfixturevalue("postgres")
    odd.write("onex.toml", '[[sources]]\nname = "n"\npath = "nodes"\n')
    odd.add("a", "def execute(context):\n    return 1\n")
    odd.add("a", "def execute(context):\n    return 'other'\n", folder="copy")
    odd.add("b", "def execute(context, *, f):\n    return open(f).read()\n",
            inputs={"f": {"type": "string", "format": "path"}})  # fmt: skip

    def logged() -> int:
        with Registry.open(start=odd.root, environment=odd.environment) as registry:
            return list(registry.storage.events())[-1].serial

    first = odd.onex("scan", "--format", "json")
    assert [p["code"] for p in first.json["problems"]] == ["DSC002"], first.stderr
    assert odd.onex("scan", odd.nodes, "--format", "json").json["nodes"] == 2
    before = logged()
    for arguments in ((), (odd.nodes,), ()):
        assert odd.onex("scan", *arguments).code in (0, 4)
    assert logged() == before
    assert odd.onex("run", "a", "--format", "json").code == 0
    assert odd.onex("storage", "check").code == 0
    assert odd.onex("storage", "rebuild").code == 0
    assert odd.onex("storage", "check").code == 0
    shown = odd.onex("show", "a", "--format", "json").json
    assert len(shown["origins"]) == 2
    odd.write("data.txt", "x")
    refused = odd.onex("run", "b", "-i", "f=data.txt", "--format", "json")
    assert (refused.code, refused.json["error"]["code"]) == (2, "WFL010")
    backup = project.root / "backup.db"
    assert odd.onex("storage", "backup", backup).code == 0
    shutil.rmtree(odd.nodes / "a-1.0.0")
    odd.onex("scan")
    odd.onex("sources", "forget", odd.nodes)
    assert odd.onex("run", "a", "--format", "json").json["outputs"] == {"result": "other"}
