"""Machines and projects that share a registry keep what each of them offers, and no more."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from onex import Registry
from onex.discovery.engine import DiscoveryEngine
from onex.discovery.filesystem import FileSystemDiscovery
from onex.domain.workspace import Workspace
from onex.storage.opening import open_storage
from onex.storage.query import MetadataQuery
from tests.conftest import Project

SOURCE = '[[sources]]\nname = "nodes"\npath = "nodes"\n'


def on_machine(root: Path, machine: str | None, storage: str | None) -> Project:
    """A project with one source that uses a shared registry."""
    project = Project(root)
    project.nodes.mkdir(parents=True)
    project.write("onex.toml", SOURCE)
    if machine is not None:
        project.environment["ONEX_WORKSPACE"] = machine
    if storage is not None:
        project.environment["ONEX_STORAGE"] = storage
    return project


@pytest.fixture(params=["two machines", "one machine", "one file"])
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Project, Project]:
    """Two projects with sources of one name, as machines or one machine have them."""
    if request.param == "one file":
        ann, bob = (on_machine(tmp_path / name, None, None) for name in ("ann", "bob"))
        bob.environment["ONEX_HOME"] = str(ann.home)
        return ann, bob
    url = request.getfixturevalue("postgres")
    names = ("ann", "bob") if request.param == "two machines" else (None, None)
    ann, bob = (
        on_machine(tmp_path / folder, name, url)
        for folder, name in zip(("ann", "bob"), names, strict=True)
    )
    return ann, bob


def scan(project: Project) -> list[str]:
    """Scan, and return the codes of the problems."""
    done = project.onex_here("scan", "--format", "json")
    assert done.code in (0, 1), done.stderr
    return [problem["code"] for problem in done.json["problems"]]


def opened(project: Project) -> Registry:
    return Registry.open(start=project.root, environment=project.environment)


def serial(project: Project) -> int:
    with opened(project) as registry:
        return list(registry.storage.events())[-1].serial


def names(project: Project) -> list[str]:
    with opened(project) as registry:
        nodes = registry.query(MetadataQuery(all_versions=True)).nodes
        return [f"{n.metadata.name}@{n.metadata.version}" for n in nodes]


def test_nothing_is_undone_and_nothing_is_logged_twice(pair: tuple[Project, Project]) -> None:
    ann, bob = pair
    for project in pair:
        for name in ("a", "b"):
            project.add(name)
        assert scan(project) == []
    before = serial(ann)
    for project in (ann, bob, ann, bob):
        assert scan(project) == []
    assert serial(ann) == before
    shown = ann.onex_here("show", "a", "--format", "json").json["origins"]
    assert [Path(origin["path"]).parents[2].name for origin in shown] == ["ann", "bob"]
    shutil.rmtree(ann.nodes / "a-1.0.0")
    assert scan(ann) == []
    assert names(ann) == ["a@1.0.0", "b@1.0.0"]
    shutil.rmtree(bob.nodes / "a-1.0.0")
    assert scan(bob) == []
    assert names(ann) == ["b@1.0.0"]
    for project in pair:
        assert project.onex_here("run", "b").code == 0
    assert ann.onex_here("storage", "check").code == 0


def test_a_version_that_differs_is_refused_until_it_is_equal(pair: tuple[Project, Project]) -> None:
    ann, bob = pair
    for project in pair:
        project.add("a", "def execute(context):\n    return {'x': 1}\n")
        assert scan(project) == []
    edited = "def execute(context):\n    return {'x': 2}\n"
    bob.add("a", edited)
    assert scan(bob) == ["DSC002"]
    assert scan(ann) == []
    ann.add("a", edited + "# newer\n")
    assert scan(ann) == []
    assert scan(bob) == ["DSC002"]
    before = serial(ann)
    assert [scan(project) for project in (ann, bob, ann, bob)] == [[], ["DSC002"]] * 2
    assert serial(ann) == before
    bob.add("a", edited + "# newer\n")
    assert [scan(bob), scan(ann)] == [[], []]
    assert ann.onex_here("storage", "check").code == 0


def test_paths_of_other_machines_mean_nothing_here(postgres: str, tmp_path: Path) -> None:
    place, put_aside = tmp_path / "build", tmp_path / "elsewhere"
    one = on_machine(place, "one", postgres)
    one.add("a")
    one.add("only_one")
    assert scan(one) == []
    place.rename(put_aside)
    two = on_machine(place, "two", postgres)
    two.add("a")
    two.add("only_two")
    assert scan(two) == []
    assert names(two) == ["a@1.0.0", "only_one@1.0.0", "only_two@1.0.0"]
    before = serial(two)
    assert scan(two) == []
    assert serial(two) == before
    refused = two.onex_here("run", "only_one")
    assert refused.code != 0
    assert "in the workspace one" in refused.stderr
    place.rename(tmp_path / "of two")
    put_aside.rename(place)
    assert scan(one) == []
    assert serial(one) == before


def test_what_a_machine_left_behind_can_be_taken_out(postgres: str, tmp_path: Path) -> None:
    gone = on_machine(tmp_path / "gone", "build 7", postgres)
    gone.add("a", "def execute(context):\n    return 'old'\n")
    scan(gone)
    shutil.rmtree(gone.root)
    here = on_machine(tmp_path / "here", None, postgres)
    here.add("a")
    assert scan(here) == ["DSC002"]
    told = here.onex_here("scan", "--format", "json").json["problems"][0]
    assert "in the workspace build 7" in told["message"]
    assert "onex sources forget nodes --workspace 'build 7'" in told["hint"]
    known = here.onex_here("sources", "list", "--all", "--format", "json").json
    assert {"name": "nodes", "workspace": "build 7", "nodes": 1} in known["known"]
    forgotten = here.onex_here("sources", "forget", "nodes", "--workspace", "build 7")
    assert forgotten.code == 0, forgotten.stderr
    assert scan(here) == []
    unknown = here.onex_here("sources", "forget", "nodes", "--workspace", "build 7")
    assert unknown.code == 2


@pytest.mark.parametrize("server", [True, False])
def test_a_project_that_moved_takes_its_nodes_along(
    server: bool, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    url = request.getfixturevalue("postgres") if server else None
    before = on_machine(tmp_path / "before", None, url)
    before.environment["ONEX_HOME"] = str(tmp_path / "state")
    for name in ("a", "b", "c"):
        before.add(name)
    scan(before)
    shutil.move(before.root, tmp_path / "after")
    after = Project(tmp_path / "after")
    after.environment |= {k: v for k, v in before.environment.items() if k.startswith("ONEX_")}
    shutil.rmtree(after.nodes / "c-1.0.0")
    after.add("b", "def execute(context):\n    return 'edited'\n")
    assert scan(after) == []
    assert names(after) == ["a@1.0.0", "b@1.0.0"]
    for name in ("a", "b"):
        (origin,) = after.onex_here("show", name, "--format", "json").json["origins"]
        assert origin["path"].startswith(str(after.root))
    assert after.onex_here("storage", "check").code == 0


def test_a_registry_that_moves_to_a_server_is_taken_over_there(
    postgres: str, tmp_path: Path
) -> None:
    project = on_machine(tmp_path / "project", None, None)
    del project.environment["ONEX_HOME"]
    for name in ("a", "b", "c"):
        project.add(name)
    scan(project)
    origins = project.onex_here("show", "a", "--format", "json").json["origins"]
    assert [set(origin) for origin in origins] == [{"source", "path"}]
    assert project.onex_here("storage", "migrate", "--to", postgres).code == 0
    project.environment["ONEX_STORAGE"] = postgres
    before = serial(project)
    assert scan(project) == []
    assert serial(project) == before + 1
    assert scan(project) == []
    assert serial(project) == before + 1
    other = on_machine(tmp_path / "other", "other", postgres)
    other.add("a")
    assert scan(other) == []
    assert serial(project) == before + 2
    assert project.onex_here("storage", "rebuild").code == 0
    assert scan(project) == []
    assert serial(project) == before + 2
    assert project.onex_here("storage", "check").code == 0
    assert project.onex_here("sources", "remove", "nodes").code == 0
    assert names(other) == ["a@1.0.0"]


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    steps=st.lists(
        st.tuples(st.integers(0, 1), st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=10
    )
)
def test_a_node_is_there_as_long_as_somebody_offers_it(
    kind: str,
    steps: list[tuple[int, int, int]],
    new_postgres: Callable[[], str],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    root = tmp_path_factory.mktemp("shared")
    url = f"sqlite:///{root / 'r.db'}" if kind == "sqlite" else new_postgres()
    projects = [Project(root / name) for name in ("one", "two")]
    workspaces = [Workspace(name, name) for name in ("one", "two")]
    offered: list[dict[int, int]] = [{}, {}]
    storage = open_storage(url, root)

    def scan_of(number: int) -> None:
        engine = DiscoveryEngine(storage, workspace=workspaces[number])
        engine.register_discovery_source(FileSystemDiscovery(projects[number].nodes, "nodes"))
        assert not engine.scan().problems

    for project in projects:
        project.nodes.mkdir(parents=True)
    for number, name, version in steps:
        if version:
            projects[number].add(f"n{name}", folder=f"n{name}", version=f"{version}.0.0")
            offered[number][name] = version
        else:
            shutil.rmtree(projects[number].nodes / f"n{name}", ignore_errors=True)
            offered[number].pop(name, None)
        scan_of(number)
        nodes = storage.query(MetadataQuery(all_versions=True)).nodes
        found = {(n.metadata.name, n.metadata.version.major, o.workspace)
                 for n in nodes for o in n.origins}  # fmt: skip
        assert found == {
            (f"n{name}", version, workspace.name)
            for workspace, offers in zip(workspaces, offered, strict=True)
            for name, version in offers.items()
        }
        storage.check()
    before = storage.serial()
    for number in (0, 1, 0):
        scan_of(number)
    assert storage.serial() == before
    storage.rebuild()
    storage.check()
    storage.close()


def test_a_project_that_borrows_a_registry_takes_nothing_over(tmp_path: Path) -> None:
    owner = on_machine(tmp_path / "owner", None, None)
    del owner.environment["ONEX_HOME"]
    borrower = on_machine(tmp_path / "borrower", None, None)
    borrower.environment["ONEX_HOME"] = str(owner.root / ".onex")
    owner.add("a")
    owner.add("b")
    scan(owner)
    assert borrower.onex_here("sources", "forget", "nodes").code == 2
    borrower.add("a")
    assert scan(borrower) == []
    assert names(owner) == ["a@1.0.0", "b@1.0.0"]
    before = serial(owner)
    assert scan(owner) == scan(borrower) == []
    assert serial(owner) == before


@pytest.mark.parametrize("source", ["nodes", "tools"])
def test_what_was_migrated_is_left_to_its_own_project(
    postgres: str, tmp_path: Path, source: str
) -> None:
    project = on_machine(tmp_path / "project", None, None)
    del project.environment["ONEX_HOME"]
    for name in ("a", "b"):
        project.add(name)
    scan(project)
    assert project.onex_here("storage", "migrate", "--to", postgres).code == 0
    project.root.rename(tmp_path / "away")
    other = on_machine(tmp_path / "other", "other", postgres)
    other.write("onex.toml", SOURCE.replace('name = "nodes"', f'name = "{source}"'))
    other.add("a")
    assert scan(other) == []
    assert names(other) == ["a@1.0.0", "b@1.0.0"]
    (tmp_path / "away").rename(project.root)
    project.environment["ONEX_STORAGE"] = postgres
    before = serial(project)
    assert scan(project) == []
    assert serial(project) == before + 1


def test_a_copy_keeps_what_other_machines_gave(postgres: str, tmp_path: Path) -> None:
    far = on_machine(tmp_path / "far", "far", postgres)
    for name in ("a", "b"):
        far.add(name)
    scan(far)
    backup = tmp_path / "backup.db"
    assert far.onex_here("storage", "backup", backup).code == 0
    shutil.rmtree(far.root)
    here = on_machine(tmp_path / "here", None, None)
    here.add("a")
    assert here.onex_here("storage", "restore", backup).code == 0
    assert scan(here) == []
    assert names(here) == ["a@1.0.0", "b@1.0.0"]


def test_a_project_that_moved_and_changed_leaves_nothing_behind(
    postgres: str, tmp_path: Path
) -> None:
    before = on_machine(tmp_path / "before", None, postgres)
    before.add("a", version="1.0.0")
    before.add("b")
    scan(before)
    shutil.move(before.root, tmp_path / "after")
    after = Project(tmp_path / "after")
    after.environment["ONEX_STORAGE"] = postgres
    shutil.rmtree(after.nodes)
    after.add("a", version="2.0.0")
    assert scan(after) == []
    assert names(after) == ["a@2.0.0"]
    known = after.onex_here("sources", "list", "--all", "--format", "json").json["known"]
    assert [source["nodes"] for source in known] == [1]


def test_a_drive_that_is_away_is_no_move(postgres: str, tmp_path: Path) -> None:
    mounted = on_machine(tmp_path / "mnt" / "drive", None, postgres)
    mounted.add("only_there")
    scan(mounted)
    mounted.root.rename(tmp_path / "unplugged")
    here = on_machine(tmp_path / "here", None, postgres)
    here.add("b")
    assert scan(here) == []
    assert names(here) == ["b@1.0.0", "only_there@1.0.0"]


def test_a_bound_namespace_belongs_to_its_source(pair: tuple[Project, Project]) -> None:
    ann, bob = pair
    ann.write("onex.toml", SOURCE + 'namespaces = ["test"]\n')
    bob.write("onex.toml", SOURCE.replace('name = "nodes"', 'name = "other"'))
    bob.add("a", "def execute(context):\n    return 'foreign'\n")
    assert scan(bob) == []
    ann.add("a", "def execute(context):\n    return 'own'\n")
    assert scan(ann) == []
    assert ann.onex_here("run", "a", "--format", "json").json["outputs"] == {"result": "own"}
    assert scan(bob) == ["DSC002"]


def test_a_forced_scan_brings_words_of_readmes_back(tmp_path: Path) -> None:
    project = on_machine(tmp_path / "project", None, None)
    project.add("a")
    project.write("nodes/a-1.0.0/README.md", "It knows every zebrafish.\n")
    scan(project)
    assert project.onex_here("storage", "rebuild").code == 0
    project.onex_here("scan", "--force")
    assert "tool://test.a" in project.onex_here("search", "zebrafish").stdout
