"""What an agent can do with tools over standard input and output, in both eras of the protocol."""

from __future__ import annotations

import json

import mcp_types as types
import pytest
from mcp.shared.exceptions import MCPError

from tests.agents.conftest import MODES, Agent, add_node, expose, refusal_of, run, text_of
from tests.conftest import Project

pytestmark = pytest.mark.parametrize("mode", MODES)


def test_tools_are_listed_as_their_manifests_say(agents: Project, mode: str) -> None:
    async def use() -> list[types.Tool]:
        async with Agent(agents).over_stdio(mode) as client:
            assert client.protocol_version == ("2025-11-25" if mode == "legacy" else "2026-07-28")
            return (await client.list_tools()).tools

    count, note = run(use())
    assert (count.name, count.title) == ("my_text_count", "count")
    assert count.description == "Count the words of a file."
    assert count.input_schema["required"] == ["path"]
    assert count.output_schema is not None
    assert count.output_schema["properties"] == {"words": {"type": "integer"}}
    assert count.annotations is not None
    assert count.annotations.read_only_hint
    assert count.meta is not None
    assert count.meta["onex/node"] == "tool://my.text.count"
    assert count.meta["onex/digest"].startswith("sha256:")
    assert count.meta["onex/trust"] == "local"
    assert note.name == "my_text_note"


def test_a_call_is_a_recorded_run_of_the_client(agents: Project, mode: str) -> None:
    agent = Agent(agents, roots=[agents.root / "data"])
    progress: list[tuple[float, float | None, str | None]] = []

    async def note(done: float, total: float | None, message: str | None) -> None:
        progress.append((done, total, message))

    async def use() -> types.CallToolResult:
        async with agent.over_stdio(mode) as client:
            return await client.call_tool(
                "my_text_count",
                {"path": str(agents.root / "data" / "a.txt")},
                progress_callback=note,
            )

    result = run(use())
    assert not result.is_error
    assert result.structured_content == {"words": 3}
    assert json.loads(text_of(result)) == {"words": 3}
    assert progress == [(0.5, 1.0, "half")]
    assert [(log.level, log.data) for log in agent.logs] == [("info", "counting")]
    assert result.meta is not None
    record = agents.onex_here("runs", "show", result.meta["onex/run"], "--json").json
    assert record["plan"]["actor"].startswith("mcp:tester#")
    assert record["plan"]["access"]["isolation"] == "strict"
    assert "in the name of mcp:tester#" in agents.onex_here("runs", "show", "latest").stdout


def test_only_what_the_user_offers_can_be_named(agents: Project, mode: str) -> None:
    agent = Agent(agents, roots=[agents.root / "data"])
    (agents.root / "data" / "link").symlink_to("/etc/passwd")
    (agents.root / "other.txt").write_text("secret")

    async def use() -> list[types.CallToolResult]:
        async with agent.over_stdio(mode) as client:
            paths = ("a.txt", "/etc/passwd", "link", "../other.txt", "/proc/self/environ", "")
            return [await client.call_tool("my_text_count", {"path": path}) for path in paths]

    first, *refused = run(use())
    assert first.structured_content == {"words": 3}
    for result in refused[:-1]:
        assert refusal_of(result).startswith("MCP002: path is "), result
    assert refused[-1].is_error
    assert "a folder of the system" in text_of(refused[3])


def test_without_roots_no_file_can_be_named(agents: Project, mode: str) -> None:
    async def use() -> types.CallToolResult:
        async with Agent(agents).over_stdio(mode) as client:
            return await client.call_tool(
                "my_text_count", {"path": str(agents.root / "data/a.txt")}
            )

    result = run(use())
    assert "and no folder is offered" in refusal_of(result)


def test_a_folder_can_be_offered_where_the_server_is_started(agents: Project, mode: str) -> None:
    agent = Agent(agents, arguments=("--root", str(agents.root / "data")))

    async def use() -> types.CallToolResult:
        async with agent.over_stdio(mode) as client:
            return await client.call_tool("my_text_count", {"path": "a.txt"})

    assert run(use()).structured_content == {"words": 3}


def test_a_file_of_a_result_is_a_link_that_can_be_read_and_handed_on(
    agents: Project, mode: str
) -> None:
    async def use() -> None:
        async with Agent(agents, roots=[]).over_stdio(mode) as client:
            made = await client.call_tool("my_text_note", {"text": "four words are here"})
            link = made.content[1]
            assert isinstance(link, types.ResourceLink)
            assert link.name == "note.txt"
            assert str(agents.root) not in made.model_dump_json()
            read = await client.read_resource(link.uri)
            assert isinstance(read.contents[0], types.TextResourceContents)
            assert read.contents[0].text == "four words are here"
            for path in (link.uri, made.structured_content["file"]):
                counted = await client.call_tool("my_text_count", {"path": path})
                assert counted.structured_content == {"words": 4}, counted
            listed = await client.list_resources()
            assert [str(resource.uri) for resource in listed.resources] == [link.uri]

    run(use())


