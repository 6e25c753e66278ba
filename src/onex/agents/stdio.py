"""Serving one client over standard input and output, until it closes them or a signal comes."""

from __future__ import annotations

import asyncio
import os
import signal
import warnings
from collections.abc import Sequence
from pathlib import Path

from mcp.server.stdio import stdio_server
from mcp.shared.exceptions import MCPDeprecationWarning

from onex.agents.client import Client, Context
from onex.agents.session import Session
from onex.agents.tool_server import ToolServer
from onex.configuration.agent_settings import AgentSettings
from onex.registry import Registry

_LEAVE_SECONDS = 5.0
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def serve_stdio(
    home: Path | None, start: Path, settings: AgentSettings, roots: Sequence[Path]
) -> None:
    """Serve the registry of a project to the client that started this process.

    Args:
        home: the folder of the registry's state; None for that of ``start``.
        start: where to look for the project.
        settings: what is offered.
        roots: folders that the user offers beside those of the settings and of the client.
    """
    # What clients of before 2026 know is deprecated, and still served.
    warnings.simplefilter("ignore", MCPDeprecationWarning)
    asyncio.run(_serve(home, start, settings, roots))


async def _serve(
    home: Path | None, start: Path, settings: AgentSettings, roots: Sequence[Path]
) -> None:
    session = Session(settings.budget)
    offered = (*settings.roots, *roots)

    def client_of(_: Context) -> Client:
        return Client(session, offered, offers_folders=True)

    tools = ToolServer(lambda: Registry.open(home, start=start), client_of, settings.list_limit)
    loop = asyncio.get_running_loop()
    for number in _SIGNALS:
        loop.add_signal_handler(number, _end, tools, number)
    async with stdio_server() as (read, write):
        await tools.server.run(read, write, tools.initialization_options())
        # A client that is gone must not keep what runs, nor this process by not reading.
        loop.call_later(_LEAVE_SECONDS, os._exit, 0)
        await asyncio.to_thread(tools.close)


def _end(tools: ToolServer, number: int) -> None:
    """End what runs, and then the process, whose thread waits for a line that may never come."""
    for other in _SIGNALS:
        # Whoever sends a second one does not want to wait.
        signal.signal(other, signal.SIG_DFL)
    tools.close()
    os._exit(128 + number)
