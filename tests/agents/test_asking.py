"""How a user is asked for grants, and what happens if they are not there, or say no."""

from __future__ import annotations

import mcp_types as types
import pytest

from tests.agents.conftest import (
    BOTH_MODES,
    READS_HOSTNAME,
    Agent,
    add_node,
    declining,
    granting,
    refusal_of,
    run,
    text_of,
)
from tests.conftest import Project

pytestmark = pytest.mark.parametrize("mode", BOTH_MODES)


def call_twice(agent: Agent, mode: str) -> list[types.CallToolResult]:
    async def use() -> list[types.CallToolResult]:
        async with agent.over_stdio(mode) as client:
            return [await client.call_tool("their_reader", {}) for _ in range(2)]

    return run(use())


def test_the_user_is_asked_once_in_plain_words_and_it_is_kept(stranger: Project, mode: str) -> None:
    agent = Agent(stranger, answer=granting)
    for result in call_twice(agent, mode):
        assert not result.is_error, result
    assert len(agent.questions) == 1
    assert "The tool their_reader asks for permissions." in agent.questions[0]
    assert "tool://their.reader@1.0.0 is from nodes, which is not trusted." in agent.questions[0]
    assert "+ may read /etc/hostname" in agent.questions[0]
    grants = stranger.onex_here("grant", "list", "--json").json["grants"]
    assert [grant["permissions"] for grant in grants] == [["file.read:/etc/hostname"]]
    assert grants[0]["by"].startswith("mcp:tester#")
    again = Agent(stranger, answer=granting)
    assert not call_twice(again, mode)[0].is_error
    assert not again.questions


def test_whoever_says_no_is_not_asked_again(stranger: Project, mode: str) -> None:
    agent = Agent(stranger, answer=declining)
    for result in call_twice(agent, mode):
        assert refusal_of(result).startswith("MCP005"), result
    assert len(agent.questions) == 1
    assert not stranger.onex_here("grant", "list", "--json").json["grants"]


@pytest.mark.parametrize("content", [{"grant": False}, {}, {"grant": "true"}])
def test_only_a_clear_yes_is_one(stranger: Project, mode: str, content: dict[str, object]) -> None:
    def answer(_: types.ElicitRequestFormParams) -> types.ElicitResult:
        return types.ElicitResult.model_validate({"action": "accept", "content": content})

    first = call_twice(Agent(stranger, answer=answer), mode)[0]
    assert refusal_of(first).startswith("MCP005"), first


def test_where_nobody_can_be_asked_the_answer_names_the_command(
    stranger: Project, mode: str
) -> None:
    first = call_twice(Agent(stranger), mode)[0]
    assert refusal_of(first).startswith("SEC006")
    assert "onex grant approve tool://their.reader@1.0.0" in text_of(first)
    assert stranger.onex_here("grant", "approve", "tool://their.reader@1.0.0").code == 0
    assert not call_twice(Agent(stranger), mode)[0].is_error


def test_an_answer_to_another_question_grants_nothing(stranger: Project, mode: str) -> None:
    if mode == "legacy":
        return  # there is no answer without its question, which waits for it

    async def use() -> None:
        async with Agent(stranger, answer=granting).over_stdio(mode) as client:
            session = client.session
            asked = await session.call_tool("their_reader", {}, allow_input_required=True)
            assert isinstance(asked, types.InputRequiredResult)
            # Another version, which asks for more, takes the place of the one that was asked about.
            add_node(
                stranger, "their.reader", READS_HOSTNAME,
                capabilities=["file.read:/etc/hostname", "network.connect:evil.example"],
            )  # fmt: skip
            yes = types.ElicitResult(action="accept", content={"grant": True})
            again = await session.call_tool(
                "their_reader", {}, input_responses={"grant": yes},
                request_state=asked.request_state, allow_input_required=True,
            )  # fmt: skip
            assert isinstance(again, types.InputRequiredResult), again
            assert not stranger.onex_here("grant", "list", "--json").json["grants"]
            forged = await session.call_tool(
                "their_reader", {}, input_responses={"grant": yes}, allow_input_required=True
            )
            assert isinstance(forged, types.InputRequiredResult), forged

    run(use())
