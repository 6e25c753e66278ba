"""Declared sources: managing them, binding namespaces, conflicts between them, failing alone."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path

import pytest

from onex.discovery.engine import DiscoveryEngine
from onex.discovery.merge import MergeRules, TrustPolicy
from onex.discovery.source import Deadline, Discovery, SourceSnapshot
from onex.domain.errors import PathNotReadableError
from onex.storage.opening import open_storage
from onex.storage.query import MetadataQuery
from tests.conftest import Project

TWO = """
[[sources]]
name = "ours"
path = "nodes"
namespaces = ["test.core"]

[[sources]]
name = "theirs"
path = "other"
"""


def test_sources_are_added_listed_checked_and_removed(project: Project) -> None:
    project.write("onex.toml", "# kept\n[config]\ncolour = 'red'\n")
    project.add("a")
    assert (
        project.onex_here("sources", "add", "nodes", "--name", "mine", "--namespace", "test").code
        == 0
    )
    assert project.onex_here("sources", "add", "missing").code == 0
    assert project.onex_here("sources", "add", "nodes", "--name", "mine").code == 2
    listed = project.onex_here("sources", "list", "--format", "json").json["sources"]
    assert [(s["name"], s["kind"], s["namespaces"]) for s in listed] == [
        ("mine", "filesystem", ["test"]), ("missing", "filesystem", []),
    ]  # fmt: skip
    checked = project.onex_here("sources", "check", "--format", "json")
    assert checked.code == 2
    assert [s["status"] for s in checked.json["sources"]] == ["ok", "failed"]
    scanned = project.onex_here("scan", "--format", "json")
    assert scanned.code == 2
    assert [s["status"] for s in scanned.json["sources"]] == ["ok", "failed"]
    assert project.onex_here("sources", "remove", "missing").code == 0
    assert project.onex_here("sources", "remove", "mine", "--format", "json").json["nodes"] == 1
    assert project.onex_here("list", "--format", "json").json["total"] == 0
    text = (project.root / "onex.toml").read_text()
    assert text.startswith("# kept\n[config]")
    assert "sources" not in text
    assert project.onex_here("sources", "remove", "mine").code == 2


def test_a_bound_namespace_comes_from_its_source_alone(project: Project) -> None:
    project.write("onex.toml", TWO)
    project.add("mine", namespace="test.core.mine")
    stranger = project.add(
        "stranger", folder="../other/x", namespace="test.core.mine", version="9.0.0"
    )
    project.add("free", folder="../other/y", namespace="test.corefree")
    body = project.onex_here("scan", "--format", "json").json
    assert [p["code"] for p in body["problems"]] == ["DSC014"]
    assert body["problems"][0]["path"] == os.path.normpath(stranger)
    listed = project.onex_here("list", "--format", "json").json["nodes"]
    assert {n["namespace"]: n["version"] for n in listed} == {
        "test.core.mine": "1.0.0", "test.corefree": "1.0.0",
    }  # fmt: skip
    project.write("onex.toml", TWO.replace('namespaces = ["test.core"]', ""))
    assert project.onex_here("scan", "--format", "json").json["problems"] == []
    project.write("onex.toml", TWO)
    project.onex_here("scan", "--force")
    assert len(project.onex_here("list", "--all-versions", "--format", "json").json["nodes"]) == 2


def test_a_misconfigured_source_is_refused(project: Project) -> None:
    for text in (
        '[[sources]]\nkind = "filesystem"\n',
        "[[sources]]\npath = 1\n",
        '[[sources]]\npath = "a"\ntimeout = "x"\n',
        '[[sources]]\npath = "a"\n[[sources]]\npath = "a"\n',
        '[[sources]]\npath = "a"\nnamespaces = ["n"]\n[[sources]]\npath = "b"\nnamespaces = ["n.*"]\n',
        '[policy]\ntrust_policy = "anything"\n',
    ):
        project.write("onex.toml", text)
        done = project.onex_here("scan", "--format", "json")
        assert (done.code, done.json["error"]["code"]) == (2, "CFG001"), text
    project.write("onex.toml", '[[sources]]\nkind = "carrier-pigeon"\n')
    done = project.onex_here("scan", "--format", "json")
    assert "carrier-pigeon" in done.json["error"]["message"]
    assert "filesystem, mcp, package" in done.json["error"]["hint"]


def test_a_third_party_adds_a_kind_of_source(project: Project) -> None:
    site = project.root / "site"
    info = site / "extra-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: extra\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[onex.sources]\nmirror = extra_source:make\n")
    (site / "extra_source.py").write_text(
        textwrap.dedent(
            """
            from pathlib import Path
            from onex.discovery.filesystem import FileSystemDiscovery

            def make(declared):
                return FileSystemDiscovery(Path(declared.options["at"]), declared.name)
            """
        )
    )
    project.add("a")
    project.write("onex.toml", f'[[sources]]\nkind = "mirror"\nat = "{project.nodes}"\n')
    project.environment["PYTHONPATH"] = str(site)
    body = project.onex("scan", "--format", "json").json
    assert [(s["name"], s["found"]) for s in body["sources"]] == [("mirror", 1)]


class Odd:
    """A source that does something odd."""

    kind = "filesystem"

    def __init__(self, name: str, behaviour) -> None:
        self.name = name
        self._behaviour = behaviour

    def discover_nodes(self, memory: SourceSnapshot, deadline: Deadline) -> Discovery:
        return self._behaviour(memory, deadline)

    def health_check(self) -> None: ...


def fail(memory, deadline):
    raise RuntimeError("a defect")


def hang(memory, deadline):
    time.sleep(3600)


def refuse(memory, deadline):
    raise PathNotReadableError("not now")


def test_each_source_fails_alone_and_none_is_waited_for_beyond_its_limit(project: Project) -> None:
    from onex.discovery.filesystem import FileSystemDiscovery

    project.add("a")
    storage = open_storage(None, project.home)
    engine = DiscoveryEngine(storage)
    for name, behaviour in {"broken": fail, "hangs": hang, "refuses": refuse}.items():
        engine.register_discovery_source(Odd(name, behaviour), 0.2)
    engine.register_discovery_source(FileSystemDiscovery(project.nodes, "good"))
    started = time.perf_counter()
    report = engine.scan()
    assert time.perf_counter() - started < 60
    assert {s.name: s.status for s in report.sources} == {
        "broken": "failed", "hangs": "failed", "refuses": "failed", "good": "ok",
    }  # fmt: skip
    assert [p.code for p in report.problems] == ["DSC010", "DSC011", "USE002"]
    assert report.nodes == 1
    storage.close()


def test_a_walk_ends_at_its_deadline(project: Project) -> None:
    from onex.discovery.filesystem import FileSystemDiscovery
    from onex.domain.errors import SourceTimeoutError

    project.add("a")
    with pytest.raises(SourceTimeoutError):
        FileSystemDiscovery(project.nodes).discover_nodes(SourceSnapshot(), Deadline.after(-1))


@pytest.mark.parametrize(
    ("policy", "first", "expected"),
    [
        (TrustPolicy.QUARANTINE, "local", "local"),
        (TrustPolicy.QUARANTINE, "remote", "remote"),
        (TrustPolicy.LOCAL_PREFER, "local", "local"),
        (TrustPolicy.LOCAL_PREFER, "remote", "local"),
        (TrustPolicy.REMOTE_PREFER, "local", "remote"),
        (TrustPolicy.REMOTE_PREFER, "remote", "remote"),
    ],
)
def test_the_trust_policy_decides_between_unequal_files(
    project: Project, policy: TrustPolicy, first: str, expected: str
) -> None:
    from onex.discovery.filesystem import FileSystemDiscovery

    places = {"local": project.nodes / "l", "remote": project.nodes / "r"}
    project.add("a", "def execute(context):\n    return 'local'\n", folder="l")
    project.add("a", "def execute(context):\n    return 'remote'\n", folder="r")
    storage = open_storage(None, project.home)
    engine = DiscoveryEngine(storage, MergeRules(policy, frozenset(["remote"])))
    for name in sorted(places, key=lambda name: name != first):
        engine.register_discovery_source(FileSystemDiscovery(places[name], name))
    for _ in range(3):
        report = engine.scan()
        (node,) = storage.query(MetadataQuery()).nodes
        assert [origin.source for origin in node.origins] == [expected]
        assert [p.code for p in report.problems] == ["DSC002"]
        loser = next(s for s in report.sources if s.name != expected)
        assert (loser.found, loser.rejected) == (0, 1)
    storage.check()
    storage.close()


def test_watching_registers_what_changes(project: Project) -> None:
    project.add("first")
    process = subprocess.Popen(
        project.command("scan", "nodes", "--watch", "--format", "json"),
        cwd=project.root,
        env=project.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        head = ""
        while head.count("}") < head.count("{") or "nodes" not in head:
            head += process.stdout.readline()
        time.sleep(0.5)
        project.add("second")
        line = process.stdout.readline()
        assert '"added": 1' in line
        assert '"nodes": 2' in line
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
        process.communicate()


class Watch:
    """``onex scan --watch`` in a process, and the lines that it prints."""

    def __init__(self, project: Project, *arguments: str) -> None:
        self.process = subprocess.Popen(
            project.command("scan", *arguments, "--watch", "--format", "json"), cwd=project.root,
            env=project.environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        head = ""
        while head.count("}") < head.count("{") or "nodes" not in head:
            head += self.process.stdout.readline()
        time.sleep(1)

    def until(self, nodes: int) -> None:
        """Read on until a scan says that the registry holds so many nodes."""
        for line in self.process.stdout:
            if json.loads(line)["nodes"] == nodes:
                return
        raise AssertionError("the watch ended")


@pytest.fixture
def watch():
    started: list[Watch] = []

    def start(*arguments) -> Watch:
        started.append(Watch(*arguments))
        return started[-1]

    yield start
    for found in started:
        found.process.kill()
        found.process.communicate()


@pytest.mark.slow
def test_a_watch_hears_of_folders_that_are_replaced_absent_and_declared(
    project: Project, watch
) -> None:
    project.write("onex.toml", '[[sources]]\nname = "a"\npath = "nodes"\n')
    project.add("first")
    found = watch(project)
    release = project.root / "release"
    shutil.copytree(project.nodes, release)
    project.add("second", folder="../release/second")
    project.nodes.rename(project.root / "old")
    release.rename(project.nodes)
    found.until(2)
    project.add("third")
    found.until(3)
    away = project.root / "away"
    project.nodes.rename(away)
    time.sleep(1.5)
    away.rename(project.nodes)
    project.add("fourth")
    found.until(4)
    project.add("fifth", folder="../other/fifth")
    with (project.root / "onex.toml").open("a") as file:
        file.write('[[sources]]\nname = "b"\npath = "other"\n')
    found.until(5)


# As a user of its own, whose limit is used up without any for the tests beside this one.
WITHOUT_WATCHES = """
import ctypes, os, sys
from pathlib import Path
import watchfiles
from onex.discovery.watch import changes_below
folder = Path(sys.argv[1])
os.setgroups([]); os.setgid(12346); os.setuid(12346)
while ctypes.CDLL(None).inotify_init() >= 0:
    pass
