"""``/mcp`` of a server: tokens and roles, sessions of one token each, and what is not told."""

from __future__ import annotations

from collections.abc import Iterator

import httpx2
import mcp_types as types
import pytest
from mcp.shared.exceptions import MCPError

from tests.agents.conftest import (
    BOTH_MODES,
    READS_HOSTNAME,
    Agent,
    add_node,
    distrust_nodes,
    expose,
    granting,
    refusal_of,
    run,
)
from tests.conftest import Project, RegistryServer

pytestmark = pytest.mark.slow


@pytest.fixture
def server(agents: Project) -> Iterator[RegistryServer]:
    toml = (agents.root / "onex.toml").read_text()
    agents.write("onex.toml", f'{toml}\n[server]\nprivate_namespaces = ["hidden.*"]\n')
    add_node(agents, "hidden.tool", "def execute(context):\n    return {'a': 1}\n")
    agents.scan()
    found = RegistryServer(agents)
    found.start()
    yield found
    found.stop()


def token_of(server: RegistryServer, role: str, *namespaces: str) -> str:
    options = [f"--namespace={namespace}" for namespace in namespaces]
    made = server.project.onex_here("token", "create", role, "--role", role, *options, "--json")
    text: str = made.json["token"]
    return text


@pytest.mark.parametrize("mode", BOTH_MODES)
def test_a_publisher_calls_tools_and_is_named(server: RegistryServer, mode: str) -> None:
    token = token_of(server, "publisher")

    async def use() -> types.CallToolResult:
        async with Agent(server.project).over_http(mode, server, token) as client:
            names = [tool.name for tool in (await client.list_tools()).tools]
            assert names == ["hidden_tool", "my_text_count", "my_text_note"]
            result = await client.call_tool("my_text_note", {"text": "hello"})
            link = result.content[1]
            assert isinstance(link, types.ResourceLink)
            read = await client.read_resource(link.uri)
            assert isinstance(read.contents[0], types.TextResourceContents)
            assert read.contents[0].text == "hello"
            return result

    result = run(use())
    assert result.meta is not None
    record = server.project.onex_here("runs", "show", result.meta["onex/run"], "--json").json
    assert record["plan"]["actor"].startswith("tok_")
    assert "mcp:tester#" in record["plan"]["actor"]


@pytest.mark.parametrize("mode", BOTH_MODES)
def test_tokens_see_and_run_what_their_role_and_namespaces_allow(
    server: RegistryServer, mode: str
) -> None:
    async def names(token: str) -> list[str]:
        async with Agent(server.project).over_http(mode, server, token) as client:
            hidden = await client.call_tool("hidden_tool", {})
            assert "hidden.tool" not in refusal_of(hidden), hidden
            return [tool.name for tool in (await client.list_tools()).tools]

    assert run(names(token_of(server, "publisher", "my.text"))) == ["my_text_count", "my_text_note"]
    assert run(names(token_of(server, "publisher", "none"))) == []


@pytest.mark.parametrize("mode", BOTH_MODES)
def test_many_tools_are_found_and_described(server: RegistryServer, mode: str) -> None:
    server.stop()
    expose(server.project, "tag:agent", more="list_limit = 1\n")
    server.start()

    async def use() -> None:
        agent = Agent(server.project)
        async with agent.over_http(mode, server, token_of(server, "publisher")) as client:
            found = await client.call_tool("find_tools", {"query": "count"})
            assert found.structured_content is not None
            name = found.structured_content["tools"][0]["name"]
            described = await client.call_tool("describe_tool", {"name": name})
            assert not described.is_error
            names = [tool.name for tool in (await client.list_tools()).tools]
            assert names == ["find_tools", "describe_tool", "run_tool", name]

    run(use())


@pytest.mark.parametrize("mode", BOTH_MODES)
def test_folders_of_a_client_elsewhere_are_not_those_of_the_server(
    server: RegistryServer, mode: str
) -> None:
    agent = Agent(server.project, roots=[server.project.root / "data"])

    async def use() -> types.CallToolResult:
        async with agent.over_http(mode, server, token_of(server, "publisher")) as client:
            path = str(server.project.root / "data" / "a.txt")
            return await client.call_tool("my_text_count", {"path": path})

    result = run(use())
    assert refusal_of(result).startswith("MCP002")


