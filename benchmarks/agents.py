"""Tools for agents: the first list, calls, many tools, and many sessions.

Usage: agents.py [NODES], by default 10,000 nodes. Each figure stands beside what it is held
against: the first list beside that of a bare server of the same SDK, and a call beside
``Registry.run`` of the same node, in turns.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from onex import Registry
from onex.domain.grant import RunAccess
from onex.domain.result import IsolationLevel

ROUNDS = 9
CALLS = 40
SESSIONS = 100
MANIFEST = """\
name: n{i}
namespace: generated.group{group}.n{i}
version: 1.0.0
meta_type: tool
lifecycle: active
uuid: 00000000-0000-4000-8000-{i:012}
author: benchmark
owner: benchmark
description: Generated node number {i}, which turns texts of group {group} around.
entrypoint: python@node.py
tags: [agent, t{group}]
inputs:
  text: {{type: string}}
"""
CODE = "def execute(context, *, text):\n    return {'text': text[::-1]}\n"
BARE = """
import gc
gc.disable()
import asyncio
import mcp_types as types
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
gc.enable()

async def tools(ctx, params):
    return types.ListToolsResult(tools=[types.Tool(name="x", input_schema={"type": "object"})])

async def main():
    server = Server("bare", on_list_tools=tools)
    async with stdio_server() as (read, write):
        await server.run(read, write, server.create_initialization_options())

