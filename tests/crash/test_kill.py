"""Processes killed at random points of what they do: nothing committed is lost, nothing half remains."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from onex.storage.opening import open_storage
from tests.conftest import Project

KILLS = int(os.environ.get("ONEX_TEST_KILLS", "10"))

WRITER = """
import sys
from onex.domain.lifecycle import Lifecycle
from onex.domain.metadata import Entrypoint, NodeMetadata, Origin
from onex.domain.reference import NodeId
from onex.domain.version import Version
from onex.storage.node_record import NodeRecord
from onex.storage.opening import open_storage
from pathlib import Path
url, start = sys.argv[1], int(sys.argv[2])
storage = open_storage(url, Path())
for number in range(start, start + 10_000):
    with storage.writing() as writer:
        for part in ("x", "y", "z"):
            metadata = NodeMetadata(
                NodeId("tool", f"ns.n{number}.{part}"), f"n{number}", Version(1, 0, 0),
                Lifecycle.ACTIVE, Entrypoint("python", "node.py"), tags=("t",),
            )
            writer.insert(NodeRecord.of(metadata, "d"), Origin("s", f"/{number}/{part}"))
    print(number, flush=True)
"""


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'registry.db'}"
    return request.getfixturevalue("postgres")


def killed(command: list[str], after: float, **options: object) -> str:
    """What a process printed before it was killed; it has really gone afterwards."""
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
        **options,
    )
    try:
        time.sleep(after)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
    return output


def test_what_a_killed_writer_said_was_stored_is_stored_whole(url: str, tmp_path: Path) -> None:
    chance = random.Random(1)
    open_storage(url, tmp_path).close()
    stored: set[int] = set()
    for kill in range(KILLS):
        command = [sys.executable, "-c", WRITER, url, str(kill * 10_000)]
        output = killed(command, 0.25 + chance.random() * 0.25)
        stored |= {int(line) for line in output.splitlines() if line.strip().isdigit()}
    storage = open_storage(url, tmp_path)
    storage.check()
    from onex.storage.query import MetadataQuery

    found = [n.metadata.node.namespace for n in storage.query(MetadataQuery()).nodes]
    by_number: dict[int, int] = {}
    for namespace in found:
        number = int(namespace.split(".")[1][1:])
        by_number[number] = by_number.get(number, 0) + 1
    assert stored
    assert stored <= set(by_number)
    assert set(by_number.values()) == {3}
    assert [event.serial for event in storage.events()] == list(range(1, len(found) + 1))
    storage.close()


@pytest.fixture
def busy(project: Project, url: str) -> Project:
    project.environment["ONEX_STORAGE"] = url
    project.write("onex.toml", '[[sources]]\nname = "nodes"\npath = "nodes"\n')
    for number in range(400):
        project.add(f"n{number}", folder=f"{number % 10}/{number}")
    return project


def test_scans_that_are_killed_are_taken_up_by_the_next(busy: Project) -> None:
    chance = random.Random(2)
    for _ in range(KILLS):
        changed = chance.randrange(400)
        folder = busy.nodes / f"{changed % 10}" / str(changed)
        if folder.exists() and chance.random() < 0.3:
            shutil.rmtree(folder)
        else:
            busy.add(f"n{changed}", f"X = {chance.random()}\n", folder=f"{changed % 10}/{changed}")
        killed(busy.command("scan", "--format", "json"), 0.1 + chance.random() * 0.3,
               cwd=busy.root, env=busy.environment)  # fmt: skip
    expected = len(list(busy.nodes.glob("*/*/node.onex.yaml")))
    report = busy.onex("scan", "--format", "json").json
    assert (report["nodes"], report["problems"]) == (expected, [])
    assert busy.onex("storage", "check").code == 0
    again = busy.onex("scan", "--force", "--format", "json").json["sources"][0]
    assert (again["added"], again["updated"], again["removed"]) == (0, 0, 0)


def test_a_killed_migration_leaves_nothing_or_all(busy: Project, tmp_path: Path) -> None:
    busy.onex("scan")
    chance = random.Random(3)
    for number in range(max(4, KILLS // 4)):
        target = f"sqlite:///{tmp_path / f'copy{number}.db'}"
        killed(busy.command("storage", "migrate", "--to", target), 0.15 + chance.random() * 0.4,
               cwd=busy.root, env=busy.environment)  # fmt: skip
        copy = open_storage(target, tmp_path)
        copy.check()
        assert copy.count() in (0, 400)
        copy.close()


def test_killed_runs_leave_a_history_that_says_so(project: Project) -> None:
    chance = random.Random(4)
    project.add("slow", "import time\ndef execute(context, *, x=0):\n    time.sleep(0.02)\n    return x\n",
                inputs={"x": {"type": "integer"}}, idempotent=True)  # fmt: skip
    project.scan()
    project.workflow(
        {"a": {"node": "slow", "foreach": list(range(200)), "with": {"x": "${{ item }}"},
               "cache": False}},
        outputs={"all": "${{ steps.a }}"},
    )  # fmt: skip
    for _ in range(max(5, KILLS // 3)):
        killed(project.command("run", "test.workflow.yaml"), 0.2 + chance.random() * 0.6,
               cwd=project.root, env=project.environment)  # fmt: skip
    runs = project.onex("runs", "list", "--format", "json").json["runs"]
    assert {run["status"] for run in runs} == {"interrupted"}
    for run in runs[:3]:
        steps = project.onex("runs", "show", run["run_id"], "--format", "json").json["steps"]
        assert {step["status"] for step in steps.values()} <= {"succeeded", "running"}
    # Killed on the way again and again, it ends with what it would have given at once.
    run_id, ended = runs[0]["run_id"], 0
    for _ in range(3):
        killed(project.command("run", "--resume", run_id), 0.3 + chance.random() * 0.5,
               cwd=project.root, env=project.environment)  # fmt: skip
        steps = project.onex("runs", "show", run_id, "--format", "json").json["steps"]
        before, ended = ended, sum(step["status"] == "succeeded" for step in steps.values())
        assert ended >= before
    project.onex("run", "--resume", run_id)
    record = project.onex("runs", "show", run_id, "--format", "json").json
    assert (record["status"], record["outputs"]) == ("succeeded", {"all": list(range(200))})
    assert project.onex("run", "slow", "-i", "x=1", "--format", "json").json["success"]


def test_eight_processes_write_at_once(url: str, tmp_path: Path) -> None:
    open_storage(url, tmp_path).close()
    seconds = float(os.environ.get("ONEX_TEST_SECONDS", "3"))
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, url, str(worker * 1_000_000)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        )
        for worker in range(8)
    ]  # fmt: skip
    try:
        time.sleep(seconds)
    finally:
        for process in processes:
            os.killpg(process.pid, signal.SIGTERM)
    outputs = [process.communicate(timeout=60) for process in processes]
    stored = sum(len(stdout.split()) for stdout, _ in outputs)
    errors = "".join(stderr for _, stderr in outputs)
    assert "locked" not in errors, errors
    assert "Error" not in errors, errors
    assert all(stdout for stdout, _ in outputs), "one of the writers never got its turn"
    storage = open_storage(url, tmp_path)
    storage.check()
    assert storage.count() >= stored * 3
    storage.close()


def test_a_full_disk_is_said_and_costs_nothing_that_was_stored(project: Project) -> None:
    project.add("a")
    project.scan()
    for number in range(300):
        project.add(f"n{number}", description="x" * 2000)
    limit = (project.home / "registry.db").stat().st_size + 200_000
    program = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}));"
        "from onex.cli.main import run; sys.exit(run(['scan', 'nodes', '--format', 'json']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=project.root, env=project.environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2, done.stdout
    error = json.loads(done.stdout)["error"]
    assert error["code"] == "STO001"
    assert error["hint"]
    assert project.onex("storage", "check", "--format", "json").json["nodes"] >= 1
    assert project.onex("scan", "nodes", "--format", "json").json["nodes"] == 301


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def overwrite(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(8192))


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [truncate, overwrite])
def test_a_damaged_database_is_named_and_a_backup_brings_it_back(
    project: Project, damage: Callable[[Path], None]
) -> None:
    for number in range(50):
        project.add(f"n{number}")
    project.scan()
    assert project.onex("storage", "backup", "saved.db").code == 0
    for suffix in ("-wal", "-shm"):
        (project.home / f"registry.db{suffix}").unlink(missing_ok=True)
    damage(project.home / "registry.db")
    done = project.onex("storage", "check", "--format", "json")
    assert (done.code, done.json["error"]["code"]) == (2, "STO001")
    assert done.json["error"]["hint"]
    (project.home / "registry.db").rename(project.home / "damaged.db")
    assert project.onex("storage", "restore", "saved.db", "--format", "json").json["nodes"] == 50
    assert project.onex("storage", "check").code == 0


def test_a_folder_that_cannot_be_written_is_named(project: Project) -> None:
    project.add("a")
    project.scan()
    powers = "-dac_override,-dac_read_search"
    prefix = (
        ["setpriv", f"--bounding-set={powers}", f"--inh-caps={powers}"] if os.geteuid() == 0 else []
    )
    for path in (project.home, *project.home.iterdir()):
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        project.add("b")
        done = subprocess.run(
            [*prefix, *project.command("scan", "nodes", "--format", "json")],
            cwd=project.root, env=project.environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
    finally:
        for path in (project.home, *project.home.iterdir()):
            path.chmod(0o755)
    assert done.returncode == 2
    assert json.loads(done.stdout)["error"]["code"] == "STO001"
    assert project.onex("scan", "nodes", "--format", "json").json["nodes"] == 2