@pytest.mark.parametrize("mode", BOTH_MODES)
def test_grants_are_asked_of_maintainers_alone(server: RegistryServer, mode: str) -> None:
    project = server.project
    server.stop()
    distrust_nodes(project)
    add_node(project, "their.reader", READS_HOSTNAME, capabilities=["file.read:/etc/hostname"])
    server.start()
    agent = Agent(project, answer=granting)

    async def use(token: str) -> types.CallToolResult:
        async with agent.over_http(mode, server, token) as client:
            return await client.call_tool("their_reader", {})

    refused = run(use(token_of(server, "publisher")))
    assert refusal_of(refused).startswith("SEC006")
    assert not agent.questions
    assert not run(use(token_of(server, "maintainer"))).is_error
    assert len(agent.questions) == 1


@pytest.mark.parametrize("mode", BOTH_MODES)
def test_another_token_cannot_read_what_a_session_made(server: RegistryServer, mode: str) -> None:
    async def use() -> None:
        one, other = token_of(server, "publisher"), token_of(server, "publisher")
        agent = Agent(server.project)
        async with (
            agent.over_http(mode, server, one) as client,
            agent.over_http(mode, server, other) as stranger,
        ):
            made = await client.call_tool("my_text_note", {"text": "mine"})
            link = made.content[1]
            assert isinstance(link, types.ResourceLink)
            with pytest.raises(MCPError, match="no call of this session"):
                await stranger.read_resource(link.uri)
            assert not (await stranger.list_resources()).resources

    run(use())


def initialize(server: RegistryServer, **headers: str) -> httpx2.Response:
    body = {
        "jsonrpc": "2.0", "id": 1, "method": "initialize",
        "params": {"protocolVersion": "2025-11-25", "capabilities": {},
                   "clientInfo": {"name": "raw", "version": "1"}},
    }  # fmt: skip
    accepted = {"accept": "application/json, text/event-stream"}
    return httpx2.post(f"{server.url}mcp", json=body, headers=accepted | headers, timeout=30)


def test_without_a_token_it_is_said_where_to_look(server: RegistryServer) -> None:
    answer = initialize(server)
    assert answer.status_code == 401
    where = answer.headers["www-authenticate"].partition('resource_metadata="')[2].rstrip('"')
    told = httpx2.get(where).json()
    assert told["resource"] == f"{server.url}mcp"
    assert told["bearer_methods_supported"] == ["header"]
    assert initialize(server, authorization="Bearer onex_wrong").status_code == 401
    reader = initialize(server, authorization=f"Bearer {token_of(server, 'reader')}")
    assert reader.status_code == 403
    assert "--role publisher" in reader.text


def test_a_session_belongs_to_the_token_that_began_it(server: RegistryServer) -> None:
    one, other = token_of(server, "publisher"), token_of(server, "publisher")
    session = initialize(server, authorization=f"Bearer {one}").headers["mcp-session-id"]
    headers = {
        "accept": "application/json, text/event-stream", "mcp-session-id": session,
        "mcp-protocol-version": "2025-11-25",
    }  # fmt: skip
    body = {"jsonrpc": "2.0", "id": 2, "method": "tools/list"}

    def ask(token: str, **more: str) -> int:
        sent = headers | {"authorization": f"Bearer {token}"} | more
        return httpx2.post(f"{server.url}mcp", json=body, headers=sent, timeout=30).status_code

    assert ask(one) == 200
    assert ask(other) == 404
    # Nobody can choose the name of a session for somebody else.
    assert ask(one, mcp_session_id="a" * 32) == 200
    assert ask(one, **{"mcp-session-id": "b" * 32}) == 404


def test_a_server_of_several_processes_says_that_it_serves_no_agents(agents: Project) -> None:
    expose(agents, "tag:agent")
    server = RegistryServer(agents, ["--workers", "2"])
    server.start()
    try:
        answer = initialize(server, authorization=f"Bearer {token_of(server, 'publisher')}")
        assert answer.status_code == 501
        assert "several processes" in answer.json()["detail"]
    finally:
        server.stop()


