"""Versions that a request reaches and does not take: the answer names them and the way to them."""

from __future__ import annotations

from tests.conftest import Project


def explanation(project: Project, reference: str) -> tuple[str, str]:
    error = project.onex_here("resolve", reference, "--format", "json").json["error"]
    return error["explanation"], error["hint"]


def test_only_prereleases(project: Project) -> None:
    project.add("a", version="1.0.0-rc.1")
    project.add("a", version="1.0.0-rc.2")
    project.scan()
    for reference in ("a", "a@latest"):
        found = project.onex_here("resolve", reference, "--format", "json").json
        assert found["selected"] == {"tool://test.a": "1.0.0-rc.2"}
    for reference in ("a@>=0.1", "a@*"):
        text, _ = explanation(project, reference)
        assert "1.0.0-rc.2 is a prerelease" in text
        assert "the exact constraint 1.0.0-rc.2" in text
    assert project.onex_here("resolve", "a@1.0.0-rc.2").code == 0
    project.add("a", version="0.9.0", lifecycle="deprecated", deprecated_by="tool://test.b",
                description="d", author="a", uuid="00000000-0000-4000-8000-000000000001",
                inputs={"x": "string"})  # fmt: skip
    project.scan()
    found = project.onex_here("resolve", "a", "--format", "json").json
    assert found["selected"] == {"tool://test.a": "0.9.0"}


def test_yanked_and_archived_versions(project: Project) -> None:
    project.add("a", version="1.0.0")
    project.add("a", version="1.1.0")
    project.scan()
    project.onex_here("yank", "a@1.1.0", "--reason", "loses data")
    project.onex_here("lifecycle", "transition", "a@1.0.0", "archived", "--reason", "CVE-1")
    text, hint = explanation(project, "a@^1")
    assert "1.1.0 is yanked: loses data and 1.0.0 is archived: CVE-1" in text
    assert "onex yank tool://test.a@1.1.0 --undo" in hint or "edits" in hint
    shown = project.onex_here("show", "a@^1", "--format", "json").json["error"]
    assert "is yanked: loses data" in shown["message"]
    assert shown["hint"] == "onex yank tool://test.a@1.1.0 --undo brings it back"
    assert project.onex_here("resolve", "a@1.1.0").code == 0
