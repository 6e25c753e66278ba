"""Two machines with folders of their own, one history in PostgreSQL and one store of artifacts."""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from onex.artifacts.contents import GRACE_SECONDS, StoredCopy
from onex.artifacts.folder_contents import FolderContents
from onex.domain.errors import ArtifactsUnavailableError
from onex.domain.result import RunStatus
from tests.artifacts.nodes import MAKE, PATH, READ
from tests.conftest import CommandResult, Project


@pytest.fixture
def machine(
    make_project: Callable[[str], Project], postgres: str, tmp_path: Path
) -> Callable[[str], Project]:
    """Makes machines that share a registry, its history and its artifacts."""

    def make(name: str) -> Project:
        project = make_project(name)
        project.add("make", MAKE, idempotent=True)
        project.add(
            "read",
            READ,
            idempotent=True,
            inputs={"file": PATH, "until": {"type": "string", "default": ""}},
        )
        project.environment |= {
            "ONEX_STORAGE": postgres,
            "ONEX_ARTIFACTS": str(tmp_path / "share"),
            "ONEX_WORKSPACE": name,
        }
        project.scan()
        return project

    return make


def flow(project: Project, **reading: object) -> None:
    project.workflow(
        {
            "make": {"node": "make", "with": {"text": "hello"}},
            "read": {"node": "read", "with": {"file": "${{ steps.make }}"} | reading},
        },
        outputs={"text": "${{ steps.read }}", "file": "${{ steps.make }}"},
    )


def run(project: Project, *options: str) -> CommandResult:
    return project.onex_here("run", "test.workflow.yaml", "--format", "json", *options)


def cached(done: CommandResult) -> dict[str, bool]:
    return {name: step["cached"] for name, step in done.json["steps"].items()}


def test_what_one_machine_made_another_takes_from_the_cache(
    machine: Callable[[str], Project],
) -> None:
    one, other = machine("one"), machine("other")
    flow(one)
    first = run(one)
    assert first.json["outputs"]["text"] == "hello", first.stderr
    flow(other)
    again = run(other)
    assert cached(again) == {"make": True, "read": True}
    made = Path(again.json["outputs"]["file"]["path"])
    assert made.is_relative_to(other.home)
    assert made.read_text() == "hello"
    # A step that runs here reads what was made there.
    shutil.rmtree(other.home / "artifacts")
    flow(other, until=str(other.root))
    third = run(other)
    assert cached(third) == {"make": True, "read": False}
    assert third.json["outputs"]["text"] == "hello"


def test_a_result_that_holds_the_path_of_an_artifact_is_for_no_other_machine(
    machine: Callable[[str], Project],
) -> None:
    one, other = machine("one"), machine("other")
    for project in (one, other):
        project.add("tell", "def execute(context, *, file):\n    return {'at': [f'<{file}>']}\n",
                    idempotent=True, inputs={"file": PATH})  # fmt: skip
        project.scan()
        project.workflow({
            "make": {"node": "make", "with": {"text": "hello"}},
            "tell": {"node": "tell", "with": {"file": "${{ steps.make }}"}},
        }, outputs={"at": "${{ steps.tell.at[0] }}"})  # fmt: skip
    assert str(one.home) in run(one).json["outputs"]["at"]
    done = run(other)
    assert cached(done) == {"make": True, "tell": False}
    assert str(other.home) in done.json["outputs"]["at"]


def test_what_a_result_must_not_hold_is_not_shared(
    machine: Callable[[str], Project], tmp_path: Path
) -> None:
    one = machine("one")
    one.add("wrong", MAKE.replace("return context.artifact(path)", "return {'x': context.artifact(path)}"),
            outputs={"y": {"type": "string"}})  # fmt: skip
    hidden = {"x": {"writeOnly": True}}
    one.add("hidden", MAKE.replace("return context.artifact(path)", "return {'x': context.artifact(path)}"),
            outputs=hidden)  # fmt: skip
    one.scan()
    assert one.onex_here("run", "wrong", "-i", "text=secret").code == 1
    assert one.onex_here("run", "hidden", "-i", "text=secret").code == 0
    assert not list((tmp_path / "share").glob("*/sha256/??/*/*"))


def test_without_a_shared_store_it_is_made_anew(machine: Callable[[str], Project]) -> None:
    one, other = machine("one"), machine("other")
    for project in (one, other):
        del project.environment["ONEX_ARTIFACTS"]
        flow(project)
    assert run(one).code == 0
    assert cached(run(other)) == {"make": False, "read": True}


