"""Words and paths that no index of a database can hold cost their node alone."""

from __future__ import annotations

import os

import pytest

from tests.conftest import Project

LONG = "ä" * 300


@pytest.mark.parametrize(
    "fields",
    [
        {"tags": ["fine", LONG]},
        {"capabilities": [LONG]},
        {"capabilities": [f"file.read:/{LONG}"]},
        {"author": LONG},
        {"namespace": ".".join(["long"] * 200)},
    ],
)
@pytest.mark.parametrize("storage", ["sqlite", "postgresql"])
def test_a_word_that_is_too_long_costs_its_node_alone(
    project: Project, request: pytest.FixtureRequest, storage: str, fields: dict[str, object]
) -> None:
    if storage == "postgresql":
        project.environment["ONEX_STORAGE"] = request.getfixturevalue("postgres")
    project.add("good", tags=["ä" * 256], author="ä" * 256)
    project.add("long", **fields)
    body = project.onex_here("scan", "nodes", "--format", "json").json
    assert (body["sources"][0]["found"], body["sources"][0]["rejected"]) == (1, 1)
    assert {problem["code"] for problem in body["problems"]} <= {"MAN004"}
    assert any("512 bytes" in problem["hint"] for problem in body["problems"])


@pytest.mark.parametrize("storage", ["sqlite", "postgresql"])
def test_a_path_that_is_too_long_is_left_out(
    project: Project, request: pytest.FixtureRequest, storage: str
) -> None:
    if storage == "postgresql":
        project.environment["ONEX_STORAGE"] = request.getfixturevalue("postgres")
    project.add("good")
    manifest = project.add("far")
    # Step by step, since no system call takes so long a path at once.
    here = os.open(project.nodes, os.O_RDONLY)
    try:
        for number in range(14):
            name = f"{number}".ljust(200, chr(ord("a") + number))
            os.mkdir(name, dir_fd=here)
            below = os.open(name, os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = below
        os.rename(manifest, "node.onex.yaml", dst_dir_fd=here)
    finally:
        os.close(here)
    body = project.onex_here("scan", "nodes", "--format", "json").json
    assert body["sources"][0]["found"] == 1
    assert [problem["code"] for problem in body["problems"]] == ["DSC001"]
    assert (
        project.onex_here("scan", "nodes", "--format", "json").json["problems"] == body["problems"]
    )