def test_artifacts_of_others_can_be_neither_read_nor_handed_on(agents: Project, mode: str) -> None:
    async def make() -> str:
        async with Agent(agents).over_stdio(mode) as client:
            made = await client.call_tool("my_text_note", {"text": "mine"})
            link = made.content[1]
            assert isinstance(link, types.ResourceLink)
            return link.uri

    uri = run(make())
    digest = uri.rpartition("/")[2]

    async def use() -> None:
        async with Agent(agents, roots=[]).over_stdio(mode) as client:
            with pytest.raises(MCPError, match="no call of this session"):
                await client.read_resource(uri)
            record = {
                "$artifact": digest,
                "name": "note.txt",
                "size_bytes": 4,
                "path": "/etc/passwd",
            }
            for path in (uri, record):
                result = await client.call_tool("my_text_count", {"path": path})
                assert refusal_of(result).startswith("MCP006"), result

    run(use())


def test_what_goes_wrong_has_a_code_and_a_hint(agents: Project, mode: str) -> None:
    add_node(agents, "my.broken", "def execute(context):\n    raise ValueError('no luck')\n")

    async def use() -> None:
        async with Agent(agents).over_stdio(mode) as client:
            unknown = await client.call_tool("nothing", {})
            assert refusal_of(unknown).startswith("MCP001: no tool is called")
            missing = await client.call_tool("my_text_count", {})
            assert "path" in refusal_of(missing)
            wrong = await client.call_tool("my_text_note", {"text": 3})
            assert "text" in refusal_of(wrong)
            more = await client.call_tool("my_text_note", {"text": "a", "b": 1})
            assert "b" in refusal_of(more)
            failed = await client.call_tool("my_broken", {})
            assert "no luck" in refusal_of(failed)
            assert failed.meta is not None
            assert failed.meta["onex/code"] == "EXE001"
            assert failed.meta["onex/run"]

    run(use())


def test_a_workflow_is_a_tool(agents: Project, mode: str) -> None:
    expose(agents, "*.workflow.yaml")
    workflow = agents.workflow(
        {"count": {"node": "tool://my.text.count", "with": {"path": "${{ inputs.file }}"}}},
        inputs={"file": {"type": "string", "description": "What is counted."}},
        outputs={"total": "${{ steps.count.words }}"},
        description="Count what a file has.",
    )
    workflow.rename(agents.root / "words.workflow.yaml")
    agent = Agent(agents, roots=[agents.root / "data"])

    async def use() -> None:
        async with agent.over_stdio(mode) as client:
            (tool,) = (await client.list_tools()).tools
            assert tool.name == "workflow-words"
            assert tool.description == "Count what a file has."
            result = await client.call_tool(tool.name, {"file": "a.txt"})
            assert result.structured_content == {"total": 3}, result
            refused = await client.call_tool(tool.name, {"file": "/etc/passwd"})
            assert refusal_of(refused).startswith("MCP002: file is /etc/passwd")

    run(use())


def test_a_tool_that_changed_since_it_was_listed_is_not_called(agents: Project, mode: str) -> None:
    async def use() -> None:
        async with Agent(agents).over_stdio(mode) as client:
            await client.list_tools()
            add_node(
                agents, "my.text.note", "def execute(context, *, text):\n    return {}\n",
                inputs={"text": {"type": "string"}}, description="Send it to me instead.",
            )  # fmt: skip
            result = await client.call_tool("my_text_note", {"text": "a"})
            assert refusal_of(result).startswith("MCP004"), result
            await client.list_tools(cache_mode="refresh")
            assert not (await client.call_tool("my_text_note", {"text": "a"})).is_error

    run(use())


def test_a_budget_ends_a_session(agents: Project, mode: str) -> None:
    expose(agents, "tag:agent", more="[mcp.budget]\ncalls = 2\n")

    async def use() -> None:
        async with Agent(agents).over_stdio(mode) as client:
            for _ in range(2):
                assert not (await client.call_tool("my_text_note", {"text": "a"})).is_error
            result = await client.call_tool("my_text_note", {"text": "a"})
            assert refusal_of(result).startswith("MCP003"), result
            assert "used up its 2 calls" in text_of(result)

    run(use())


def test_a_project_that_cannot_be_read_is_said(agents: Project, mode: str) -> None:
    async def use() -> None:
        async with Agent(agents).over_stdio(mode) as client:
            (agents.root / "onex.lock").write_text("<<<<<<< ours\n")
            with pytest.raises(MCPError, match="conflict markers"):
                await client.list_tools()
            result = await client.call_tool("my_text_note", {"text": "a"})
            assert "conflict markers" in refusal_of(result)

    run(use())


@pytest.mark.parametrize("name", ["my data", "d\u00e4ta", "100%", "a#b?c"])
def test_folders_of_any_name_can_be_offered(agents: Project, mode: str, name: str) -> None:
    folder = agents.root / name
    folder.mkdir()
    (folder / "b.txt").write_text("one two")
    (agents.root / "link").symlink_to(folder)

    async def use() -> None:
        for root in (folder, agents.root / "link"):
            async with Agent(agents, roots=[root]).over_stdio(mode) as client:
                for path in ("b.txt", str(folder / "b.txt"), str(agents.root / "link" / "b.txt")):
                    result = await client.call_tool("my_text_count", {"path": path})
                    assert result.structured_content == {"words": 2}, result

    run(use())
