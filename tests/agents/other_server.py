"""A server of tools in a process of its own, which gives whatever a test has it give."""

from __future__ import annotations

import json
import sys
from typing import Any

from tests.conftest import CommandResult, Project

# Speaks the revision with a handshake, and gives whatever lies in the folder that it is told of.
SERVER = """
import json, pathlib, sys
FOLDER = pathlib.Path({folder!r})
def answer(message):
    method, params = message.get("method"), message.get("params") or {{}}
    if method == "initialize":
        return {{"protocolVersion": "2025-11-25", "capabilities": {{"tools": {{}}}},
                "serverInfo": {{"name": "plain", "version": "1"}}}}
    if method == "tools/list":
        return {{"tools": json.loads((FOLDER / "tools.json").read_text())}}
    if method == "tools/call":
        try:
            return eval((FOLDER / "call.py").read_text(), {{"params": params, "open": open}})
        except OSError as error:
            return {{"content": [{{"type": "text", "text": str(error)}}], "isError": True}}
for line in sys.stdin:
    message = json.loads(line)
    if "id" not in message:
        continue
    result = answer(message)
    body = {{"result": result}} if result is not None else {{"error": {{"code": -32601, "message": "no"}}}}
    print(json.dumps({{"jsonrpc": "2.0", "id": message["id"]}} | body), flush=True)
"""
ADD: dict[str, Any] = {
    "name": "add",
    "description": "Add two numbers.",
    "inputSchema": {
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
        "required": ["a"],
    },
    "outputSchema": {"type": "object", "properties": {"sum": {"type": "integer"}}},
}
SUM = '{"content": [], "structuredContent": {"sum": params["arguments"]["a"] + params["arguments"].get("b", 0)}}'


class Server:
    """A server of a project, which a source declares."""

    def __init__(self, project: Project, name: str = "plain") -> None:
        self.project = project
        self.name = name
        self.folder = project.root / "served"
        self.folder.mkdir()
        self.tools(ADD)
        self.calls(SUM)
        script = project.write("server.py", SERVER.format(folder=str(self.folder)))
        before = (project.root / "onex.toml").read_text()
        self.toml = f"""{before}
[[sources]]
name = "{name}"
kind = "mcp"
command = [{json.dumps(sys.executable)}, "{script.name}"]
namespace = "other.{name}"
permissions = ["file.read:{self.folder}/**"]
"""
        project.write("onex.toml", self.toml)

    def tools(self, *tools: object) -> None:
        (self.folder / "tools.json").write_text(json.dumps(tools))

    def calls(self, expression: str) -> None:
        (self.folder / "call.py").write_text(expression)

    def pin(self) -> None:
        refused = self.accept()
        assert refused.code == 5, refused
        assert refused.stderr.startswith("MCP008")
        digest = refused.stderr.partition('digest = "')[2].partition('"')[0]
        self.project.write("onex.toml", f'{self.toml}digest = "{digest}"\n')

    def accept(self, *options: str) -> CommandResult:
        return self.project.onex("mcp", "accept", self.name, *options)

    def accepted(self) -> dict[str, Any]:
        done = self.accept("--yes", "--json")
        assert done.code == 0, done
        found: dict[str, Any] = done.json
        return found

    def run(self, tool: str, *inputs: str) -> CommandResult:
        given = [word for one in inputs for word in ("-i", one)]
        return self.project.onex("run", f"tool://other.{self.name}.{tool}", *given, "--json")
