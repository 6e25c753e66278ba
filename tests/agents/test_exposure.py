"""What is offered, and why the rest is not."""

from __future__ import annotations

import pytest

from onex.agents.tool_catalog import ToolCatalog
from onex.domain.agent_errors import UnknownToolError
from tests.agents.conftest import add_node, expose
from tests.conftest import Project

GIVE = "def execute(context):\n    return {}\n"


def offered(project: Project) -> tuple[list[str], dict[str, str]]:
    """The names of the tools, and what is not offered with the reason."""
    with project.registry() as registry:
        registry.refresh()
        catalog = ToolCatalog(registry)
        tools = catalog.tools() or ()
        for tool in tools:
            assert catalog.tool(tool.name) == tool
        found = {tool.name for tool in catalog.find("what", 20)}
        assert found <= {tool.name for tool in tools}
        return [tool.name for tool in tools], {w.identity: w.reason for w in catalog.withheld()}


def test_only_what_is_named_is_offered(project: Project) -> None:
    add_node(project, "my.one", GIVE)
    add_node(project, "my.two", GIVE, tags=["other"])
    add_node(project, "mine.three", GIVE, meta_type="validator")
    for patterns, names in (
        ((), []),
        (("tag:agent",), ["my_one", "validator-mine_three-"]),
        (("tool://my.*",), ["my_one", "my_two"]),
        (("tool://my.one",), ["my_one"]),
        (("tool://*",), ["my_one", "my_two"]),
        (("validator://mine.*", "tag:other"), ["my_two", "validator-mine_three-"]),
        (("tool://mine.*",), []),
    ):
        expose(project, *patterns)
        found, _ = offered(project)
        assert len(found) == len(names), (patterns, found)
        assert all(a.startswith(b) for a, b in zip(found, names, strict=True)), (patterns, found)


def test_what_is_not_offered_has_a_reason(project: Project) -> None:
    add_node(project, "my.draft", GIVE, lifecycle="draft")
    add_node(project, "my.gone", GIVE)
    add_node(project, "my.outside", GIVE, inputs={"a": {"$ref": "https://elsewhere.example/s"}})
    add_node(project, "my.hidden", GIVE, inputs={"a": {"type": "string", "enum": ["x\u200b"]}})
    add_node(project, "my.large", GIVE, inputs={"a": {"type": "string", "enum": ["x" * 70_000]}})
    add_node(project, "my.wrong", GIVE, inputs={"a": {"type": "odd"}})
    expose(project, "tool://my.*", "*.workflow.yaml")
    project.write("broken.workflow.yaml", "steps: 3\n")
    project.onex_here("scan")
    assert project.onex_here("yank", "tool://my.gone@1.0.0").code == 0
    names, withheld = offered(project)
    assert names == []
    for identity, reason in (
        ("tool://my.draft@1.0.0", "write lifecycle: active"),
        ("tool://my.gone@1.0.0", "was yanked"),
        ("tool://my.outside@1.0.0", "which is not in it"),
        ("tool://my.hidden@1.0.0", "not seen"),
        ("tool://my.large@1.0.0", "more than 65536 bytes"),
        ("tool://my.wrong@1.0.0", "is not valid"),
        ("workflow:broken.workflow.yaml", "cannot be run"),
    ):
        assert reason in withheld[identity], withheld
    listed = project.onex_here("mcp", "list")
    assert "0 tools" in listed.stdout
    assert "tool://my.gone@1.0.0 is not offered: it was yanked" in listed.stderr


def test_a_lock_is_the_list(project: Project) -> None:
    add_node(project, "my.one", GIVE)
    add_node(project, "my.two", GIVE)
    expose(project, "tool://my.*")
    project.onex_here("scan")
    assert project.onex_here("lock", "tool://my.one").code == 0
    assert offered(project)[0] == ["my_one"]
    with (
        project.registry() as registry,
        pytest.raises(UnknownToolError, match=r"not in onex\.lock"),
    ):
        ToolCatalog(registry).tool("my_two")
    add_node(project, "my.one", GIVE + "# changed\n")
    assert offered(project) == (
        [],
        {"tool://my.one@1.0.0": "changed since it was locked; onex lock shows how"},
    )


def test_a_locked_version_is_offered_though_a_newer_one_is_there(project: Project) -> None:
    add_node(project, "my.one", GIVE)
    expose(project, "tool://my.*")
    project.onex_here("scan")
    project.onex_here("lock", "tool://my.one")
    add_node(project, "my.one", GIVE, version="2.0.0", folder="newer")
    with project.registry() as registry:
        registry.refresh()
        (tool,) = ToolCatalog(registry).tools() or ()
        assert tool.meta["onex/version"] == "1.0.0"
        assert ToolCatalog(registry).find("one", 5) == [tool]


