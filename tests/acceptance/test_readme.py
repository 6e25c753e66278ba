"""The README as a new user follows it: every command of the tour, just as it stands."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
EXPECTED_EXIT = re.compile(r"#\s*exits with (\d+)\s*$")


def blocks(language: str) -> list[str]:
    _, _, tour = README.partition("## A ten-minute tour")
    return re.findall(rf"^```{language}\n(.*?)^```", tour, re.MULTILINE | re.DOTALL)


def installed_onex() -> Path:
    """The folder of the command that belongs to the Python which runs this test."""
    folder = Path(sys.executable).parent
    if not (folder / "onex").exists():
        pytest.fail(f"onex is not installed beside {sys.executable}; make test installs it")
    return folder


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    dropped = ("ONEX_", "PYTHONDONTWRITEBYTECODE")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(dropped)}
    path = f"{installed_onex()}{os.pathsep}{os.environ['PATH']}"
    return kept | {"PATH": path, "HOME": str(tmp_path)}


def run(
    command: str, folder: Path, environment: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", command], cwd=folder, env=environment, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip


@pytest.mark.slow
def test_every_command_of_the_tour(tmp_path: Path, environment: dict[str, str]) -> None:
    commands = [line for block in blocks("sh") for line in block.splitlines() if line.strip()]
    assert len(commands) > 20
    printed: dict[str, str] = {}
    folder = tmp_path
    for command in commands:
        expected = EXPECTED_EXIT.search(command)
        done = run(command, folder, environment)
        assert done.returncode == (int(expected[1]) if expected else 0), (command, done)
        assert "Traceback" not in done.stderr, (command, done.stderr)
        printed[command] = done.stdout + done.stderr
        if command.startswith("cd "):
            folder = folder / command.removeprefix("cd ")
    greeting = printed["onex run greeter.workflow.yaml --input who=reader"]
    assert "Hello, reader!" in greeting
    assert "from the cache" in greeting
    assert '"HELLO, WORLD!!"' in printed["cat out/outputs.json"]
    assert "tool://local.greeter@1.0.0" in printed["onex resolve greeter"]
    assert "tool://local.greeter@0.1.0" in printed["onex resolve 'tool://local.greeter@^0.1'"]
    assert "results came from the cache" in printed["onex demo atlas"]
    assert (folder / "atlas" / "results" / "atlas.html").stat().st_size > 100_000
    assert (folder / "atlas" / "results" / "atlas.svg").stat().st_size > 100_000

    (program,) = blocks("python")
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment,
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    # The lock of the project is honoured, so the version is the one that was chosen there.
    assert done.stdout == "{'greeting': 'Hello, Ada!'}\n", done.stderr


@pytest.mark.slow
def test_the_commands_of_the_server(tmp_path: Path, environment: dict[str, str]) -> None:
    (block,) = blocks("console")
    commands = [line.removeprefix("$ ").partition("#")[0].strip() for line in block.splitlines()]
    assert [c.split()[1] for c in commands] == [
        "init", "serve", "remote", "login", "publish", "search", "yank", "audit",
    ]  # fmt: skip
    for command in ("onex init tour", "cd tour && onex new greeter", "onex init ."):
        assert run(command, tmp_path, environment).returncode == 0
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    commands = [command.replace("8351", port) for command in commands]
    assert run(commands[0], tmp_path, environment).returncode == 0
    server = subprocess.Popen(
        [str(installed_onex() / "onex"), *commands[1].split()[1:]], cwd=tmp_path, env=environment,
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert server.stdout is not None
        assert port in server.stdout.readline()
        assert server.stdout.readline() == "private namespaces: none\n"
        token = server.stdout.readline().split()[-1]
        assert run(commands[2], tmp_path, environment).returncode == 0
        assert run(f"echo {token} | {commands[3]}", tmp_path, environment).returncode == 0
        for command in commands[4:]:
            done = run(command, tmp_path, environment)
            assert done.returncode == 0, (command, done)
    finally:
        server.terminate()
        server.wait(30)
        if server.stdout is not None:
            server.stdout.close()
