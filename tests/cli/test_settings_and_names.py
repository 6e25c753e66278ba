"""``config``, ``register``, ``validate`` with a registry, completion, and names that are slips."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from onex import RunFailedError
from onex.cli.command_table import COMMANDS, command_names, target_of
from onex.cli.main import onex
from tests.conftest import Project


@pytest.fixture
def project(make_project: Callable[[str], Project]) -> Project:
    project = make_project("p")
    project.write("onex.toml", '[[sources]]\nname = "nodes"\npath = "nodes"\n')
    project.add("echo")
    return project


def settings(project: Project, *options: str) -> dict[str, tuple[object, str, list[str]]]:
    found = project.onex_here("config", "show", "--json", *options).json["settings"]
    return {one["key"]: (one["value"], one["origin"], one["hidden"]) for one in found}


# Settings and where they come from


def test_who_sets_what_is_shown(project: Project) -> None:
    file = str(project.root / "onex.toml")
    project.write("onex.toml", 'engine = "local"\n[limits]\ncpu = 10\nmemory = "1 GiB"\n')
    folder = Path(project.environment["ONEX_SETTINGS_FOLDER"])
    folder.mkdir(parents=True)
    user_file = folder / "onex.toml"
    user_file.write_text('artifacts = "shared"\n[limits]\ncpu = 20\n[config]\nwho = "me"\n')
    project.environment["ONEX_CACHE"] = "redis://:secret@localhost:6379/0"
    found = settings(project)
    assert found["limits.cpu"] == (20, str(user_file), [file])
    assert found["limits.memory"] == ("1 GiB", file, [])
    assert found["limits.threads"] == (256, "default", [])
    assert found["config.who"] == ("me", str(user_file), [])
    assert found["artifacts"] == (str(folder / "shared"), str(user_file), [])
    assert found["cache"][1] == "ONEX_CACHE"
    assert "secret" not in str(found["cache"][0])
    assert "6379" in str(found["cache"][0])
    assert found["home"][1] == "ONEX_HOME"
    assert settings(project, "--home", "elsewhere")["home"][1] == "--home"
    assert settings(project, "limits").keys() == {k for k in found if k.startswith("limits")}
    shown = project.onex_here("config", "show", "limits.cpu", "--origin").stdout
    assert shown == f"limits.cpu\t20\t{user_file} (not {file})\n"


def test_what_the_user_sets_applies_to_every_project(project: Project) -> None:
    project.add("told", "def execute(context):\n    return context.get_config('who')\n")
    project.write("onex.toml", '[[sources]]\npath = "nodes"\n[config]\nwho = "project"\n')
    assert project.onex_here("run", "told", "--json").json["outputs"] == {"result": "project"}
    folder = Path(project.environment["ONEX_SETTINGS_FOLDER"])
    folder.mkdir(parents=True)
    (folder / "onex.toml").write_text('[config]\nwho = "user"\n')
    assert project.onex_here("run", "told", "--json").json["outputs"] == {"result": "user"}


@pytest.mark.parametrize(
    "text", ["[[sources]]\npath = 'x'\n", "[limits]\nmemory = 'much'\n", "x = ["]
)
def test_settings_of_the_user_that_are_wrong_are_told_by_file(project: Project, text: str) -> None:
    folder = Path(project.environment["ONEX_SETTINGS_FOLDER"])
    folder.mkdir(parents=True)
    (folder / "onex.toml").write_text(text)
    refused = project.onex_here("list", "--json")
    assert (refused.code, refused.json["error"]["code"]) == (2, "CFG001")
    assert refused.json["error"]["path"] == str(folder / "onex.toml")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:a&bsecret@h/db",
        "postgresql://u:p@ssecret@h/db",
        "postgresql://h/db?sslpassword=secret",
    ],
)
def test_passwords_are_never_shown(project: Project, url: str) -> None:
    project.write(
        "onex.toml", f"storage = {json.dumps(url)}\n[config]\nlist = [{json.dumps(url)}]\n"
    )
    assert "secret" not in project.onex_here("config", "show").stdout


# One manifest


def test_one_manifest_is_registered_and_taken_back(project: Project) -> None:
    project.write("onex.toml", "")
    project.add("other", folder="other")
    made = project.onex_here("register", "nodes/other", "--json")
    assert made.json["registered"]["namespace"] == "test.other"
    assert [n["name"] for n in project.onex_here("list", "--json").json["nodes"]] == ["other"]
    assert project.onex_here("run", "other").code == 0
    # A manifest that is broken meanwhile leaves what was registered.
    manifest = project.nodes / "other" / "node.onex.yaml"
    good = manifest.read_text()
    manifest.write_text(good + "foo: [")
    assert project.onex_here("register", manifest).code == 4
    assert len(project.onex_here("list", "--json").json["nodes"]) == 1
    manifest.write_text(good)
    gone = project.onex_here("unregister", "other", "--json")
    assert gone.json["unregistered"] == ["tool://test.other@1.0.0"]
    assert project.onex_here("list", "--json").json["nodes"] == []
    sources = project.onex_here("sources", "list", "--all", "--json").json["sources"]
    assert sources == []


def test_what_a_source_gives_is_not_unregistered(project: Project) -> None:
    project.onex_here("scan")
    refused = project.onex_here("unregister", "echo", "--json")
    assert (refused.code, refused.json["error"]["code"]) == (2, "USE001")
    assert "the source nodes" in refused.json["error"]["message"]
    # What was registered beside it is taken back, and the version stays.
    assert project.onex_here("register", "nodes/echo-1.0.0").code == 0
    assert project.onex_here("unregister", "echo").code == 0
    assert len(project.onex_here("list", "--json").json["nodes"]) == 1


@pytest.mark.parametrize("name", ["onex.toml", "missing", "nodes", "w.workflow.yaml"])
def test_what_is_no_manifest_is_not_registered(project: Project, name: str) -> None:
    project.write("w.workflow.yaml", "name: w\nsteps:\n  a: {node: echo}\n")
    refused = project.onex_here("register", name, "--json")
    assert refused.code in (2, 4)
    assert refused.json["error"]["hint"]
    assert project.onex_here("sources", "list", "--all", "--json").json["sources"][1:] == []


def test_two_projects_that_share_a_database_keep_what_each_registered(
    make_project: Callable[[str], Project], tmp_path: Path
) -> None:
    first, second = make_project("first"), make_project("second")
    for project in (first, second):
        project.write("onex.toml", f'storage = "sqlite:///{tmp_path / "shared.db"}"\n')
    first.add("echo")
    assert first.onex("register", "nodes/echo-1.0.0").code == 0
    refused = second.onex("unregister", "echo", "--json")
    assert refused.code == 2
    assert "workspace" in refused.json["error"]["message"]
    assert len(first.onex("list", "--json").json["nodes"]) == 1


# Workflows against the nodes that are there


@pytest.mark.parametrize(
    ("step", "code", "line"),
    [
        ('{"node": "echo"}', None, 0),
        ('{"node": "ehco"}', "RES003", 5),
        ('{"node": "echo@^9"}', "RES001", 4),
        ('{"node": "typed", "with": {"n": 1}}', None, 0),
        ('{"node": "typed", "with": {"n": "x"}}', "WFL011", 5),
        ('{"node": "typed", "with": {"m": 1}}', "WFL011", 5),
    ],
)
def test_validate_knows_the_nodes(project: Project, step: str, code: str | None, line: int) -> None:
    project.add("typed", inputs={"n": {"type": "integer"}})
    body = json.loads(step)
    text = f"name: w\nsteps:\n  # one\n  a:\n    node: {json.dumps(body['node'])}\n"
    if "with" in body:
        text += f"    with: {json.dumps(body['with'])}\n"
    project.write("w.workflow.yaml", text)
    done = project.onex_here("validate", "w.workflow.yaml", "--json")
    found = [(p["code"], p["line"]) for p in done.json["problems"]]
    assert done.code == (0 if code is None else 4)
    if code is not None:
        assert found[0] == (code, line), done.stdout


def test_validate_alone_says_what_it_cannot_know(make_project: Callable[[str], Project]) -> None:
    project = make_project("empty")
    project.write("w.workflow.yaml", "name: w\nsteps:\n  a: {node: nothing}\n")
    done = project.onex_here("validate", "w.workflow.yaml", "--json")
    assert done.code == 0
    assert "which nodes there are" in done.json["not_checked"]
    assert not project.home.exists()


# Names of commands and nodes


def test_every_command_is_where_the_table_says() -> None:
    names = command_names()
    assert len(names) == len(set(names))
    for name in names:
        assert onex.get_command(None, name) is not None  # type: ignore[arg-type]
    assert target_of("list-nodes") == target_of("list")
    assert next(iter(COMMANDS)) == "Start here"
    assert len(COMMANDS["Start here"]) == 5


@pytest.mark.parametrize(
    ("slip", "meant"),
    [("ls", "list"), ("lst", "list"), ("logs", "runs show latest"), ("rnu", "run"), ("zzzz", None)],
)
def test_a_slip_gets_a_suggestion(project: Project, slip: str, meant: str | None) -> None:
    refused = project.onex_here(slip, "--json")
    assert (refused.code, refused.json["error"]["code"]) == (2, "USE001")
    hint = refused.json["error"]["hint"]
    assert hint == (f"did you mean onex {meant}?" if meant else "see onex --help")


def test_help_groups_commands_by_task(project: Project) -> None:
    shown = project.onex_here("--help").stdout
    places = [shown.index(f"{title}:") for title in COMMANDS]
    assert places == sorted(places)


# Completion


def complete(project: Project, line: str, *replaced: str) -> list[str]:
    done = subprocess.run(
        project.command("__complete", line, *replaced), cwd=project.root, env=project.environment,
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert done.stderr == ""
    return done.stdout.split()


def test_commands_options_and_nodes_are_completed(project: Project) -> None:
    project.add("echo", version="1.1.0")
    project.add("else")
    project.onex_here("scan")
    assert complete(project, "onex ru") == ["run", "runs"]
    assert complete(project, "onex runs ca") == ["cancel"]
    assert complete(project, "onex run ec") == ["echo"]
    assert complete(project, "onex run e") == ["echo", "else"]
    assert complete(project, "onex show tool://test.ec") == ["tool://test.echo"]
    assert complete(project, "onex show echo@1") == ["echo@1.1.0", "echo@1.0.0"]
    assert complete(project, "onex show tool://test.echo@1.1") == ["tool://test.echo@1.1.0"]
    assert complete(project, "sudo onex grant approve el") == ["else"]
    assert complete(project, "onex run --isol") == ["--isolation"]
    assert complete(project, "onex run --isolation st") == ["strict"]
    assert complete(project, f"onex run --home={project.root}/none ec") == []
    assert complete(project, "onex nothing x") == []
    assert complete(project, "") == [*command_names(), "list-nodes", "node-info"]
    # Bash replaces the part after the last of its word breaks alone.
    breaks = " \t\n\"'@><=;|&(:"
    assert complete(project, "onex show echo@1", breaks) == ["1.1.0", "1.0.0"]
    assert complete(project, "onex show tool://test.ec", breaks) == ["//test.echo"]
    assert complete(project, "onex show echo@", breaks) == ["1.1.0", "1.0.0"]
    assert complete(project, "onex run ec", breaks) == ["echo"]
    # Whoever took the colon out of the breaks gets whole names.
    assert complete(project, "onex show tool://test.ec", " =@") == ["tool://test.echo"]


def test_completion_finds_the_registry_that_a_command_would_use(project: Project) -> None:
    project.write("onex.toml", f'storage = "sqlite:///{project.root / "other.db"}"\n')
    project.onex_here("scan", "nodes")
    assert complete(project, "onex run ec") == ["echo"]


@pytest.mark.parametrize("damage", ["missing", "text", "folder"])
def test_completion_is_silent_about_a_damaged_registry(project: Project, damage: str) -> None:
    project.home.mkdir()
    file = project.home / "registry.db"
    if damage == "text":
        file.write_text("no database")
    elif damage == "folder":
        file.mkdir()
    assert complete(project, "onex run ec") == []


def test_bash_completes_a_line(project: Project) -> None:
    project.onex_here("scan")
    script = project.onex_here("completion", "bash").stdout
    folder = project.root / "bin"
    folder.mkdir()
    (folder / "onex").write_text('#!/bin/sh\nexec "$PYTHON" -m onex "$@"\n')
    (folder / "onex").chmod(0o755)
    line = "COMP_LINE='onex run ec' COMP_POINT=11"
    done = subprocess.run(
        ["bash", "-c", f"{script}\n{line}\n_onex_complete\necho \"${{COMPREPLY[@]}}\""],
        cwd=project.root, capture_output=True, text=True, timeout=60, check=True,
        env=project.environment | {"PATH": f"{folder}:{os.environ['PATH']}", "PYTHON": project.command()[0]},
    )  # fmt: skip
    assert done.stdout.split() == ["echo"]
    for shell in ("zsh", "fish"):
        assert "__complete" in project.onex_here("completion", shell).stdout
    assert project.onex_here("completion", "tcsh").code == 2


# What is measured


@pytest.mark.slow
def test_bench_measures_with_a_floor_beside_each_figure(project: Project) -> None:
    done = project.onex("bench", "--json")
    assert done.code == 0, done.stderr
    found = done.json["measurements"]
    assert len(found) > 8
    for one in found:
        assert one["seconds"] > 0
        assert one["floor_seconds"] > 0
        assert one["floor"]
    assert any(one["specified_seconds"] for one in found)
    assert not project.home.exists()


def test_a_short_name_is_run_under_a_lock(project: Project) -> None:
    project.workflow({"a": {"node": "echo"}})
    assert project.onex_here("lock").code == 0
    assert project.onex_here("run", "echo").code == 0
    with project.registry() as registry:
        assert registry.run("echo").success
    project.add("fresh")
    refused = project.onex_here("run", "fresh", "--json")
    assert (refused.code, refused.json["error"]["code"]) == (3, "RES005")
    assert issubclass(RunFailedError, Exception)