for number, trouble in enumerate(changes_below(lambda: [folder], None)):
    print(trouble.code if trouble else None, flush=True)
    if number == 1:
        (folder / "new.onex.yaml").write_text("name: x")
    elif number == 2:
        break
"""


@pytest.mark.skipif(
    not sys.platform.startswith("linux") or os.geteuid() != 0,
    reason="only root can use up the watches of another user",
)
def test_folders_are_looked_through_if_the_system_has_no_watches_left() -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        done = subprocess.run(
            [sys.executable, "-c", WITHOUT_WATCHES, folder], cwd="/",
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert done.stdout.split() == ["DSC020", "None", "None"], done.stderr


def test_what_an_undeclared_source_left_can_be_forgotten(project: Project) -> None:
    project.write("onex.toml", TWO)
    project.add("a")
    project.add("b", folder="../other/b")
    project.onex_here("scan")
    project.write("onex.toml", TWO.partition('[[sources]]\nname = "theirs"')[0])
    project.onex_here("scan", "other/b")
    assert project.onex_here("sources", "forget", "theirs", "--format", "json").json["nodes"] == 0
    assert project.onex_here("sources", "forget", "other/b", "--format", "json").json["nodes"] == 1
    assert project.onex_here("list", "--format", "json").json["total"] == 1
    assert project.onex_here("sources", "forget", "nobody").code == 2


def test_watching_without_the_library_says_what_to_install(project: Project) -> None:
    program = (
        "import sys; sys.modules['watchfiles'] = None; from onex.cli.main import run;"
        "sys.exit(run(['scan', 'nodes', '--watch']))"
    )
    project.add("a")
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=project.root, env=project.environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "onex-registry[watch]" in done.stderr
