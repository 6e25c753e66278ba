"""Backup and restore of the whole: rehearsed with a server, runs, artifacts, keys and writers."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from onex.history.copying import copy_history
from onex.history.journal import NewRun
from onex.history.opening import open_file_journal
from tests.artifacts.nodes import MAKE, PATH, READ
from tests.conftest import Project, RegistryServer

Make = Callable[[str], Project]
Serve = Callable[..., RegistryServer]

UNTIL = {"type": "string", "default": ""}


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def new_storage(request: pytest.FixtureRequest) -> Callable[[], str | None]:
    """Gives a new database each time; None for the one in the folder of the state."""
    if request.param == "sqlite":
        return lambda: None
    return request.getfixturevalue("new_postgres")


def machine(make_project: Make, name: str, storage: str | None) -> Project:
    project = make_project(name)
    if storage is not None:
        project.environment["ONEX_STORAGE"] = storage
    return project


@pytest.fixture
def original(make_project: Make, new_storage: Callable[[], str | None]) -> Project:
    """A registry with a private namespace, an artifact, and a run that was left."""
    project = machine(make_project, "original", new_storage())
    project.write("onex.toml", '[server]\nprivate_namespaces = ["test.secret"]\n')
    project.add("make", MAKE, idempotent=True)
    inputs = {"file": PATH, "until": UNTIL}
    project.add("read", READ, idempotent=True, inputs=inputs)
    project.scan()
    return project


def flow(project: Project, until: str = "") -> Path:
    return project.workflow(
        {
            "make": {"node": "make", "with": {"text": "hello"}},
            "read": {"node": "read", "with": {"file": "${{ steps.make }}", "until": until}},
        },
        outputs={"text": "${{ steps.read }}"},
    )


def publish(project: Project, name: str) -> None:
    manifest = project.add(name)
    done = project.onex("publish", manifest.parent, "--to", "hub", "--json")
    assert done.code == 0, done.stdout + done.stderr


def test_the_whole_comes_back_on_another_machine(
    original: Project, make_project: Make, serve: Serve, new_storage: Callable[[], str | None],
    tmp_path: Path,
) -> None:  # fmt: skip
    server = serve(original)
    author = make_project("author")
    server.declare(author)
    publish(author, "offered")
    publish(author, "secret")
    left = original.root / "until"
    process = original.start("run", flow(original, str(left)))
    deadline = time.monotonic() + 60
    while not original.onex_here("runs", "list", "--json").json["runs"]:
        assert time.monotonic() < deadline
    while not list((original.home / "artifacts").glob("??/*/*")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    process.wait(60)
    done = original.onex_here("run", flow(original), "--json")
    assert done.json["outputs"] == {"text": "hello"}, done.stderr

    # Others publish and run meanwhile.
    stop = threading.Event()

    def go_on() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            publish(author, f"more{number}")

    writer = threading.Thread(target=go_on)
    writer.start()
    try:
        saved = original.onex("backup", tmp_path / "saved", "--json")
    finally:
        stop.set()
        writer.join(60)
    assert saved.code == 0, saved.stderr
    assert saved.json["runs"] == 2
    assert saved.json["left_out"] is None
    folder = tmp_path / "saved"
    assert folder.stat().st_mode & 0o077 == 0
    before = original.onex_here("runs", "list", "--json").json["runs"]
    server.stop()
    for place in (original.home, original.nodes):
        place.rename(place.with_name(f"lost-{place.name}"))

    other = machine(make_project, "other", new_storage())
    restored = other.onex("restore", folder, "--json")
    assert restored.code == 0, restored.stderr
    assert {k: restored.json[k] for k in ("events", "nodes", "runs", "files")} == {
        k: saved.json[k] for k in ("events", "nodes", "runs", "files")
    }
    shutil.copy(restored.json["configuration"], other.root / "onex.toml")
    assert other.onex_here("audit", "verify", "--json").json["valid"] is True
    assert other.onex_here("storage", "check").code == 0
    assert other.onex_here("runs", "list", "--json").json["runs"] == before
    # What was published is served as before, with the same tokens and the same rules.
    again = serve(other, token=server.token)
    user, stranger = make_project("user"), make_project("stranger")
    again.declare(user)
    again.declare(stranger, token=False)
    assert user.onex_here("run", "offered", "--json").code == 0
    assert user.onex_here("run", "secret", "--json").code == 0
    assert stranger.onex_here("run", "secret", "--json").code != 0
    # What was cached is used, and a run that was left goes on with the artifact that it had made.
    shutil.copytree(original.root / "lost-nodes", other.nodes, dirs_exist_ok=True)
    other.scan()
    done = other.onex_here("run", flow(other), "--json")
    assert done.code == 0, done.stdout
    assert all(step["cached"] for step in done.json["steps"].values())
    left.touch()
    (run,) = [run["run_id"] for run in before if run["status"] == "cancelled"]
    done = other.onex_here("run", "--resume", run, "--json")
    assert done.json["outputs"] == {"text": "hello"}, done.stdout + done.stderr
    assert done.json["steps"]["make"]["status"] == "succeeded"


@pytest.fixture
def saved(original: Project, tmp_path: Path) -> Path:
    assert original.onex_here("run", flow(original), "--json").code == 0
    done = original.onex_here("backup", tmp_path / "saved", "--json")
    assert done.code == 0, done.stderr
    return tmp_path / "saved"


def damage(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.chmod(0o600)
    file.write_bytes(content)


@pytest.mark.parametrize(
    "change",
    ["a bit", "a file is gone", "a file more", "no index", "other", "nothing in it", "a link"],
)
def test_what_is_not_whole_is_refused_before_anything_is_done(
    saved: Path, make_project: Make, new_storage: Callable[[], str | None], change: str
) -> None:
    (artifact,) = [path for path in saved.rglob("*") if path.name == "made.txt"]
    index = saved / "backup.json"
    match change:
        case "a bit":
            damage(saved / "history.db")
        case "a file is gone":
            artifact.unlink()
        case "a file more":
            artifact.with_name("other.txt").write_text("x")
        case "no index":
            index.unlink()
        case "nothing in it":
            index.write_text(json.dumps(json.loads(index.read_text()) | {"files": {}}))
        case "a link":
            artifact.unlink()
            artifact.symlink_to("/etc/hostname")
        case "other":
            index.write_text(json.dumps(json.loads(index.read_text()) | {"format": 99}))
    other = machine(make_project, "other", new_storage())
    refused = other.onex_here("restore", saved, "--json")
    assert refused.code == 2
    assert refused.json["error"]["code"] == "STO003"
    assert not (other.home / "artifacts").exists()
    assert other.onex_here("list", "--json").json["nodes"] == []


@pytest.mark.parametrize(
    "name",
    ["files/../../escaped", "../escaped", "/escaped", "", "files/x", "files/artifacts/../../x"],
)
def test_an_index_that_leads_elsewhere_is_refused(
    saved: Path, make_project: Make, name: str
) -> None:
    index = saved / "backup.json"
    body = json.loads(index.read_text())
    for entry in (None, {"digest": "sha256:" + "0" * 64, "size_bytes": 1}):
        body["files"][name] = entry
        index.write_text(json.dumps(body))
        other = make_project(f"other{entry is None}")
        before = sorted(other.root.parent.rglob("*"))
        refused = other.onex_here("restore", saved, "--json")
        assert (refused.code, refused.json["error"]["code"]) == (2, "STO003")
        made = set(other.root.parent.rglob("*")) - set(before)
        assert all(path.is_relative_to(other.home) for path in made)
        assert not (other.home / "artifacts").exists()


def test_artifacts_of_any_name_are_in_it(
    original: Project, make_project: Make, tmp_path: Path
) -> None:
    code = MAKE.replace('"made.txt"', "text")
    names = [".env", ".0123456789abcdef0123456789abcdef", "-x", "a b", "ü"]
    original.add("named", code)
    original.scan()
    for name in names:
        assert original.onex_here("run", "named", "-i", f"text={name}").code == 0
    saved = original.onex_here("backup", tmp_path / "saved", "--json")
    assert saved.json["missing_artifacts"] == 0
    other = make_project("other")
    assert other.onex_here("restore", tmp_path / "saved").code == 0
    found = {path.name for path in (other.home / "artifacts").glob("??/*/*")}
    assert found == set(names)


def test_links_of_the_user_are_followed(original: Project, tmp_path: Path) -> None:
    """As on a machine with a second disk, or with files that Kubernetes mounts."""
    assert original.onex_here("run", flow(original)).code == 0
    for place in (original.home / "artifacts", original.root / "onex.toml"):
        place.rename(tmp_path / place.name)
        place.symlink_to(tmp_path / place.name)
    saved = original.onex_here("backup", tmp_path / "saved", "--json")
    assert saved.code == 0, saved.stdout
    assert saved.json["missing_artifacts"] == 0
    assert "private" in Path(saved.json["configuration"]).read_text()
    (original.home / "artifacts").unlink()
    (original.home / "artifacts").mkdir()
    (original.home / "artifacts" / "aa").symlink_to(tmp_path)
    refused = original.onex_here("backup", tmp_path / "again", "--json")
    assert refused.json["error"]["code"] == "USE004"
    assert not (tmp_path / "again").exists()


def test_what_other_machines_hold_is_told(
    make_project: Make, postgres: str, tmp_path: Path
) -> None:
    machines = [machine(make_project, name, postgres) for name in ("one", "two")]
    for project in machines:
        project.environment["ONEX_WORKSPACE"] = project.root.name
        project.add("make", MAKE)
        project.scan()
        assert project.onex_here("run", "make", "-i", f"text={project.root.name}").code == 0
    saved = machines[0].onex_here("backup", tmp_path / "saved", "--json")
    assert (saved.json["runs"], saved.json["missing_artifacts"]) == (2, 1)
    other = make_project("other")
    restored = other.onex_here("restore", tmp_path / "saved")
    assert "not in it: 1 artifact" in restored.stdout


def test_a_folder_of_the_registry_itself_is_refused(original: Project) -> None:
    assert original.onex_here("run", flow(original)).code == 0
    refused = original.onex_here("backup", original.home / "artifacts" / "saved", "--json")
    assert (refused.code, refused.json["error"]["code"]) == (2, "USE001")


def test_a_restore_that_broke_off_can_be_repeated(
    saved: Path, make_project: Make, new_storage: Callable[[], str | None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    other = machine(make_project, "other", new_storage())

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("onex.storage.copying.restore", full)
        refused = other.onex_here("restore", saved, "--json")
    assert refused.json["error"]["code"] == "USE004"
    # Not even what nobody refers to by now is taken for old.
    assert other.onex_here("runs", "prune", "--keep", "100").code == 0
    assert other.onex_here("restore", saved).code == 0
    assert list((other.home / "artifacts").glob("??/*/*"))
    assert len(other.onex_here("runs", "list", "--json").json["runs"]) == 1
    assert not list(other.home.glob(".*"))


def test_the_start_of_a_call_is_kept_if_its_run_ends_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the call would be made again, as if it had not begun."""
    journal = open_file_journal(tmp_path / "history.db")
    (tmp_path / "copy").mkdir()
    target = open_file_journal(tmp_path / "copy" / "history.db")
    plan = {"steps": {"s": {"node": "tool://t@1.0.0"}}}
    journal.begin(NewRun("run", "w", "2026-01-01T00:00:00+00:00", {}, plan, {}))
    starts = journal.start_log("run")
    starts.note("s")
    insert = target.connection.run_many

    def run_many(statement: str, rows: list[tuple[object, ...]]) -> None:
        starts.close()
        starts.remove()
        insert(statement, rows)

    monkeypatch.setattr(target.connection, "run_many", run_many)
    copy_history(journal, target)
    assert not journal.holder.starts("run")
    assert set(target.holder.starts("run")) == {"s"}
    journal.close()
    target.close()


