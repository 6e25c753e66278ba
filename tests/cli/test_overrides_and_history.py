"""Forced versions, yanks, the past, exported locks, and the cache as its command shows it."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime

import pytest

from tests.conftest import Project


@pytest.fixture
def pair(project: Project) -> Project:
    """app needs lib ^1, and lib has 1.0.0 and 2.0.0."""
    project.add("app", dependencies=["tool://test.lib@^1"])
    project.add("lib", "def execute(context):\n    return 1\n", version="1.0.0")
    project.add("lib", "def execute(context):\n    return 2\n", version="2.0.0")
    project.scan()
    return project


def selected(project: Project, *arguments: str) -> dict[str, str]:
    done = project.onex_here("resolve", *arguments, "--format", "json")
    assert done.code == 0, done.stdout + done.stderr
    return done.json["selected"]


def test_a_forced_version_is_taken_and_shown_as_such(pair: Project) -> None:
    body = pair.onex_here(
        "resolve", "app", "--override", "tool://test.lib=2.0.0", "--format", "json"
    ).json
    assert body["selected"]["tool://test.lib"] == "2.0.0"
    assert list(body["overrides"]) == ["tool://test.lib"]
    assert "tool://test.app asks tool://test.lib ^1, which the override ignores" in body["warnings"]
    assert pair.onex_here("resolve", "app", "--override", "lib=9.9.9").code == 3
    assert pair.onex_here("resolve", "app", "--override", "lib").code == 2


def test_a_folder_takes_the_place_of_a_node(pair: Project) -> None:
    place = pair.root / "elsewhere"
    (pair.nodes / "lib-2.0.0").rename(place)
    manifest = place / "node.onex.yaml"
    manifest.write_text(manifest.read_text().replace("2.0.0", "7.0.0"))
    forced = ("--override", "lib=elsewhere")
    assert selected(pair, "app", *forced)["tool://test.lib"] == "7.0.0"
    pair.write("onex.toml", '[overrides]\n"tool://test.lib" = "elsewhere"\n')
    body = pair.onex_here("resolve", "app", "--format", "json").json
    assert body["overrides"] == {"tool://test.lib": str(manifest)}
    run = pair.onex_here("run", "lib", "--format", "json")
    assert run.json["outputs"] == {"result": 2} or run.json["outputs"] == 2
    (place / "node.py").write_text("def execute(context):\n    return 3\n")
    again = pair.onex_here("run", "lib", "--format", "json")
    assert again.code == 0
    assert "3" in json.dumps(again.json["outputs"])
    pair.write("onex.toml", '[overrides]\n"tool://test.app" = "elsewhere"\n')
    wrong = pair.onex_here("resolve", "app", "--format", "json")
    assert (wrong.code, wrong.json["error"]["code"]) == (3, "RES003")


def test_a_failure_names_the_forced_version(pair: Project) -> None:
    pair.add("deep", version="1.0.0")
    pair.add("lib", version="3.0.0", dependencies=["tool://test.deep@^2"])
    pair.scan()
    done = pair.onex_here("resolve", "app", "--override", "lib=3.0.0")
    assert done.code == 3
    assert "tool://test.lib 3.0.0 (forced) needs tool://test.deep ^2" in done.stderr


def test_a_yanked_version_is_left_to_locks_and_exact_requests(pair: Project) -> None:
    pair.workflow({"a": {"node": "lib"}})
    pair.write("onex.toml", "")
    assert pair.onex_here("lock").code == 0
    assert pair.onex_here("yank", "lib@2.0.0", "--reason", "wrong sums").code == 0
    assert selected(pair, "lib") == {"tool://test.lib": "1.0.0"}
    exact = pair.onex_here("resolve", "lib@2.0.0", "--format", "json").json
    assert exact["warnings"] == [
        "tool://test.lib@2.0.0 was yanked",
        "tool://test.lib@2.0.0 is a draft",
    ]
    assert selected(pair, "lib", "--lock", "onex.lock") == {"tool://test.lib": "2.0.0"}
    assert pair.onex_here("yank", "lib@2.0.0", "--undo").code == 0
    assert selected(pair, "lib") == {"tool://test.lib": "2.0.0"}
    assert pair.onex_here("yank", "lib@^2").code == 2
    assert pair.onex_here("show", "lib@2.0.0", "--format", "json").json["yanked"] is False


def test_the_past_is_resolved_as_it_was(pair: Project) -> None:
    def moment() -> str:
        time.sleep(0.01)
        now = datetime.now(UTC).isoformat()
        time.sleep(0.01)
        return now

    first = moment()
    pair.add("lib", version="1.5.0")
    pair.scan()
    second = moment()
    pair.onex_here("yank", "lib@1.5.0")
    third = moment()
    pair.add("app", dependencies=["tool://test.lib@^2"])
    pair.scan()
    fourth = moment()
    for path in (pair.nodes / "app-1.0.0").iterdir():
        path.unlink()
    pair.scan()
    assert selected(pair, "app", "--as-of", first)["tool://test.lib"] == "1.0.0"
    assert selected(pair, "app", "--as-of", second)["tool://test.lib"] == "1.5.0"
    assert selected(pair, "app", "--as-of", third)["tool://test.lib"] == "1.0.0"
    assert selected(pair, "app", "--as-of", fourth)["tool://test.lib"] == "2.0.0"
    assert pair.onex_here("resolve", "app").code == 3
    before = pair.onex_here("resolve", "app", "--as-of", "2020-01-01", "--format", "json")
    assert (before.code, before.json["error"]["code"]) == (3, "RES003")
    assert pair.onex_here("resolve", "app", "--as-of", "yesterday").code == 2


def test_a_lock_is_exported_for_other_tools(pair: Project) -> None:
    done = pair.onex_here("lock", "app", "--export", "resolved_versions.json")
    assert done.code == 0
    exported = json.loads((pair.root / "resolved_versions.json").read_text())
    assert exported == {"tool://test.app": "1.0.0", "tool://test.lib": "1.0.0"}


def test_answers_outlive_the_process_and_are_counted(pair: Project) -> None:
    for _ in range(4):
        pair.onex_here("resolve", "app")
    pair.onex_here("show", "app")
    pair.onex_here("show", "app")
    caches = {
        c["name"]: c for c in pair.onex_here("cache", "stats", "--format", "json").json["caches"]
    }
    assert (caches["dependencies"]["hits"], caches["dependencies"]["misses"]) == (3, 1)
    assert caches["dependencies"]["hit_ratio"] == 0.75
    assert (caches["versions"]["hits"], caches["versions"]["misses"]) == (1, 1)
    assert "dependencies" in pair.onex_here("cache", "stats").stdout
    assert pair.onex_here("cache", "clear").code == 0
    cleared = pair.onex_here("cache", "stats", "--format", "json").json["caches"]
    assert all(c["entries"] == 0 for c in cleared if c["name"] != "constraints")