def test_the_policy_decides_too(project: Project) -> None:
    add_node(project, "my.one", GIVE)
    expose(project, "tool://my.*")
    toml = (project.root / "onex.toml").read_text()
    untrusted = toml.replace('path = "nodes"', 'path = "nodes"\ntrusted = false')
    project.write("onex.toml", f'{untrusted}\n[policy.trust."my.*"]\nrun = "signed"\n')
    checked = project.onex_here("config", "show")
    assert checked.code == 0, checked.stderr
    names, withheld = offered(project)
    assert names == []
    assert withheld


def test_workflows_that_leave_the_project_are_not_offered(project: Project) -> None:
    outside = project.root.parent / f"{project.root.name}-outside.workflow.yaml"
    add_node(project, "my.one", GIVE)
    project.workflow({"a": {"node": "tool://my.one"}}).rename(outside)
    (project.root / "link.workflow.yaml").symlink_to(outside)
    expose(project, "*.workflow.yaml")
    names, withheld = offered(project)
    assert names == []
    assert withheld == {"workflow:link.workflow.yaml": "leads out of the project through a link"}


def test_a_manifest_claims_nothing(project: Project) -> None:
    add_node(
        project, "my.claims", GIVE, capabilities=["file.write:/tmp/**"],
        **{"annotations": {"readOnlyHint": True}, "x-extensions": {"readOnlyHint": True}},
    )  # fmt: skip
    expose(project, "tool://my.*")
    with project.registry() as registry:
        registry.refresh()
        (tool,) = ToolCatalog(registry).tools() or ()
    assert tool.facts.annotations()["readOnlyHint"] is False


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('expose = "tag:a"', "expose must be a list of texts"),
        ('expose = ["agent"]', "'agent' means no nodes and no workflows"),
        ("list_limit = -1", "list_limit must be a whole number"),
        ("list_limit = true", "list_limit must be a whole number"),
        ("roots = [1]", "roots must be a list of texts"),
        ("budget = 3", "budget must be a table"),
        ("budget = {calls = 1.5}", "calls must be a whole number"),
        ("budget = {seconds = 'x'}", "seconds of budget must be a number"),
        ("budget = {other = 1}", "'other' of budget is no key"),
        ("other = 1", "'other' is no key"),
    ],
)
def test_settings_that_are_wrong_are_refused_with_the_place(
    project: Project, line: str, told: str
) -> None:
    project.write("onex.toml", f"[mcp]\n{line}\n")
    refused = project.onex_here("mcp", "list")
    assert refused.code == 2
    assert told in refused.stderr
    assert "onex.toml" in refused.stderr


@pytest.mark.parametrize("client", ["claude-code", "codex", "vscode", "zed"])
def test_settings_for_clients_start_the_server(project: Project, client: str) -> None:
    import json
    import tomllib

    done = project.onex_here("mcp", "config", client, "--root", ".")
    body = tomllib.loads(done.stdout) if client == "codex" else json.loads(done.stdout)
    ((name, servers),) = body.items()
    assert name in ("mcpServers", "mcp_servers", "servers", "context_servers")
    assert servers["onex"]["args"][:3] == ["-m", "onex", "mcp"]
    assert servers["onex"]["args"][-2:] == ["--root", str(project.root)]


def test_tags_of_the_locked_version_count(project: Project) -> None:
    add_node(project, "my.one", GIVE)
    add_node(project, "my.two", GIVE, tags=[])
    expose(project, "tag:agent")
    project.onex_here("scan")
    assert project.onex_here("lock", "tool://my.one", "tool://my.two").code == 0
    add_node(project, "my.one", GIVE, version="2.0.0", folder="one-2", tags=[])
    add_node(project, "my.two", GIVE, version="2.0.0", folder="two-2")
    assert offered(project)[0] == ["my_one"]
    with project.registry() as registry, pytest.raises(UnknownToolError):
        ToolCatalog(registry).tool("my_two")


def test_tools_of_names_that_look_alike_are_all_found(project: Project) -> None:
    namespaces = ["a.b_c", "a.b.c", "a_b.c", "a-b.c", "find.tools", "x" * 70, "y" * 70, "A.B.c"]
    for number, namespace in enumerate(namespaces):
        add_node(project, namespace, GIVE, folder=f"n{number}")
    expose(project, "tool://*")
    names, withheld = offered(project)
    assert len(names) == len(namespaces), withheld


def test_permissions_that_hold_what_is_not_seen_are_not_shown(project: Project) -> None:
    add_node(project, "my.one", GIVE, capabilities=["secret.access:a\u200bb"])
    expose(project, "tool://my.*")
    names, withheld = offered(project)
    assert names == []
    assert "not seen" in withheld["tool://my.one@1.0.0"]