def test_a_forecast_fetches_nothing(machine: Callable[[str], Project]) -> None:
    one, other = machine("one"), machine("other")
    flow(one)
    run(one)
    flow(other)
    # As on another machine, where the paths of this one lead nowhere.
    one.home.rename(one.root / "elsewhere")
    forecast = run(other, "--dry-run").json["forecast"]
    assert {name: step["cache"] for name, step in forecast["steps"].items()} == {
        "make": "hit",
        "read": "hit",
    }
    assert not (other.home / "artifacts").exists()


def test_pruning_leaves_what_the_other_machine_may_rely_on(
    machine: Callable[[str], Project], tmp_path: Path
) -> None:
    one, other = machine("one"), machine("other")
    flow(one)
    made = run(one).json["outputs"]["file"]
    with one.registry() as registry:
        contents = FolderContents(tmp_path / "share", registry.storage.instance)
    (young,) = contents.copies()
    pruned = other.onex_here("runs", "prune", "--keep", "0", "--json").json
    assert pruned["artifacts"] == 0
    assert list(contents.copies()) == [young]
    old = StoredCopy.new(young.digest, young.size_bytes, time.time() - GRACE_SECONDS - 60)
    contents.write(old, Path(made["path"]))
    contents.remove(young)
    pruned = other.onex_here("runs", "prune", "--keep", "0", "--json").json
    assert (pruned["artifacts"], pruned["bytes"]) == (1, 5)
    assert list(contents.copies()) == []


def test_a_run_whose_artifact_cannot_be_shared_says_so_and_goes_on_later(
    machine: Callable[[str], Project], tmp_path: Path
) -> None:
    one, other = machine("one"), machine("other")
    flow(one)
    flow(other)
    assert run(one).code == run(other).code == 0
    (tmp_path / "share").rename(tmp_path / "away")
    (tmp_path / "share").mkdir()
    flow(other, until=str(other.root))
    other.write("nodes/make-1.0.0/more.txt", "other code")
    other.scan()
    failed = run(other)
    assert other.onex_here("runs", "list").code == 0
    assert failed.json["steps"]["make"]["error"]["code"] == ArtifactsUnavailableError.code
    (tmp_path / "share").rmdir()
    (tmp_path / "away").rename(tmp_path / "share")
    assert run(other).json["outputs"]["text"] == "hello"


@pytest.mark.slow
def test_another_machine_goes_on_with_a_run_whose_host_was_killed(
    machine: Callable[[str], Project], tmp_path: Path
) -> None:
    one, other = machine("one"), machine("other")
    until = tmp_path / "until"
    flow(one, until=str(until))
    process = one.start("run", "test.workflow.yaml", "--isolation", "process")
    try:
        with other.registry() as registry:
            deadline = time.monotonic() + 60
            while True:
                assert time.monotonic() < deadline
                runs = registry.history.runs()
                steps = registry.history.run(runs[0].run_id).steps if runs else {}
                if "make" in steps and steps["make"].output is not None:
                    break
                time.sleep(0.05)
            run_id = runs[0].run_id
            process.send_signal(signal.SIGKILL)
            process.wait()
            assert registry.history.run(run_id).status is RunStatus.RUNNING
            refused = other.onex_here("run", "--resume", run_id, "--format", "json")
            assert refused.json["error"]["code"] == "RUN002"
            while registry.history.run(run_id).status is RunStatus.RUNNING:
                assert time.monotonic() < deadline
                time.sleep(0.2)
    finally:
        process.kill()
        process.wait()
    until.touch()
    done = other.onex("run", "--resume", run_id, "--format", "json", "--isolation", "process")
    assert done.json["outputs"]["text"] == "hello", done.stderr
    assert done.json["run_id"] == run_id
    assert Path(done.json["outputs"]["file"]["path"]).is_relative_to(other.home)


def test_doctor_tries_the_store(machine: Callable[[str], Project], tmp_path: Path) -> None:
    one = machine("one")

    def told() -> dict[str, str]:
        checks = one.onex_here("doctor", "--format", "json").json["checks"]
        return next(check for check in checks if check["name"] == "artifacts")

    assert told()["status"] == "ok"
    shutil.rmtree(tmp_path / "share")
    assert told()["status"] == "failed"
    assert "not mounted" in told()["message"]
