"""Agents that tests play, by the client of the protocol's own SDK, over both transports."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import mcp_types as types
import pytest
from mcp import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client

from tests.conftest import Project, RegistryServer

COUNT = """
def execute(context, *, path, top=3):
    context.get_logger().info("counting")
    context.progress(0.5, "half")
    with open(path) as file:
        return {"words": len(file.read().split())}
"""
READS_HOSTNAME = "def execute(context):\n    return {'text': open('/etc/hostname').read()}\n"
NOTE = """
def execute(context, *, text):
    place = context.workdir / "note.txt"
    place.write_text(text)
    return {"file": context.artifact(place)}
"""
MODES = (pytest.param("legacy", marks=pytest.mark.slow), "auto")
"""With a handshake, which most clients still speak, and the newest revision of both sides."""
BOTH_MODES = ("legacy", "auto")

Answer = TypeVar("Answer")


def run(coroutine: Coroutine[Any, Any, Answer]) -> Answer:
    """Run what a test awaits, for a minute at most."""
    return asyncio.run(asyncio.wait_for(coroutine, 60))


@dataclass
class Agent:
    """How an agent's client is set up: what its user offers and answers, and what it was told."""

    project: Project
    roots: list[Path] | None = None
    answer: Callable[[types.ElicitRequestFormParams], types.ElicitResult] | None = None
    arguments: tuple[str, ...] = ()
    questions: list[str] = field(default_factory=list)
    logs: list[types.LoggingMessageNotificationParams] = field(default_factory=list)
    messages: list[object] = field(default_factory=list)

    async def _roots(self, _: object) -> types.ListRootsResult:
        roots = [types.Root(uri=root.as_uri()) for root in self.roots or ()]
        return types.ListRootsResult(roots=roots)

    async def _elicit(self, _: object, params: types.ElicitRequestParams) -> types.ElicitResult:
        assert isinstance(params, types.ElicitRequestFormParams)
        assert self.answer is not None
        self.questions.append(params.message)
        return self.answer(params)

    async def _log(self, params: types.LoggingMessageNotificationParams) -> None:
        self.logs.append(params)

    async def _message(self, message: object) -> None:
        self.messages.append(message)

    def _callbacks(self, mode: str) -> dict[str, Any]:
        found: dict[str, Any] = {
            "logging_callback": self._log,
            "client_info": types.Implementation(name="tester", version="1"),
            "log_level": "info",
        }
        if mode == "legacy":
            # Without a handshake the client hears of changes by listening alone.
            found["message_handler"] = self._message
        if self.roots is not None:
            found["list_roots_callback"] = self._roots
        if self.answer is not None:
            found["elicitation_callback"] = self._elicit
        return found

    def command(self) -> list[str]:
        return [*self.project.command("mcp", "--project", self.project.root), *self.arguments]

    @asynccontextmanager
    async def over_stdio(self, mode: str) -> AsyncIterator[Client]:
        command = self.command()
        server = StdioServerParameters(
            command=command[0], args=command[1:], env=self.project.environment
        )
        with (self.project.root / "mcp.log").open("w") as errors:
            transport = stdio_client(server, errlog=errors)
            async with Client(transport, mode=mode, **self._callbacks(mode)) as client:
                yield client

    @asynccontextmanager
    async def over_http(
        self, mode: str, server: RegistryServer, token: str
    ) -> AsyncIterator[Client]:
        import httpx2

        headers = {"authorization": f"Bearer {token}"}
        async with httpx2.AsyncClient(headers=headers, timeout=60) as http:
            transport = streamable_http_client(f"{server.url}mcp", http_client=http)
            async with Client(transport, mode=mode, **self._callbacks(mode)) as client:
                yield client


def add_node(project: Project, namespace: str, code: str, **fields: Any) -> Path:
    """An active node with the tag agent."""
    whole = {
        "namespace": namespace,
        "lifecycle": "active",
        "uuid": str(uuid.uuid5(uuid.NAMESPACE_URL, namespace)),
        "tags": ["agent"],
        "author": "Ada",
        "owner": "Ada",
        "description": f"What {namespace} does.",
        "inputs": {},
        "outputs": {},
        "state_contract": "none",
    } | fields
    return project.add(namespace.rpartition(".")[2], code, **whole)


def distrust_nodes(project: Project) -> None:
    """Have nobody trust the source of the nodes."""
    toml = (project.root / "onex.toml").read_text()
    project.write("onex.toml", toml.replace('path = "nodes"', 'path = "nodes"\ntrusted = false'))


def granting(params: types.ElicitRequestFormParams) -> types.ElicitResult:
    return types.ElicitResult(action="accept", content={"grant": True})


def declining(params: types.ElicitRequestFormParams) -> types.ElicitResult:
    return types.ElicitResult(action="decline")


def text_of(result: types.CallToolResult) -> str:
    first = result.content[0]
    assert isinstance(first, types.TextContent)
    return first.text


def refusal_of(result: types.CallToolResult) -> str:
    """What a call was refused with."""
    assert result.is_error, result
    return text_of(result)


def expose(project: Project, *patterns: str, more: str = "") -> None:
    listed = ", ".join(f'"{pattern}"' for pattern in patterns)
    project.write("onex.toml", f'[[sources]]\npath = "nodes"\n\n[mcp]\nexpose = [{listed}]\n{more}')


@pytest.fixture
def agents(project: Project) -> Iterator[Project]:
    """A project that offers a node which reads a file, and one which makes a file."""
    expose(project, "tag:agent")
    add_node(
        project, "my.text.count", COUNT, description="Count the words of a file.",
        inputs={"path": {"type": "string", "format": "path"}, "top": {"default": 3}},
        outputs={"words": {"type": "integer"}},
    )  # fmt: skip
    add_node(project, "my.text.note", NOTE, inputs={"text": {"type": "string"}})
    data = project.root / "data"
    data.mkdir()
    (data / "a.txt").write_text("one two three\n")
    return project


Use = Callable[[Client], Awaitable[None]]


@pytest.fixture
def stranger(agents: Project) -> Project:
    """A node of a source that is not trusted, which asks for a file of the machine."""
    distrust_nodes(agents)
    add_node(agents, "their.reader", READS_HOSTNAME, capabilities=["file.read:/etc/hostname"])
    return agents
