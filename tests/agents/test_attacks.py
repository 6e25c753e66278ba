"""What a hostile client tried, and what must not come of it again."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import mcp_types as types
import pytest

from tests.agents.conftest import (
    BOTH_MODES,
    COUNT,
    Agent,
    add_node,
    declining,
    expose,
    granting,
    refusal_of,
    run,
)
from tests.conftest import Project

GRANTED = types.ElicitResult(action="accept", content={"grant": True})


def workflow(project: Project, path: str, **more: object) -> None:
    expose(project, "tag:agent", "*.workflow.yaml")
    made = project.workflow(
        {"count": {"node": "tool://my.text.count", "with": {"path": path}} | more},
        inputs={"name": {}},
        outputs={"o": "${{ steps.count }}"},
    )
    made.rename(project.root / "w.workflow.yaml")


@pytest.mark.parametrize(
    ("path", "name", "more"),
    [
        ("${{ inputs.name }}/a.txt", "{root}/other", {}),
        ("data/${{ inputs.name }}", "../other/a.txt", {}),
        ("data/${{ inputs.name }}", "../../../../../../../../etc/hostname", {}),
        ("${{ item }}", ["{root}/other/a.txt"], {"foreach": "${{ inputs.name }}"}),
        ("${{ item }}/a.txt", ["{root}/other"], {"foreach": "${{ inputs.name }}"}),
        ("${{ inputs.name.path }}", {"path": "{root}/other/a.txt"}, {}),
    ],
)
def test_paths_that_a_workflow_puts_together_stay_in_the_offered_folders(
    agents: Project, path: str, name: object, more: dict[str, object]
) -> None:
    (agents.root / "other").mkdir()
    (agents.root / "other" / "a.txt").write_text("secret words")
    workflow(agents, path, **more)
    given = str(name).replace("{root}", str(agents.root))
    value = given if isinstance(name, str) else eval(given)

    async def use() -> types.CallToolResult:
        async with Agent(agents, roots=[agents.root / "data"]).over_stdio("auto") as client:
            return await client.call_tool("workflow-w", {"name": value})

    assert refusal_of(run(use())).startswith("MCP002")


def test_paths_of_the_author_and_within_the_folders_are_handed_over(agents: Project) -> None:
    (agents.root / "own").mkdir()
    (agents.root / "own" / "b.txt").write_text("one two")
    workflow(agents, "data/${{ inputs.name }}")
    agents.workflow(
        {"count": {"node": "tool://my.text.count", "with": {"path": "own/b.txt"}}},
        inputs={"name": {}}, outputs={"o": "${{ steps.count }}"},
    ).rename(agents.root / "own.workflow.yaml")  # fmt: skip

    async def use() -> None:
        async with Agent(agents, roots=[agents.root / "data"]).over_stdio("auto") as client:
            joined = await client.call_tool("workflow-w", {"name": "a.txt"})
            assert joined.structured_content == {"o": {"words": 3}}, joined
            own = await client.call_tool("workflow-own", {"name": "x"})
            assert own.structured_content == {"o": {"words": 2}}, own

    run(use())


def test_a_link_that_is_swapped_meanwhile_leads_nowhere_else(agents: Project) -> None:
    data, other = agents.root / "data", agents.root / "other"
    for place in (data / "d", other):
        place.mkdir()
    (data / "d" / "f.txt").write_text("one two")
    (other / "f.txt").write_text("this is a secret of five")
    ended = threading.Event()

    def swap() -> None:
        for _ in range(20_000):
            if ended.is_set():
                break
            (data / "d").rename(data / "real")
            (data / "d").symlink_to(other)
            time.sleep(0.001)
            (data / "d").unlink()
            (data / "real").rename(data / "d")
            time.sleep(0.001)

    async def use() -> list[types.CallToolResult]:
        async with Agent(agents, roots=[data]).over_stdio("auto") as client:
            return [await client.call_tool("my_text_count", {"path": "d/f.txt"}) for _ in range(40)]

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        results = run(use())
    finally:
        ended.set()
        thread.join()
    counts = {r.structured_content["words"] for r in results if not r.is_error}
    assert counts <= {2}


@pytest.mark.parametrize("path", ["\0", "a" * 5_000, "x/" * 3_000, "~", "file:///etc/hostname"])
def test_odd_paths_are_refused_with_a_code(agents: Project, path: str) -> None:
    async def use() -> types.CallToolResult:
        async with Agent(agents, roots=[agents.root / "data"]).over_stdio("auto") as client:
            return await client.call_tool("my_text_count", {"path": path})

    assert refusal_of(run(use()))[:3] in ("MCP", "EXE", "WFL", "SEC")
    assert "Traceback" not in (agents.root / "mcp.log").read_text()


@pytest.mark.parametrize("mode", BOTH_MODES)
def test_what_is_revoked_meanwhile_is_asked_again(stranger: Project, mode: str) -> None:
    agent = Agent(stranger, answer=granting)

    async def use() -> None:
        async with agent.over_stdio(mode) as client:
            assert not (await client.call_tool("their_reader", {})).is_error
            assert stranger.onex_here("grant", "revoke", "tool://their.reader").code == 0
            assert not (await client.call_tool("their_reader", {})).is_error

    run(use())
    assert len(agent.questions) == 2


def test_an_answer_counts_once(stranger: Project) -> None:
    async def use() -> None:
        async with Agent(stranger, answer=granting).over_stdio("auto") as client:
            session = client.session
            asked = await session.call_tool("their_reader", {}, allow_input_required=True)
            assert isinstance(asked, types.InputRequiredResult)
            sent = {"input_responses": {"grant": GRANTED}, "request_state": asked.request_state}
            first = await session.call_tool("their_reader", {}, allow_input_required=True, **sent)
            assert isinstance(first, types.CallToolResult)
            assert not first.is_error
            stranger.onex_here("grant", "revoke", "tool://their.reader")
            again = await session.call_tool("their_reader", {}, allow_input_required=True, **sent)
            assert isinstance(again, types.InputRequiredResult)

    run(use())


def test_a_no_is_not_made_a_yes_by_the_same_question(stranger: Project) -> None:
    async def use() -> None:
        async with Agent(stranger, answer=declining).over_stdio("auto") as client:
            session = client.session
            asked = await session.call_tool("their_reader", {}, allow_input_required=True)
            assert isinstance(asked, types.InputRequiredResult)
            state = asked.request_state
            for answer in (types.ElicitResult(action="decline"), GRANTED):
                result = await session.call_tool(
                    "their_reader", {}, allow_input_required=True, request_state=state,
                    input_responses={"grant": answer},
                )  # fmt: skip
                assert isinstance(result, types.CallToolResult)
                assert refusal_of(result).startswith("MCP005")

    run(use())


def test_a_call_that_is_made_again_with_an_old_answer_is_counted(agents: Project) -> None:
    expose(agents, "tag:agent", more="[mcp.budget]\ncalls = 2\n")

    async def use() -> list[bool]:
        async with Agent(agents, roots=[agents.root / "data"]).over_stdio("auto") as client:
            session, given = client.session, {"path": "a.txt"}
            asked = await session.call_tool("my_text_count", given, allow_input_required=True)
            assert isinstance(asked, types.InputRequiredResult)
            root = types.Root(uri=(agents.root / "data").as_uri())
            sent = {
                "input_responses": {"roots": types.ListRootsResult(roots=[root])},
                "request_state": asked.request_state,
            }
            results = [
                await session.call_tool("my_text_count", given, allow_input_required=True, **sent)
                for _ in range(5)
            ]
            return [isinstance(r, types.CallToolResult) and not r.is_error for r in results]

    assert run(use()) == [True, True, False, False, False]


def test_a_call_ends_when_the_seconds_of_its_session_are_used_up(agents: Project) -> None:
    expose(agents, "tag:agent", more="[mcp.budget]\nseconds = 1\n")
    add_node(agents, "my.slow", "import time\ndef execute(context):\n    time.sleep(40)\n")

    async def use() -> types.CallToolResult:
        async with Agent(agents).over_stdio("auto") as client:
            return await client.call_tool("my_slow", {})

    assert refusal_of(run(use())).startswith("MCP003: this session has used up its 1 s")


@pytest.mark.parametrize("uri", ["file://", "file:", "file:///", "file://elsewhere/tmp"])
def test_roots_that_name_no_folder_offer_none(agents: Project, uri: str) -> None:
    class Odd(Agent):
        async def _roots(self, _: object) -> types.ListRootsResult:
            root = types.Root.model_construct(uri=uri)
            return types.ListRootsResult(roots=[root])

    agent = Odd(agents, roots=[])
    (agents.root / "a.txt").write_text("one")

    async def use() -> types.CallToolResult:
        async with agent.over_stdio("auto") as client:
            return await client.call_tool(
                "my_text_count", {"path": str(Path(agents.root, "a.txt"))}
            )

    assert refusal_of(run(use())).startswith("MCP002")


def test_what_looks_like_an_artifact_of_a_workflow_cannot_be_read(agents: Project) -> None:
    import hashlib

    from mcp.shared.exceptions import MCPError

    content = Path("/etc/hostname").read_bytes()
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    expose(agents, "*.workflow.yaml")
    add_node(agents, "my.echo", COUNT.replace("path, top=3", "**inputs"))
    agents.workflow(
        {"note": {"node": "tool://my.text.note", "with": {"text": "a"}}},
        inputs={"t": {}},
        outputs={"f": {"$artifact": "${{ inputs.t }}", "name": "hostname", "path": "/etc/hostname",
                       "size_bytes": len(content)}},
    ).rename(agents.root / "w.workflow.yaml")  # fmt: skip

    async def use() -> None:
        async with Agent(agents).over_stdio("auto") as client:
            made = await client.call_tool("workflow-w", {"t": digest})
            assert "/etc/hostname" not in made.model_dump_json()
            with pytest.raises(MCPError, match="no call of this session"):
                await client.read_resource(f"onex://artifact/{digest}")

    run(use())
