"""What the settings of common clients have to hold, so that they start ``onex mcp``."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

_NAME = "onex"


@dataclass(frozen=True, slots=True)
class ClientKind:
    """A client: the file in which it looks for servers, and how an entry is written there."""

    file: str
    entry: Callable[[str, Sequence[str]], str]


def _under(key: str, **more: str) -> Callable[[str, Sequence[str]], str]:
    def entry(command: str, arguments: Sequence[str]) -> str:
        server = more | {"command": command, "args": list(arguments)}
        return json.dumps({key: {_NAME: server}}, indent=2, ensure_ascii=False)

    return entry


def _toml(command: str, arguments: Sequence[str]) -> str:
    # Strings of JSON are strings of TOML too.
    listed = ", ".join(json.dumps(one) for one in arguments)
    return f"[mcp_servers.{_NAME}]\ncommand = {json.dumps(command)}\nargs = [{listed}]"


CLIENTS: Mapping[str, ClientKind] = {
    "claude-code": ClientKind(".mcp.json in the project", _under("mcpServers")),
    "claude-desktop": ClientKind("claude_desktop_config.json", _under("mcpServers")),
    "codex": ClientKind("~/.codex/config.toml", _toml),
    "cursor": ClientKind(".cursor/mcp.json in the project", _under("mcpServers")),
    "gemini": ClientKind(".gemini/settings.json in the project", _under("mcpServers")),
    "vscode": ClientKind(".vscode/mcp.json in the project", _under("servers", type="stdio")),
    "zed": ClientKind("settings.json of Zed", _under("context_servers", source="custom")),
}
