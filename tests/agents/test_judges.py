"""The protocol's conformance suite and its Inspector, which were written by others.

``make .venv/judges`` installs them; without them these tests are skipped.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.agents.conftest import Agent, add_node
from tests.conftest import Project, RegistryServer

JUDGES = Path(sys.prefix) / "judges" / "node_modules"
NODE = JUDGES / "node" / "bin" / "node"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not NODE.exists(),
        reason="the conformance suite is not installed: npm is missing, or make .venv/judges failed",
    ),
]

PASSED = (
    "server-initialize",
    "logging-set-level",
    "ping",
    "tools-list",
    "tools-call-simple-text",
    "tools-call-with-logging",
    "tools-call-error",
    "tools-call-with-progress",
    "server-sse-multiple-streams",
    "resources-list",
    "dns-rebinding-protection",
)
NOT_APPLICABLE = {
    "completion-complete": "there is nothing to complete: no prompts and no templates",
    "tools-call-image": "results are JSON, and pictures are links to artifacts",
    "tools-call-audio": "as pictures",
    "tools-call-embedded-resource": "as pictures",
    "tools-call-mixed-content": "as pictures",
    "tools-call-sampling": "nodes ask no model",
    "tools-call-elicitation": "nodes ask the user nothing; the server does, for grants",
    "json-schema-2020-12": "the schema of a manifest is one member after the other; the whole has no"
    " $schema and no $defs of its own",
    "elicitation-sep1034-defaults": "nodes ask the user nothing",
    "elicitation-sep1330-enums": "nodes ask the user nothing",
    "server-sse-polling": "streams are not resumed",
    "resources-read-text": "resources are the artifacts of a session, and have no fixed names",
    "resources-read-binary": "as texts",
    "resources-templates-read": "there are no templates",
    "resources-subscribe": "artifacts never change",
    "resources-unsubscribe": "artifacts never change",
    "prompts-list": "there are no prompts",
    "prompts-get-simple": "there are no prompts",
    "prompts-get-with-args": "there are no prompts",
    "prompts-get-embedded-resource": "there are no prompts",
    "prompts-get-with-image": "there are no prompts",
}
# The suite sends no token, which every request to the server needs.
WITH_TOKEN = """
import sys
from pathlib import Path
import onex.server.serving as serving
from onex.server.app import ServerSettings, create_app

def create(settings, **more):
    app = create_app(settings, **more)
    async def with_token(scope, receive, send):
        if scope["type"] == "http":
            scope["headers"] = [*scope["headers"], (b"authorization", sys.argv[3].encode())]
        await app(scope, receive, send)
    return with_token

serving.create_app = create
settings = ServerSettings(Path(sys.argv[1]), Path(sys.argv[2]))
serving.serve(settings, serving.Listening("127.0.0.1", 0), lambda url: print(url, flush=True))
"""
LOGS = """
import time
def execute(context):
    for text in ("Tool execution started", "Tool processing data", "Tool execution completed"):
        context.get_logger().info(text)
        time.sleep(0.3)
    return {"text": "done"}
"""
PROGRESS = """
import time
def execute(context):
    for fraction in (0.0, 0.5, 1.0):
        context.progress(fraction)
        time.sleep(0.3)
    return {"text": "done"}
"""


@pytest.fixture
def url(agents: Project) -> Iterator[str]:
    text = "This is a simple text response for testing."
    add_node(
        agents, "test.simple.text", f"def execute(context):\n    return {{'text': {text!r}}}\n"
    )
    add_node(agents, "test.tool.with.logging", LOGS)
    add_node(agents, "test.tool.with.progress", PROGRESS)
    error = "This tool intentionally returns an error for testing"
    add_node(
        agents, "test.error.handling", f"def execute(context):\n    raise ValueError({error!r})\n"
    )
    agents.scan()
    made = agents.onex_here("token", "create", "judge", "--role", "publisher", "--json")
    command = [
        sys.executable, "-c", WITH_TOKEN, agents.home, agents.root,
        f"Bearer {made.json['token']}",
    ]  # fmt: skip
    process = subprocess.Popen(command, env=agents.environment, stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        yield process.stdout.readline().decode().strip()
    finally:
        process.terminate()
        process.wait(30)
        process.stdout.close()


def judge(*arguments: str) -> subprocess.CompletedProcess[str]:
    program = JUDGES / "@modelcontextprotocol" / "conformance" / "dist" / "index.js"
    return subprocess.run(
        [NODE, program, *arguments], capture_output=True, text=True, timeout=120, check=False
    )


def test_every_scenario_is_passed_or_has_a_reason() -> None:
    listed = judge("list").stdout
    servers = listed.partition("Server scenarios")[2].partition("Client scenarios")[0]
    names = {line.split()[1] for line in servers.splitlines() if line.startswith("  - ")}
    assert names == set(PASSED) | NOT_APPLICABLE.keys()


def test_the_scenarios_that_apply_are_passed(url: str) -> None:
    failed = {}
    for name in PASSED:
        done = judge("server", "--url", f"{url}mcp", "--scenario", name)
        if done.returncode != 0:
            failed[name] = done.stdout[-3_000:] + done.stderr[-1_000:]
    assert not failed, "\n".join(f"{name}: {told}" for name, told in failed.items())


def inspect(project: Project, *arguments: str) -> dict[str, object]:
    program = JUDGES / "@modelcontextprotocol" / "inspector-cli" / "build" / "cli.js"
    done = subprocess.run(
        [NODE, program, "--cli", *Agent(project).command(), *arguments],
        capture_output=True, text=True, timeout=120, check=False, cwd=project.root,
        env=project.environment | {"PATH": f"{NODE.parent}:{os.environ['PATH']}"},
    )  # fmt: skip
    assert done.returncode == 0, done
    found: dict[str, object] = json.loads(done.stdout)
    return found


def test_the_inspector_lists_and_calls(agents: Project) -> None:
    listed = inspect(agents, "--method", "tools/list")["tools"]
    assert isinstance(listed, list)
    assert [tool["name"] for tool in listed] == ["my_text_count", "my_text_note"]
    called = inspect(
        agents, "--method", "tools/call", "--tool-name", "my_text_note", "--tool-arg", "text=hello"
    )
    assert called["structuredContent"]["file"]["name"] == "note.txt", called  # type: ignore[index]
    assert inspect(agents, "--method", "resources/list") == {"resources": []}


def test_a_server_that_needs_a_token_is_not_reached_without_one(agents: Project) -> None:
    server = RegistryServer(agents)
    server.start()
    try:
        done = judge("server", "--url", f"{server.url}mcp", "--scenario", "ping")
        assert done.returncode != 0
        assert "401" in done.stdout + done.stderr
    finally:
        server.stop()
