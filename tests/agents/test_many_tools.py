"""A registry with more tools than are listed: they are found, described and run."""

from __future__ import annotations

import mcp_types as types
import pytest

from tests.agents.conftest import (
    MODES,
    Agent,
    add_node,
    distrust_nodes,
    expose,
    granting,
    refusal_of,
    run,
)
from tests.conftest import Project

pytestmark = pytest.mark.parametrize("mode", MODES)

GREET = "def execute(context, *, who):\n    return {'text': 'hello ' + who}\n"


@pytest.fixture
def many(agents: Project) -> Project:
    expose(agents, "tag:agent", more="list_limit = 2\n")
    add_node(
        agents, "my.greeter", GREET, description="Greet a person.\nIn a friendly way.",
        inputs={"who": {"type": "string"}},
    )  # fmt: skip
    return agents


def test_tools_are_found_described_and_run(many: Project, mode: str) -> None:
    agent = Agent(many)

    async def use() -> None:
        async with agent.over_stdio(mode) as client:
            listed = [tool.name for tool in (await client.list_tools()).tools]
            assert listed == ["find_tools", "describe_tool", "run_tool"]
            found = await client.call_tool("find_tools", {"query": "greet"})
            assert found.structured_content == {
                "tools": [
                    {"name": "my_greeter", "title": "greeter", "description": "Greet a person."}
                ]
            }
            described = await client.call_tool("describe_tool", {"name": "my_greeter"})
            assert described.structured_content is not None
            assert described.structured_content["inputSchema"]["required"] == ["who"]
            result = await client.call_tool(
                "run_tool", {"name": "my_greeter", "arguments": {"who": "Ada"}}
            )
            assert result.structured_content == {"text": "hello Ada"}, result
            after = (await client.list_tools(cache_mode="refresh")).tools
            assert [tool.name for tool in after] == [*listed, "my_greeter"]
            direct = await client.call_tool("my_greeter", {"who": "Bob"})
            assert direct.structured_content == {"text": "hello Bob"}

    run(use())
    if mode == "legacy":
        changed = [m for m in agent.messages if isinstance(m, types.ToolListChangedNotification)]
        assert len(changed) == 1


def test_a_client_that_listens_is_told_of_a_longer_list(many: Project, mode: str) -> None:
    if mode == "legacy":
        return  # every such client is told, which the test before sees

    async def use() -> None:
        async with (
            Agent(many).over_stdio(mode) as client,
            client.listen(tools_list_changed=True) as events,
        ):
            await client.call_tool("describe_tool", {"name": "my_greeter"})
            async for event in events:
                assert type(event).__name__ == "ToolsListChanged"
                return

    run(use())


def test_what_is_asked_for_wrongly_is_said(many: Project, mode: str) -> None:
    wrong: list[tuple[str, dict[str, object]]] = [
        ("find_tools", {}),
        ("find_tools", {"query": " "}),
        ("find_tools", {"query": "a", "limit": 0}),
        ("describe_tool", {}),
        ("describe_tool", {"name": "nothing"}),
        ("run_tool", {"name": "my_greeter", "arguments": "who"}),
        ("run_tool", {"name": "run_tool", "arguments": {}}),
    ]

    async def use() -> None:
        async with Agent(many).over_stdio(mode) as client:
            for name, arguments in wrong:
                result = await client.call_tool(name, arguments)
                assert refusal_of(result).startswith(("USE001", "MCP001")), result

    run(use())


def test_the_question_names_the_tool_that_is_run(many: Project, mode: str) -> None:
    distrust_nodes(many)
    add_node(many, "my.asking", GREET, capabilities=["network.connect:api.example"],
             inputs={"who": {"type": "string"}})  # fmt: skip
    agent = Agent(many, answer=granting)

    async def use() -> None:
        async with agent.over_stdio(mode) as client:
            arguments = {"name": "my_asking", "arguments": {"who": "Ada"}}
            assert not (await client.call_tool("run_tool", arguments)).is_error

    run(use())
    assert "The tool my_asking asks" in agent.questions[0]
    assert "may connect to api.example" in agent.questions[0]
