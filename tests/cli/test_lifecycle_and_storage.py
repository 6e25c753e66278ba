"""``onex search``, ``lifecycle`` and ``storage`` as a user meets them, also on PostgreSQL."""

from __future__ import annotations

import sqlite3

import pytest

from tests.conftest import Project


@pytest.fixture
def filled(project: Project) -> Project:
    for version in ("1.0.0", "2.0.0"):
        project.add(
            "parse_file", version=version, lifecycle="active", description="Parses a file", author="me",
            uuid="0b1f6c3a-6a1e-4f0c-9d57-3f1d5f6f2a01", inputs={"x": {"default": 1}}, tags=["python"],
        )  # fmt: skip
    project.add("reader", description="Reads things")
    (project.nodes / "reader-1.0.0" / "README.md").write_text("# Reader\n\nKnows parquet.\n")
    project.scan()
    return project


def test_search(filled: Project) -> None:
    body = filled.onex_here("search", "parse", "--format", "json").json
    assert [n["name"] for n in body["nodes"]] == ["parse_file"]
    assert body["nodes"][0]["score"] > 0
    assert (
        filled.onex_here("search", "parquet", "--format", "json").json["nodes"][0]["name"]
        == "reader"
    )
    mistyped = filled.onex_here("search", "reedar", "--format", "json").json
    assert (mistyped["did_you_mean"], mistyped["nodes"][0]["name"]) == ("reader", "reader")
    assert "searched for reader" in filled.onex_here("search", "reedar").stderr
    facets = filled.onex_here("list", "--facets", "--format", "json").json["facets"]
    assert facets["type"] == {"tool": 2}
    assert filled.onex_here("list", "--version", "<2", "--format", "json").json["total"] == 2


def test_lifecycle(filled: Project) -> None:
    target = "tool://test.parse_file@2.0.0"
    refused = filled.onex_here("lifecycle", "transition", target, "deprecated", "--format", "json")
    assert (refused.code, refused.json["error"]["code"]) == (2, "LC004")
    itself = filled.onex_here(
        "lifecycle", "transition", target, "deprecated", "--by", target, "--format", "json"
    )
    assert itself.json["error"]["code"] == "LC006"
    done = filled.onex_here(
        "lifecycle",
        "transition",
        target,
        "deprecated",
        "--by",
        "reader",
        "--reason",
        "slow",
        "--format",
        "json",
    )
    assert done.json["lifecycle"] == "deprecated"
    listed = filled.onex_here("list").stdout
    assert "tool://test.parse_file\t1.0.0\tactive" in listed
    assert "deprecated, use reader" in filled.onex_here("list", "--all-versions").stdout
    resolved = filled.onex_here("resolve", target, "--format", "json").json
    assert resolved["warnings"] == [f"{target} is deprecated; use reader"]
    filled.onex_here("scan", "nodes", "--force")
    states = filled.onex_here("lifecycle", "status", "parse_file", "--format", "json").json[
        "versions"
    ]
    assert [s["lifecycle"] for s in states] == ["active", "deprecated"]
    history = filled.onex_here("lifecycle", "history", target, "--format", "json").json["events"]
    assert [(e["action"], e["lifecycle"]) for e in history] == [
        ("node.registered", "active"), ("node.lifecycle", "deprecated"),
    ]  # fmt: skip
    assert history[1]["reason"] == "slow"
    report = filled.onex_here("lifecycle", "report", "--format", "json").json
    assert report["counts"] == {"draft": 1, "active": 1, "deprecated": 1, "archived": 0}
    archived = filled.onex_here("lifecycle", "transition", target, "archived", "--reason", "gone")
    assert archived.code == 0
    assert (
        filled.onex_here("list", "--lifecycle", "archived", "--format", "json").json["total"] == 1
    )
    assert filled.onex_here("lifecycle", "status", "parse_file").code == 0
    assert filled.onex_here("lifecycle", "report").code == 0


def test_a_registry_moves_to_postgresql_and_back(filled: Project, postgres: str) -> None:
    before = filled.onex_here("list", "--all-versions", "--format", "json").json
    assert (
        filled.onex_here("storage", "migrate", "--to", postgres, "--format", "json").json["nodes"]
        == 3
    )
    assert filled.onex_here("storage", "migrate", "--to", postgres).code == 2
    filled.environment["ONEX_STORAGE"] = postgres
    filled.write("onex.toml", '[[sources]]\npath = "nodes"\nname = "nodes"\n')
    assert filled.onex_here("list", "--all-versions", "--format", "json").json == before
    filled.add("late")
    assert filled.onex_here("scan", "nodes", "--format", "json").json["nodes"] == 4
    assert filled.onex_here("run", "late", "--format", "json").json["success"]
    assert filled.onex_here("search", "parquet", "--format", "json").json["total"] == 1
    assert filled.onex_here("storage", "check").code == 0
    assert filled.onex_here("storage", "vacuum").code == 0
    assert filled.onex_here("storage", "backup", "saved.db").code == 0
    assert filled.onex_here("storage", "backup", "saved.db").code == 2
    filled.environment["ONEX_STORAGE"] = f"sqlite:///{filled.root / 'new.db'}"
    assert filled.onex_here("storage", "restore", "saved.db", "--format", "json").json["nodes"] == 4
    assert filled.onex_here("storage", "restore", "saved.db").code == 2
    assert filled.onex_here("storage", "restore", "missing.db").code == 2
    assert filled.onex_here("list", "--format", "json").json["total"] == 3


def test_check_and_rebuild(filled: Project) -> None:
    assert filled.onex_here("storage", "check", "--format", "json").json == {"ok": True, "nodes": 3}
    with sqlite3.connect(filled.home / "registry.db") as connection:
        connection.execute("UPDATE nodes SET digest = 'sha256:0' WHERE name = 'reader'")
    broken = filled.onex_here("storage", "check", "--format", "json")
    assert (broken.code, broken.json["error"]["code"]) == (2, "STO001")
    assert "tool://test.reader@1.0.0" in broken.json["error"]["message"]
    assert filled.onex_here("storage", "rebuild", "--format", "json").json == {"nodes": 3}
    assert filled.onex_here("storage", "check").code == 0


def test_an_unusable_storage_is_explained(filled: Project) -> None:
    for url, code in (("mysql://x", "CFG001"), ("postgresql://u:secret@127.0.0.1:1/x", "STO001")):
        filled.environment["ONEX_STORAGE"] = url
        done = filled.onex_here("list", "--format", "json")
        assert (done.code, done.json["error"]["code"]) == (2, code)
        assert "secret" not in done.stdout
