"""Scans that overlap, move, rename and lose sources: the registry says what the files say."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from onex.discovery.engine import DiscoveryEngine
from onex.discovery.filesystem import FileSystemDiscovery
from onex.storage.opening import open_storage
from onex.storage.query import MetadataQuery
from tests.conftest import Project

TWO_SOURCES = '[[sources]]\nname = "a"\npath = "nodes"\n[[sources]]\nname = "b"\npath = "other"\n'


def listed(project: Project) -> dict[str, str]:
    nodes = project.onex_here("list", "--all-versions", "--format", "json").json["nodes"]
    return {f"{n['namespace']}@{n['version']}": n["source"] for n in nodes}


@pytest.mark.slow
def test_scans_at_once_while_versions_change_leave_no_ghost(project: Project) -> None:
    chance = random.Random(7)
    for _ in range(4):
        running = []
        for number in range(30):
            project.add(f"n{number}", folder=str(number), version=f"{chance.randrange(9)}.0.0")
            if number in (5, 12, 20):
                running.append(project.start("scan", "nodes"))
        for process in running:
            assert process.wait(60) == 0
        assert project.onex_here("scan", "nodes").code == 0
        on_disk = {
            f"{body['namespace']}@{body['version']}"
            for path in project.nodes.glob("*/node.onex.yaml")
            for body in [{k: json.loads(v) for k, v in (line.split(": ", 1) for line in path.read_text().splitlines())}]
        }  # fmt: skip
        assert set(listed(project)) == on_disk
    assert project.onex_here("storage", "check").code == 0


class Paused:
    """A source whose answer is taken only after something else happened."""

    def __init__(self, inner: FileSystemDiscovery, meanwhile) -> None:
        self.name, self.kind = inner.name, inner.kind
        self._inner, self._meanwhile = inner, meanwhile

    def discover_nodes(self, memory, deadline):
        answer = self._inner.discover_nodes(memory, deadline)
        findings = list(answer.findings)
        self._meanwhile()
        return type(answer)(
            findings, answer.gone, answer.problems, answer.is_partial,
            answer.folders, answer.gone_folders,
        )  # fmt: skip

    def health_check(self) -> None: ...


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3)), min_size=1, max_size=8))
def test_any_interleaving_of_two_scans_ends_as_one_scan_would(
    kind: str, steps: list[tuple[int, int]], request, tmp_path_factory
) -> None:
    root = tmp_path_factory.mktemp("interleaved")
    project = Project(root)
    project.nodes.mkdir()
    url = (
        f"sqlite:///{root / 'r.db'}"
        if kind == "sqlite"
        else request.getfixturevalue("new_postgres")()
    )
    storage, other = open_storage(url, root), open_storage(url, root)

    def change(step: tuple[int, int]) -> None:
        name, version = step
        if version:
            project.add(f"n{name}", folder=f"n{name}", version=f"{version}.0.0")
        else:
            shutil.rmtree(project.nodes / f"n{name}", ignore_errors=True)

    def scan(backend, meanwhile=None) -> None:
        source = FileSystemDiscovery(project.nodes)
        engine = DiscoveryEngine(backend)
        engine.register_discovery_source(source if meanwhile is None else Paused(source, meanwhile))
        engine.scan()

    pending = list(steps)
    while pending:
        change(pending.pop(0))

        def meanwhile() -> None:
            if pending:
                change(pending.pop(0))
                scan(other)

        scan(storage, meanwhile)
    scan(storage)
    expected = {path.parent.name: path for path in project.nodes.glob("*/node.onex.yaml")}
    nodes = storage.query(MetadataQuery(all_versions=True)).nodes
    found = {
        Path(origin.path).parent.name: str(n.metadata.version)
        for n in nodes
        for origin in n.origins
    }
    assert found.keys() == expected.keys()
    assert all(f'version: "{found[name]}"' in path.read_text() for name, path in expected.items())
    assert all(node.origins for node in nodes)
    storage.check()
    before = {n.metadata.node_version: n for n in nodes}
    storage.rebuild()
    again = storage.query(MetadataQuery(all_versions=True)).nodes
    assert {n.metadata.node_version: n for n in again} == before
    storage.close()
    other.close()


@pytest.mark.slow
def test_decisions_outlive_an_absence(project: Project) -> None:
    project.write("onex.toml", '[[sources]]\nname = "a"\npath = "nodes"\n')
    project.add("a")
    project.add("a", version="2.0.0")
    project.add("b", folder="b")
    project.onex_here("scan")
    assert project.onex_here("yank", "test.a@2.0.0", "--reason", "loses data").code == 0
    assert (
        project.onex_here(
            "lifecycle", "transition", "test.b@1.0.0", "archived", "--reason", "CVE-1"
        ).code
        == 0
    )
    away = project.root / "away"
    shutil.move(project.nodes, away)
    project.nodes.mkdir()
    assert project.onex_here("scan", "--format", "json").json["nodes"] == 0
    assert project.onex_here("storage", "check").code == 0
    assert project.onex_here("storage", "rebuild").code == 0
    backup = project.root / "backup.db"
    assert project.onex_here("storage", "backup", backup).code == 0
    project.nodes.rmdir()
    shutil.move(away, project.nodes)
    for home in (project.home, project.root / "restored"):
        if home != project.home:
            restored = project.onex_here("storage", "restore", backup, "--home", home)
            assert restored.code == 0, restored.stderr
        project.onex_here("scan", "--home", home)
        chosen = project.onex_here("resolve", "test.a", "--home", home, "--format", "json").json
        assert chosen["selected"] == {"tool://test.a": "1.0.0"}
        status = project.onex_here(
            "lifecycle", "status", "test.b", "--home", home, "--format", "json"
        )
        assert status.json["versions"][0]["lifecycle"] == "archived"
        history = project.onex_here(
            "lifecycle", "history", "test.a", "--home", home, "--format", "json"
        )
        returned = [e for e in history.json["events"] if e["action"] == "node.returned"]
        assert [e["reason"] for e in returned] == ["still yanked: loses data"]
        assert project.onex_here("storage", "check", "--home", home).code == 0
    assert project.onex_here("yank", "test.a@2.0.0", "--undo").code == 0
    chosen = project.onex_here("resolve", "test.a", "--format", "json").json
    assert chosen["selected"] == {"tool://test.a": "2.0.0"}


def test_a_file_is_no_rival_of_itself(project: Project) -> None:
    project.write(
        "onex.toml",
        '[[sources]]\nname = "a"\npath = "nodes"\n[[sources]]\nname = "b"\npath = "."\n',
    )
    project.add("x", folder="x")
    for number in range(3):
        project.add("x", f"def execute(context):\n    return {number}\n", folder="x")
        body = project.onex_here("scan", "--format", "json").json
        assert (body["problems"], body["nodes"]) == ([], 1)
    project.add("x", folder="x", version="2.0.0")
    assert project.onex_here("scan", "nodes", "--format", "json").json["nodes"] == 1
    assert list(listed(project)) == ["test.x@2.0.0"]


def test_a_renamed_source_and_a_moved_node_keep_their_versions(project: Project) -> None:
    project.write("onex.toml", TWO_SOURCES)
    project.add("x", folder="x")
    (project.root / "other").mkdir()
    project.onex_here("scan")
    shutil.move(project.nodes / "x", project.root / "other" / "x")
    code = project.root / "other" / "x" / "node.py"
    code.write_text("def execute(context):\n    return 'moved and edited'\n")
    body = project.onex_here("scan", "--format", "json").json
    assert body["problems"] == []
    assert listed(project) == {"test.x@1.0.0": "b"}
    events = project.onex_here("lifecycle", "history", "test.x", "--format", "json").json["events"]
    assert "node.removed" not in [event["action"] for event in events]
    project.write("onex.toml", TWO_SOURCES.replace('"b"', '"renamed"'))
    code.write_text("def execute(context):\n    return 'edited under another name'\n")
    assert project.onex_here("scan", "--format", "json").json["problems"] == []
    assert listed(project) == {"test.x@1.0.0": "renamed"}


def test_the_first_of_equal_copies_stays_first_when_it_is_edited(project: Project) -> None:
    project.write("onex.toml", TWO_SOURCES)
    first = project.add("x", folder="x")
    (project.root / "other").mkdir()
    project.onex_here("scan")
    project.add("x", folder="../other/x")
    project.onex_here("scan")
    (first.parent / "node.py").write_text("def execute(context):\n    return 'edited'\n")
    body = project.onex_here("scan", "--format", "json").json
    assert [Path(p["path"]).parent.parent.name for p in body["problems"]] == ["other"]
    assert listed(project) == {"test.x@1.0.0": "a"}
    (project.root / "other" / "x" / "node.py").write_text((first.parent / "node.py").read_text())
    assert project.onex_here("scan", "--format", "json").json["problems"] == []


@pytest.mark.parametrize("same", [True, False])
def test_copies_of_a_version_with_build_metadata(project: Project, same: bool) -> None:
    project.add("x", folder="one", version="1.0.0+abc")
    code = (
        "def execute(context, **inputs):\n    return inputs\n" if same else "def execute(c): ...\n"
    )
    project.add("x", code, folder="two", version="1.0.0+abc")
    project.add("y")
    body = project.onex_here("scan", "nodes", "--format", "json").json
    assert body["nodes"] == 2
    assert [p["code"] for p in body["problems"]] == ([] if same else ["DSC002"])


def test_what_vanished_while_the_registry_was_copied_goes_at_the_next_scan(
    project: Project,
) -> None:
    project.write("onex.toml", '[[sources]]\nname = "a"\npath = "nodes"\n')
    project.add("x", folder="x")
    project.add("y", folder="y")
    project.onex_here("scan")
    project.onex_here("storage", "backup", project.root / "backup.db")
    shutil.rmtree(project.nodes / "x")
    home = project.root / "restored"
    project.onex_here("storage", "restore", project.root / "backup.db", "--home", home)
    assert project.onex_here("scan", "--home", home, "--format", "json").json["nodes"] == 1


def test_a_clock_set_back_does_not_turn_the_log_around(project: Project) -> None:
    project.add("x", folder="x")
    project.scan()
    program = (
        "import sys, datetime as d; import onex.storage.sql.writer as w\n"
        "class Past(d.datetime):\n"
        "    @classmethod\n"
        "    def now(cls, tz=None): return d.datetime(2001, 1, 1, tzinfo=tz)\n"
        "w.datetime = Past\n"
        "from onex.cli.main import run; sys.exit(run(['scan', 'nodes']))"
    )
    project.add("x", "def execute(context): ...\n", folder="x")
    command = [project.command()[0], "-c", program]
    done = subprocess.run(command, cwd=project.root, env=project.environment, check=False)
    assert done.returncode == 0
    with project.registry() as registry:
        times = [event.time for event in list(registry.storage.events())]
    assert times == sorted(times)
    assert project.onex_here("resolve", "x", "--as-of", "2001-02-01").code == 3
    assert project.onex_here("resolve", "x", "--as-of", "2999-01-01").code == 0