def test_only_an_empty_registry_takes_a_backup(saved: Path, original: Project) -> None:
    refused = original.onex_here("restore", saved, "--json")
    assert (refused.code, refused.json["error"]["code"]) == (2, "STO003")
    assert len(original.onex_here("runs", "list", "--json").json["runs"]) == 1


def test_a_history_of_its_own_is_kept_from_a_backup(saved: Path, make_project: Make) -> None:
    other = make_project("other")
    other.add("make", MAKE)
    other.scan()
    assert other.onex_here("run", "make", "-i", "text=mine").code == 0
    (other.home / "registry.db").unlink()
    before = sorted((other.home / "artifacts").rglob("*"))
    refused = other.onex_here("restore", saved, "--json")
    assert (refused.code, refused.json["error"]["code"]) == (2, "STO003")
    assert sorted((other.home / "artifacts").rglob("*")) == before


def test_a_backup_replaces_nothing(saved: Path, original: Project) -> None:
    before = {path: path.stat().st_mtime_ns for path in saved.rglob("*")}
    refused = original.onex_here("backup", saved, "--json")
    assert (refused.code, refused.json["error"]["code"]) == (2, "USE001")
    assert {path: path.stat().st_mtime_ns for path in saved.rglob("*")} == before


def test_a_backup_that_cannot_be_written_is_not_changed_by_a_restore(
    saved: Path, make_project: Make, new_storage: Callable[[], str | None]
) -> None:
    for path in (*saved.rglob("*"), saved):
        path.chmod(0o500 if path.is_dir() else 0o400)
    before = {path: path.stat().st_mtime_ns for path in saved.rglob("*")}
    for name in ("one", "two"):
        other = machine(make_project, name, new_storage())
        assert other.onex_here("restore", saved).code == 0
        assert len(other.onex_here("runs", "list", "--json").json["runs"]) == 1
        assert list((other.home / "artifacts").iterdir())
    assert {path: path.stat().st_mtime_ns for path in saved.rglob("*")} == before


def test_one_that_is_killed_leaves_no_backup(original: Project, tmp_path: Path) -> None:
    for _ in range(3):
        assert original.onex_here("run", flow(original), "--no-cache", "--json").code == 0
    folder = tmp_path / "backups"
    folder.mkdir()
    left = 0
    for number in range(8):
        place = folder / f"killed{number}"
        process = subprocess.Popen(
            original.command("backup", place), cwd=original.root, env=original.environment,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        deadline = time.monotonic() + 20
        while number % 2 and not list(folder.glob(".*")) and process.poll() is None:
            assert time.monotonic() < deadline
        time.sleep(0.02 * number)
        process.send_signal(signal.SIGTERM if number % 3 else signal.SIGKILL)
        process.wait()
        left += len(list(folder.glob(".*")))
        if place.exists():
            other = Project(tmp_path)
            other.environment["ONEX_HOME"] = str(tmp_path / f"state{number}")
            assert other.onex_here("restore", place).code == 0
    assert left
    # The next one clears up after them.
    assert original.onex_here("backup", folder / "whole").code == 0
    assert not list(folder.glob(".*"))
