"""Every command's help has examples, and each of them runs as it stands."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest

from onex.cli.command_table import command_names
from onex.cli.examples import EXAMPLES
from onex.cli.main import onex
from tests.agents.other_server import Server
from tests.conftest import Project, RegistryServer

ENDLESS = ("scan --watch", "dev ", "ui ", "serve ")
"""The examples that go on until somebody ends them."""

CLEAN = '''
from pathlib import Path

def clean(path: Path, top: int = 3) -> dict:
    """Leave empty lines out."""
    return {"lines": [line for line in path.read_text().splitlines() if line][:top]}
'''
SHOUT = """
def execute(context, *, words, text):
    file = context.workdir / "shout.txt"
    file.write_text(text.upper() + "!" * words)
    return {"shout": context.artifact(file)}
"""


def leaves(command: click.Command, path: str = "") -> Iterator[tuple[str, click.Command]]:
    if not isinstance(command, click.Group):
        yield path, command
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        below = command.get_command(context, name)
        assert below is not None
        yield from leaves(below, f"{path} {name}".strip())


def test_every_command_has_examples_and_a_sentence() -> None:
    found = dict(leaves(onex))
    assert found.keys() == EXAMPLES.keys()
    for path, command in found.items():
        shown = command.get_help(click.Context(command, info_name=f"onex {path}"))
        for line in EXAMPLES[path]:
            assert line in shown, path
        assert command.help, path
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.help or parameter.name in ("limit", "host", "port"), (
                    path,
                    parameter.name,
                )


class World:
    """A project in which every example makes sense."""

    def __init__(self, project: Project, hub: Callable[[], RegistryServer], command: str) -> None:
        self.project = project
        here = project.onex_here
        (project.root / "onex.toml").unlink()
        project.nodes.rmdir()
        here("init")
        here("new", "greeter")
        for version in ("1.0.0", "1.1.0"):
            project.add(
                "count", "def execute(context, *, text):\n    return {'words': len(text.split()), 'text': text}\n",
                version=version, namespace="text.count", tags=["text"], idempotent=True,
                description="Counts words.", inputs={"text": {"type": "string"}},
                outputs={"words": {"type": "integer"}, "text": {"type": "string"}},
                lifecycle="active", author="x", uuid="00000000-0000-4000-8000-000000000001",
            )  # fmt: skip
        project.add(
            "report", SHOUT, namespace="text.report", dependencies=["tool://text.count@^1"],
            inputs={"words": {"type": "integer"}, "text": {"type": "string"}},
        )  # fmt: skip
        project.add("extra", folder="../extra", namespace="extra.node")
        project.write("tools/clean.py", CLEAN)
        project.write("vendor/readme.md", "nothing\n")
        project.write("report.workflow.yaml", json.dumps({
            "name": "report", "inputs": {"text": {"type": "string"}},
            "steps": {
                "count": {"node": "tool://text.count@^1", "with": {"text": "${{ inputs.text }}"}},
                "report": {"node": "tool://text.report@^1", "with": {
                    "words": "${{ steps.count.words }}", "text": "${{ inputs.text }}"}},
            },
            "outputs": {"shout": "${{ steps.report.shout }}"},
        }))  # fmt: skip
        here("scan")
        if command in ("lock", "policy", "sbom", "outdated"):
            here("lock")
        if command in ("runs", "provenance", "sbom"):
            done = here("run", "report.workflow.yaml", "-i", "text=one two", "--results", "out")
            assert done.code == 0, done.stderr
        if command in ("remote", "fetch", "login", "logout", "publish", "grant", "verify", "yank"):
            self._with_hub(hub())
        if command in ("sign", "trust", "verify"):
            here("trust", "keygen", "release.key")
        getattr(self, f"_before_{command.replace('-', '_')}", lambda: None)()

    def _with_hub(self, server: RegistryServer) -> None:
        project = self.project
        assert server.project.onex("trust", "init", "--root-keys", "root-keys").code == 0
        other = Project(_made(project.root.parent / "author"))
        server.declare(other)
        manifest = other.add("stats", namespace="text.stats", capabilities=["file.read:/srv/data"])
        done = other.onex("publish", manifest.parent)
        assert done.code == 0, done.stderr
        server.declare(project, root=server.project.onex("trust", "root").stdout.split()[0])
        project.write("token.txt", server.token + "\n")
        assert project.onex("remote", "export", "mirror").code == 0

    def _before_unregister(self) -> None:
        self.project.onex_here("register", "extra/node.onex.yaml")

    def _before_runs(self) -> None:
        self.project.add("slow", "import time\ndef execute(context):\n    time.sleep(30)\n")

    def _before_token(self) -> None:
        made = self.project.onex_here("token", "create", "old", "--json").json
        self.substitute = ("0123456789abcdef", str(made["id"]))

    def _before_advisory(self) -> None:
        self.project.write("advisory.json", json.dumps({
            "id": "TEST-1", "modified": "2026-01-01T00:00:00Z", "summary": "It loses words.",
            "affected": [{"package": {"ecosystem": "onex", "name": "tool://text.count"},
                          "versions": ["1.0.0"]}],
        }))  # fmt: skip

        assert self.project.onex_here("publish", "nodes/count-1.0.0", "--here").code == 0

    def _before_init(self) -> None:
        (self.project.root / "onex.toml").unlink()

    def _before_mcp(self) -> None:
        server = Server(self.project, "files")
        server.pin()
        server.accepted()

    def _before_restore(self) -> None:
        assert self.project.onex_here("backup", "saved").code == 0

    substitute = ("", "")


def _made(root: Path) -> Path:
    for folder in ("nodes", "home"):
        (root / folder).mkdir(parents=True)
    return root


@pytest.mark.slow
@pytest.mark.parametrize("command", command_names())
def test_examples_run_as_they_stand(
    make_project: Callable[[str], Project], serve: Callable[..., RegistryServer], command: str
) -> None:
    project = make_project("demo")

    def hub() -> RegistryServer:
        return serve(make_project("hub"))

    world = World(project, hub, command)
    folder = project.root / "bin"
    folder.mkdir()
    (folder / "onex").write_text(f'#!/bin/sh\nexec {sys.executable} -m onex "$@"\n')
    (folder / "onex").chmod(0o755)
    environment = project.environment | {"PATH": f"{folder}:{os.environ['PATH']}"}
    for path, lines in EXAMPLES.items():
        if path.split()[0] != command:
            continue
        for line in lines:
            run_example(world, path, line.replace(*world.substitute), environment)


def run_example(world: World, path: str, line: str, environment: dict[str, str]) -> None:
    project = world.project
    running = None
    if path == "runs cancel":
        running = project.start("run", "slow")
        while not project.onex_here("runs", "list", "--status", "running", "--json").json["runs"]:
            time.sleep(0.1)
    began = subprocess.Popen(
        ["bash", "-c", f"exec {line}" if _is_endless(line) else line], cwd=project.root,
        env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        if _is_endless(line):
            assert began.stdout is not None
            told = began.stdout.readline()
            time.sleep(1)
            assert began.poll() is None, (line, told, began.stdout.read())
            began.send_signal(signal.SIGINT)
        out, _ = began.communicate(timeout=100)
        assert began.returncode == 0, (line, out)
        assert "Traceback" not in out, (line, out)
    finally:
        began.kill()
        began.wait()
        if running is not None:
            running.kill()
            running.wait()


def _is_endless(line: str) -> bool:
    words = line.removeprefix("onex ")
    return words.startswith(ENDLESS)