def test_what_is_private_is_not_told_whatever_its_state(server: RegistryServer) -> None:
    project = server.project
    add_node(project, "hidden.draft", "def execute(context):\n    return {}\n", lifecycle="draft")
    project.write(
        "w.workflow.yaml", '{"name": "w", "steps": {"a": {"node": "tool://hidden.none@^9"}}}'
    )
    toml = (project.root / "onex.toml").read_text()
    project.write("onex.toml", toml.replace('"tag:agent"', '"tag:agent", "*.workflow.yaml"'))
    project.scan()
    assert project.onex_here("yank", "tool://hidden.tool@1.0.0").code == 0
    server.stop()
    server.start()

    async def use() -> None:
        token = token_of(server, "publisher", "my")
        async with Agent(project).over_http("auto", server, token) as client:
            for name in ("hidden_draft", "hidden_tool", "workflow-w"):
                told = refusal_of(await client.call_tool(name, {}))
                assert told.startswith(f"MCP001: no tool is called '{name}'\n"), told

    run(use())


@pytest.mark.parametrize("mode", BOTH_MODES)
def test_a_changed_tool_stays_refused_until_it_is_listed(server: RegistryServer, mode: str) -> None:
    project = server.project

    async def use() -> None:
        async with Agent(project).over_http(mode, server, token_of(server, "publisher")) as client:
            await client.list_tools()
            add_node(
                project, "my.text.note", "def execute(context, *, text):\n    return {}\n",
                inputs={"text": {"type": "string"}}, description="Another.",
            )  # fmt: skip
            for _ in range(3):
                result = await client.call_tool("my_text_note", {"text": "a"})
                assert refusal_of(result).startswith("MCP004")
            await client.list_tools(cache_mode="refresh")
            assert not (await client.call_tool("my_text_note", {"text": "a"})).is_error

    run(use())


def test_invented_sessions_take_nothing_from_others(server: RegistryServer) -> None:
    one, other = token_of(server, "publisher"), token_of(server, "publisher", "none")

    async def use() -> None:
        async with Agent(server.project).over_http("auto", server, one) as client:
            made = await client.call_tool("my_text_note", {"text": "mine"})
            link = made.content[1]
            assert isinstance(link, types.ResourceLink)
            await flood(other)
            assert (await client.read_resource(link.uri)).contents

    async def flood(token: str) -> None:
        headers = {
            "accept": "application/json, text/event-stream",
            "authorization": f"Bearer {token}", "mcp-protocol-version": "2026-07-28",
            "mcp-method": "resources/list",
        }  # fmt: skip
        meta = {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {},
        }
        body = {"jsonrpc": "2.0", "id": 1, "method": "resources/list", "params": {"_meta": meta}}
        async with httpx2.AsyncClient(timeout=30) as http:
            for i in range(300):
                answer = await http.post(
                    f"{server.url}mcp", json=body, headers=headers | {"mcp-session-id": f"e{i}"}
                )
                assert answer.status_code in (200, 429), answer.text

    run(use())


def test_one_token_cannot_take_all_sessions(server: RegistryServer) -> None:
    greedy, other = token_of(server, "publisher"), token_of(server, "publisher")
    codes = [initialize(server, authorization=f"Bearer {greedy}").status_code for _ in range(203)]
    assert codes[:200] == [200] * 200
    assert codes[-1] in (429, 503)
    assert initialize(server, authorization=f"Bearer {other}").status_code == 200


@pytest.mark.parametrize("mode", BOTH_MODES)
def test_a_question_without_an_answer_holds_up_nobody_else(
    server: RegistryServer, mode: str
) -> None:
    import asyncio

    project = server.project
    server.stop()
    distrust_nodes(project)
    add_node(project, "their.reader", READS_HOSTNAME, capabilities=["file.read:/etc/hostname"])
    server.start()
    one, other = token_of(server, "maintainer"), token_of(server, "maintainer")

    class Silent(Agent):
        async def _elicit(self, _: object, params: types.ElicitRequestParams) -> types.ElicitResult:
            asked.set()
            await asyncio.sleep(300)
            raise AssertionError

    asked = asyncio.Event()

    async def use() -> None:
        silent, quick = Silent(project, answer=granting), Agent(project, answer=granting)
        async with (
            silent.over_http(mode, server, one) as waiting,
            quick.over_http(mode, server, other) as client,
        ):
            task = asyncio.create_task(waiting.call_tool("their_reader", {}))
            await asked.wait()
            assert not (await client.call_tool("their_reader", {})).is_error
            task.cancel()

    run(use())
