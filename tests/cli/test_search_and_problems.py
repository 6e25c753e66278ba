"""What is found first, what its score says, and how many problems are printed."""

from __future__ import annotations

from pathlib import Path

from onex.storage.query import MetadataQuery
from onex.storage.sql.store import SqlBackend
from tests.conftest import Project
from tests.storage.conftest import backend, insert, node, url  # noqa: F401


def test_the_name_comes_first_then_prefixes_tags_and_words(backend: SqlBackend) -> None:  # noqa: F811
    many = [node(f"n{i}", description="parse parse parse") for i in range(50)]
    insert(
        backend,
        *many,
        node("zz", tags=("parse",)),
        node("parse_json"),
        node("parse", description="nothing else"),
    )
    hits = backend.search("parse", MetadataQuery(limit=10)).hits
    assert [hit.node.metadata.name for hit in hits[:3]] == ["parse", "parse_json", "zz"]
    assert [hit.score for hit in hits[:3]] == [1.0, 0.8, 0.6]
    assert all(0 < hit.score <= 0.5 for hit in hits[3:])
    assert len(hits) == 10


def test_problems_of_one_kind_are_counted(project: Project, tmp_path: Path) -> None:
    for number in range(30):
        project.write(f"nodes/broken{number:02}/node.onex.yaml", "name: [\n")
    done = project.onex_here("scan", "nodes")
    assert done.stderr.count("error DOC004") == 4
    assert "error DOC004: 27 more like this" in done.stderr
    assert project.onex_here("scan", "nodes", "-v").stderr.count("error DOC004") == 30
    assert len(project.onex_here("scan", "nodes", "--format", "json").json["problems"]) == 30


def test_many_files_stamped_with_one_name_are_one_problem(project: Project) -> None:
    project.write("onex.toml", "[[sources]]\nname = 'code'\npath = 'code'\nblocks = true\n")
    files = [project.write(f"code/part{i:02}/__init__.py", f"x = {i}\n") for i in range(12)]
    project.onex_here("stamp", *files)
    body = project.onex_here("scan", "--format", "json").json
    assert (body["sources"][0]["found"], body["sources"][0]["rejected"]) == (1, 11)
    (problem,) = body["problems"]
    assert "part00" in problem["message"]
    assert problem["path"].endswith("part01/__init__.py")
    assert "10 other files" in problem["message"]
    assert project.onex_here("scan", "-v").stderr.count("DSC002") == 1


def test_few_files_with_one_name_stay_problems_of_their_own(project: Project) -> None:
    project.write("onex.toml", "[[sources]]\nname = 'code'\npath = 'code'\nblocks = true\n")
    files = [project.write(f"code/part{i}/index.py", f"x = {i}\n") for i in range(3)]
    project.onex_here("stamp", *files)
    assert [p["code"] for p in project.onex_here("scan", "--format", "json").json["problems"]] == [
        "DSC002",
        "DSC002",
    ]
