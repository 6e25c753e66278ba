"""Clients that flood, tear, never read, or are killed: nothing stays, and the next one is served."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.agents.conftest import Agent, add_node
from tests.conftest import Project

pytestmark = pytest.mark.slow

SLEEP = "import time\ndef execute(context):\n    print('began', flush=True)\n    time.sleep(60)\n"
CALLS = 10_000


class Raw:
    """A client that writes whatever it likes."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.log = project.root / "raw.log"
        with self.log.open("wb") as errors:
            self.process = subprocess.Popen(
                Agent(project).command(), env=project.environment, cwd=project.root,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
            )  # fmt: skip
        self.send({
            "id": 0, "method": "initialize",
            "params": {"protocolVersion": "2025-11-25", "capabilities": {},
                       "clientInfo": {"name": "raw", "version": "1"}},
        })  # fmt: skip
        self.answer(0)
        self.send({"method": "notifications/initialized"})

    def send(self, message: dict[str, Any]) -> None:
        self.write(json.dumps({"jsonrpc": "2.0"} | message).encode() + b"\n")

    def write(self, data: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def call(self, number: int, name: str, **arguments: object) -> None:
        self.send({
            "id": number, "method": "tools/call",
            "params": {"name": name, "arguments": arguments},
        })  # fmt: skip

    def messages(self) -> Iterator[dict[str, Any]]:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            yield json.loads(line)

    def answer(self, number: int) -> dict[str, Any]:
        return next(m for m in self.messages() if m.get("id") == number and "method" not in m)

    def resident_bytes(self) -> int:
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(text.partition("VmRSS:")[2].split()[0]) * 1024

    def end(self, seconds: float = 30) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(seconds)
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def raw(agents: Project) -> Iterator[Raw]:
    add_node(agents, "my.sleep", SLEEP)
    found = Raw(agents)
    yield found
    found.process.kill()
    found.process.wait()
    if found.process.stdout is not None:
        found.process.stdout.close()
    assert not workers_of(agents), "something stayed"


def workers_of(project: Project) -> list[int]:
    """The processes that are at work in the project's folder, but for the test's own."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if str(project.root) in str((place / "cwd").readlink()):
                found.append(int(place.name))
    return [number for number in found if number != os.getpid()]


def wait_until_nothing_runs(project: Project) -> None:
    for _ in range(300):
        if not workers_of(project):
            return
        time.sleep(0.1)
    raise AssertionError(workers_of(project))


def wait_until_it_runs(project: Project) -> None:
    for _ in range(300):
        if project.onex_here("runs", "list", "--status", "running", "--json").json["runs"]:
            return
        time.sleep(0.1)
    raise AssertionError("it never ran")


def test_ten_thousand_calls_at_once_are_answered_or_refused(raw: Raw) -> None:
    import threading

    def write() -> None:
        for number in range(1, CALLS + 1):
            raw.call(number, "my_text_note", text=f"{number}")

    writer = threading.Thread(target=write)
    writer.start()
    answers: dict[int, dict[str, Any]] = {}
    for message in raw.messages():
        if "id" in message:
            assert "error" not in message, message
            answers[message["id"]] = message["result"]
            if len(answers) == CALLS:
                break
    writer.join()
    errors = {m["content"][0]["text"][:6] for m in answers.values() if m.get("isError")}
    assert errors <= {"MCP007", "MCP003"}
    assert any(not m.get("isError") for m in answers.values())
    assert raw.resident_bytes() < 600 * 2**20
    assert "Traceback" not in raw.log.read_text()
    raw.end()


def test_torn_and_odd_lines_harm_nobody(raw: Raw) -> None:
    for line in (b"{", b"\xff\xfe\x00", b"[]", b"null", b'{"jsonrpc": "2.0"}', b"", b"[" * 10_000):
        raw.write(line + b"\n")
    raw.write(b'{"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": 3}\n')
    raw.write(b'{"a": "' + b"x" * 5_000_000 + b'"}\n')
    raw.call(8, "my_text_note", text="a")
    assert not raw.answer(8)["result"].get("isError")
    raw.write(b'{"jsonrpc": "2.0", "id": 9, "meth')
    raw.end()


def test_a_cancelled_call_ends_its_run(raw: Raw) -> None:
    raw.call(1, "my_sleep")
    wait_until_it_runs(raw.project)
    raw.send({"method": "notifications/cancelled", "params": {"requestId": 1}})
    for _ in range(200):
        runs = raw.project.onex_here("runs", "list", "--json").json["runs"]
        if runs[0]["status"] == "cancelled":
            break
        time.sleep(0.1)
    assert runs[0]["status"] == "cancelled"
    raw.call(2, "my_text_note", text="a")
    assert not raw.answer(2)["result"].get("isError")
    raw.end()


def test_a_client_that_leaves_in_mid_call_leaves_nothing(raw: Raw) -> None:
    for number in range(1, 30):
        raw.call(number, "my_sleep")
    wait_until_it_runs(raw.project)
    raw.end()
    wait_until_nothing_runs(raw.project)
    runs = raw.project.onex_here("runs", "list", "--json").json["runs"]
    assert {run["status"] for run in runs} == {"cancelled"}


def test_a_client_that_never_reads_and_leaves_leaves_nothing(raw: Raw) -> None:
    for number in range(1, 300):
        raw.call(number, "my_text_note", text="x" * 5_000)
    time.sleep(2)
    assert raw.process.stdin is not None
    raw.process.stdin.close()
    # Its standard output is full, and nobody reads it.
    raw.process.wait(40)
    wait_until_nothing_runs(raw.project)


def test_without_a_client_it_ends_at_once(agents: Project) -> None:
    done = subprocess.run(
        Agent(agents).command(), env=agents.environment, stdin=subprocess.DEVNULL,
        capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_what_runs_and_what_waits(raw: Raw, number: signal.Signals) -> None:
    for call in range(1, 200):
        raw.call(call, "my_sleep")
    wait_until_it_runs(raw.project)
    raw.process.send_signal(number)
    raw.process.wait(30)
    wait_until_nothing_runs(raw.project)
    runs = raw.project.onex_here("runs", "list", "--json", "--limit", "100").json["runs"]
    assert {run["status"] for run in runs} == {"cancelled"}
    assert len(runs) <= 8


def test_a_server_that_is_killed_in_mid_call_leaves_nothing(raw: Raw) -> None:
    raw.call(1, "my_sleep")
    wait_until_it_runs(raw.project)
    raw.process.kill()
    raw.process.wait()
    wait_until_nothing_runs(raw.project)
    next_one = Raw(raw.project)
    next_one.call(1, "my_text_note", text="a")
    assert not next_one.answer(1)["result"].get("isError")
    next_one.end()


def test_a_client_that_is_killed_in_mid_call_leaves_nothing(agents: Project) -> None:
    """The client is a process of its own, as the programs of agents are."""
    add_node(agents, "my.sleep", SLEEP)
    code = (
        "import asyncio, os, sys\n"
        "from mcp import Client\n"
        "from mcp.client.stdio import StdioServerParameters, stdio_client\n"
        "async def main():\n"
        "    server = StdioServerParameters(\n"
        "        command=sys.argv[1], args=sys.argv[2:], env=dict(os.environ))\n"
        "    async with Client(stdio_client(server)) as client:\n"
        "        await client.call_tool('my_sleep', {})\n"
        "asyncio.run(main())\n"
    )
    command = Agent(agents).command()
    client = subprocess.Popen(
        [command[0], "-c", code, *command], env=agents.environment, cwd=agents.root,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        wait_until_it_runs(agents)
    finally:
        client.kill()
        client.wait()
    wait_until_nothing_runs(agents)
    runs = agents.onex_here("runs", "list", "--json").json["runs"]
    assert runs[0]["status"] in ("cancelled", "interrupted")
