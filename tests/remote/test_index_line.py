"""Index lines: they follow from the log alone, are read back unchanged, and hostile ones are refused."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onex.domain.archive_place import ArchivePlace
from onex.domain.metadata import VersionState
from onex.domain.reference import NodeId
from onex.domain.remote_errors import RemoteProtocolError
from onex.remote.index_line import IndexLine, index_lines
from onex.remote.tree import (
    Change,
    TreeConfig,
    index_path,
    name_of_path,
    names_path,
    node_of_path,
    read_changes,
    read_names,
    write_changes,
)
from tests.conftest import Project

NODE = NodeId("tool", "test.greeter")


@pytest.fixture
def line(project: Project) -> dict[str, Any]:
    manifest = project.add("greeter", inputs={"who": {"type": "string"}}, tags=["a"])
    with project.registry() as registry:
        registry.publish_here(manifest)
        (found,) = registry.published.lines(NODE)
    return json.loads(str(found))


def test_lines_follow_the_log(project: Project) -> None:
    with project.registry() as registry:
        for version in ("1.0.0", "1.10.0", "1.2.0"):
            registry.publish_here(project.add("greeter", version=version))
        events = registry.storage.changes_of(NODE, registry_constraint())
        lines = index_lines(events)
        assert [str(one.metadata.version) for one in lines] == ["1.0.0", "1.2.0", "1.10.0"]
        assert all(one.state == VersionState() for one in lines)
        serials = [one.serial for one in lines]
        registry.yank(reference("tool://test.greeter@1.2.0"), reason="it loses data")
        yanked = registry.published.lines(NODE)[1]
        assert yanked.state == VersionState(yanked=True, yank_reason="it loses data")
        assert yanked.yanked_at is not None
        assert yanked.serial > max(serials)
        others = [one for one in registry.published.lines(NODE) if one is not yanked]
        assert [one.serial for one in others][:1] == serials[:1]
        # Every prefix of the log gives the lines as they were then.
        assert index_lines(events[:2]) == lines[:1]
        registry.storage.rebuild()
        assert registry.published.lines(NODE)[1] == yanked


def reference(text: str) -> Any:
    from onex.domain.reference import NodeRef

    return NodeRef.parse(text)


def registry_constraint() -> Any:
    from onex.domain.constraint import LATEST

    return LATEST


def test_what_was_published_never_changes_whatever_a_scan_finds(project: Project) -> None:
    manifest = project.add("greeter")
    project.scan()
    with project.registry() as registry:
        registry.publish_here(manifest)
        before = registry.published.lines(NODE)
        project.add("greeter", "def execute(context):\n    return 'other'\n", description="edited")
        registry.scan([project.nodes])
        after = registry.published.lines(NODE)
    assert [(one.metadata, one.digest, one.place) for one in after] == [
        (one.metadata, one.digest, one.place) for one in before
    ]


def test_a_line_is_read_back_unchanged(line: dict[str, Any]) -> None:
    found = IndexLine.parse(json.dumps(line), NODE)
    assert found is not None
    assert json.loads(str(found)) == line
    line["yanked"] = {"reason": None, "time": "2026-01-01T00:00:00Z"}
    line["decision"] = {"lifecycle": "archived", "deprecated_by": None, "archived_reason": "old"}
    found = IndexLine.parse(json.dumps(line), NODE)
    assert found is not None
    assert json.loads(str(found)) == line


def test_a_line_of_a_newer_schema_is_skipped(line: dict[str, Any]) -> None:
    assert IndexLine.parse(json.dumps({"schema": 2, "anything": True}), NODE) is None


WRONG = [None, 1, -1, 1.5, "", "x", [], {}, [1], {"a": 1}, True, "\ud800", "a" * 70_000]


def paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path]
    if isinstance(value, dict):
        for key, inner in value.items():
            found += paths(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            found += paths(inner, (*path, index))
    return found


def test_every_member_replaced_or_left_out_is_refused_or_read_never_a_crash(
    line: dict[str, Any],
) -> None:
    for path in paths(line):
        for wrong in [*WRONG, ...]:
            changed: Any = copy.deepcopy(line)
            if path == ():
                changed = None if wrong is ... else wrong
            else:
                holder = changed
                for key in path[:-1]:
                    holder = holder[key]
                if wrong is ...:
                    del holder[path[-1]]
                else:
                    holder[path[-1]] = wrong
            try:
                found = IndexLine.parse(json.dumps(changed), NODE)
            except RemoteProtocolError:
                continue
            if found is not None:
                assert IndexLine.parse(str(found), NODE) == found


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[" * 100_000,
        "NaN",
        '{"schema": NaN}',
        '{"schema": 1e999}',
        "null",
        "<html></html>",
    ],
    ids=lambda text: text[:12],
)
def test_what_is_not_json_is_refused(text: str) -> None:
    with pytest.raises(RemoteProtocolError):
        IndexLine.parse(text, NODE)


def test_a_line_of_another_node_is_refused(line: dict[str, Any]) -> None:
    with pytest.raises(RemoteProtocolError, match="another node"):
        IndexLine.parse(json.dumps(line), NodeId("tool", "test.other"))


@pytest.mark.parametrize(
    "text",
    ["/etc/passwd", "archive:ab:1/x", f"archive:{'a' * 64}:0/x", f"archive:{'a' * 64}:1/../x",
     f"archive:{'A' * 64}:1/x", f"archive:{'a' * 64}:1/", f"archive:{'a' * 64}:1/x\n"],
)  # fmt: skip
def test_a_path_is_no_place_of_an_archive(text: str) -> None:
    assert ArchivePlace.parse(text) is None


PART = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,8}", fullmatch=True)
NAMESPACE = st.lists(PART, min_size=1, max_size=4).map(".".join)


@given(st.from_regex(r"[a-z][a-z0-9_-]{0,8}", fullmatch=True), NAMESPACE)
def test_paths_of_the_tree_are_read_back(node_type: str, namespace: str) -> None:
    node = NodeId(node_type, namespace)
    assert node_of_path(index_path(node)) == node
    assert name_of_path(names_path(namespace)) == namespace
    assert name_of_path(index_path(node)) is None
    assert node_of_path(names_path(namespace)) is None


@pytest.mark.parametrize(
    "path",
    ["index/tool/../x.jsonl", "index/tool/a//b.jsonl", "index/tool/a.jsonl/", "index/tool/.jsonl",
     "index//a.jsonl", "index/tool/a.b.jsonl", "index/Tool/a.jsonl", "config.json", "", "index/tool/a\0.jsonl"],
)  # fmt: skip
def test_other_paths_are_not_of_the_tree(path: str) -> None:
    assert node_of_path(path) is None
    assert name_of_path(path) is None


def test_a_feed_without_a_gap_is_read_and_any_other_refused() -> None:
    feed = [
        Change(1),
        Change(2, NODE, "1.0.0", "node.registered", "2026-01-01T00:00:00Z"),
        Change(3),
    ]
    assert read_changes(write_changes(feed), 0) == feed
    assert read_changes(write_changes(feed), 2) == feed[2:]
    assert read_changes(write_changes(feed[2:]), 2) == feed[2:]
    assert read_changes(b"", 7) == []
    for wrong in ([feed[0], feed[2]], [feed[1], feed[0]], [feed[0], feed[0]]):
        with pytest.raises(RemoteProtocolError, match="gap"):
            read_changes(write_changes(wrong), 0)
    with pytest.raises(RemoteProtocolError, match="begins"):
        read_changes(write_changes(feed[1:]), 0)
    for text in (b"<html>", b'{"serial": "x"}\n', b'{"serial": 1, "node": "no node"}\n', b"\xff"):
        with pytest.raises(RemoteProtocolError):
            read_changes(text, 0)


def test_other_files_are_refused() -> None:
    for text in (b"<html>", b"{}", b"[]", b'{"protocol": "other"}', b"\xff\xfe", b"[" * 50_000,
                 b'{"protocol": "onex-index", "version": "1", "registry": 1, "serial": 1}'):  # fmt: skip
        with pytest.raises(RemoteProtocolError):
            TreeConfig.parse(text, "here")
    with pytest.raises(RemoteProtocolError, match="speaks version 2"):
        TreeConfig.parse(
            TreeConfig("r", 1).content().replace(b'"version":1', b'"version":2'), "here"
        )
    with pytest.raises(RemoteProtocolError):
        read_names(b"tool://a\n../../etc\n")