asyncio.run(main())
"""


def generate(root: Path, count: int) -> None:
    (root / "onex.toml").write_text(
        '[[sources]]\npath = "nodes"\n\n[mcp]\nexpose = ["tag:agent"]\n'
    )
    for i in range(count):
        folder = root / "nodes" / f"group{i % 50}" / f"n{i}"
        folder.mkdir(parents=True)
        (folder / "node.onex.yaml").write_text(MANIFEST.format(i=i, group=i % 50))
        (folder / "node.py").write_text(CODE)


class Client:
    """A client that writes and reads lines itself, so that its own cost is next to nothing."""

    def __init__(self, command: list[str]) -> None:
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        self._count = 0
        self.ask("initialize", {
            "protocolVersion": "2025-11-25", "capabilities": {},
            "clientInfo": {"name": "benchmark", "version": "1"},
        })  # fmt: skip
        self._send({"jsonrpc": "2.0", "method": "notifications/initialized"})

    def _send(self, message: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(message).encode() + b"\n")
        self._process.stdin.flush()

    def ask(self, method: str, params: object) -> dict:
        self._count += 1
        self._send({"jsonrpc": "2.0", "id": self._count, "method": method, "params": params})
        assert self._process.stdout is not None
        while True:
            message = json.loads(self._process.stdout.readline())
            if message.get("id") == self._count:
                return message["result"]

    def call(self, name: str, arguments: object) -> dict:
        result = self.ask("tools/call", {"name": name, "arguments": arguments})
        assert not result.get("isError"), result
        return result

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)


@contextmanager
def serving(root: Path) -> Iterator[Client]:
    client = Client([sys.executable, "-m", "onex", "mcp", "--project", str(root)])
    try:
        yield client
    finally:
        client.close()


def first_list(command: list[str]) -> float:
    started = time.perf_counter()
    client = Client(command)
    client.ask("tools/list", {})
    seconds = time.perf_counter() - started
    client.close()
    return seconds


def measure_first_list(root: Path) -> None:
    ours = [sys.executable, "-m", "onex", "mcp", "--project", str(root)]
    bare = [sys.executable, "-c", BARE]
    first_list(ours)
    pairs = [(first_list(ours), first_list(bare)) for _ in range(ROUNDS)]
    one, other = (statistics.median(times) for times in zip(*pairs, strict=True))
    ratio = statistics.median(a / b for a, b in pairs)
    print(f"first list from a cold start: {one * 1e3:.0f} ms (budget 400)")
    print(f"  the SDK alone {other * 1e3:.0f} ms, so {ratio:.2f} of it")


def measure_calls(root: Path) -> None:
    """Calls through standard input and output beside ``Registry.run`` of the same node.

    In turns of ten, since a process that stood still while another worked is not warm.
    """
    node, access = "tool://generated.group0.n0@1.0.0", RunAccess(IsolationLevel.STRICT)
    with serving(root) as client, Registry.open(start=root) as registry:

        def run(text: str) -> None:
            registry.run(node, {"text": text}, access=access)

        def call(text: str) -> None:
            client.call("generated_group0_n0", {"text": text})

        here, there = [], []
        for turn in range(ROUNDS):
            for work, times in ((run, here), (call, there)):
                work("warm")
                for i in range(10):
                    started = time.perf_counter()
                    work(f"{turn} {i}")
                    times.append(time.perf_counter() - started)
    one, other = statistics.median(here), statistics.median(there)
    print(
        f"a warm call: {other * 1e3:.1f} ms, Registry.run {one * 1e3:.1f} ms:"
        f" {(other - one) * 1e3:+.2f} ms (budget +1.5)"
    )


def measure_many(root: Path, count: int) -> None:
    with serving(root) as client:
        client.ask("tools/list", {})
        client.call("find_tools", {"query": "group 7"})
        # What was changed since the last scan is looked for after the first list.
        time.sleep(5)
        lists, finds, describes, names = [], [], [], []
        for i in range(CALLS):
            started = time.perf_counter()
            client.ask("tools/list", {})
            listed = time.perf_counter()
            found = client.call("find_tools", {"query": f"texts number {i * 37 % count}"})
            finds.append(time.perf_counter() - listed)
            lists.append(listed - started)
            names.append(found["structuredContent"]["tools"][0]["name"])
        for name in names:
            started = time.perf_counter()
            client.call("describe_tool", {"name": name})
            describes.append(time.perf_counter() - started)
        for what, times in (("list", lists), ("find", finds), ("describe", describes)):
            print(
                f"{count:,} nodes: {what} {statistics.median(times) * 1e3:.1f} ms,"
                f" at most {max(times) * 1e3:.1f} (budget 20)"
            )


def resident_bytes(pid: int) -> int:
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.partition("VmRSS:")[2].split()[0]) * 1024


def measure_sessions(root: Path) -> None:
    """Sessions of one server over HTTP, each with its own connection, which list and call once."""
    with Registry.open(start=root) as registry:
        from onex.domain.access_control import Role

        token = registry.tokens.create("benchmark", Role.PUBLISHER).text
    process = subprocess.Popen(
        [sys.executable, "-m", "onex", "serve", "--port", "0", "--json"],
        cwd=root, stdout=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        url = json.loads(process.stdout.readline())["url"]
        asyncio.run(use_sessions(f"{url}mcp", token, process.pid))
    finally:
        process.terminate()
        process.wait(60)


async def use_sessions(url: str, token: str, pid: int) -> None:
    import httpx2
    from mcp import Client as SdkClient
    from mcp.client.streamable_http import streamable_http_client

    headers = {"authorization": f"Bearer {token}"}
    ready, ended = asyncio.Semaphore(0), asyncio.Event()

    async def session(i: int) -> None:
        async with httpx2.AsyncClient(headers=headers, timeout=300) as http:
            transport = streamable_http_client(url, http_client=http)
            async with SdkClient(transport, mode="legacy") as client:
                await client.list_tools()
                result = await client.call_tool("generated_group0_n0", {"text": f"s{i}"})
                assert result.structured_content == {"text": f"{i}"[::-1] + "s"}, result
                ready.release()
                await ended.wait()

    async with asyncio.TaskGroup() as group:
        group.create_task(session(0))
        await ready.acquire()
        before, started = resident_bytes(pid), time.perf_counter()
        for i in range(1, SESSIONS):
            group.create_task(session(i))
        for _ in range(1, SESSIONS):
            await ready.acquire()
        seconds, after = time.perf_counter() - started, resident_bytes(pid)
        ended.set()
    each = (after - before) / (SESSIONS - 1)
    print(
        f"{SESSIONS} sessions at once: {after / 2**20:.0f} MiB, {each / 1024:.0f} KiB for each;"
        f" begun, listed and called in {seconds:.1f} s"
    )


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    os.environ.pop("ONEX_HOME", None)
    with tempfile.TemporaryDirectory() as made:
        small, large = Path(made, "small"), Path(made, "large")
        for root, nodes in ((small, 10), (large, count)):
            root.mkdir()
            generate(root, nodes)
            with Registry.open(start=root) as registry:
                registry.refresh()
        measure_first_list(small)
        measure_calls(small)
        measure_many(large, count)
        measure_sessions(small)


if __name__ == "__main__":
    main()
