"""Scanning: what is found, what changed, what is set aside, and that nothing good is lost."""

from __future__ import annotations

import os
import shutil
import time

import pytest

from onex.discovery.scan_report import SourceReport
from onex.domain.audit import audit
from onex.domain.errors import PathNotReadableError
from onex.registry import Registry
from onex.storage.query import MetadataQuery
from tests.conftest import Project


def scan(project: Project, *, force: bool = False) -> tuple[SourceReport, list[str]]:
    with project.registry() as registry:
        report = registry.scan([project.nodes], force=force)
    return report.sources[0], [problem.code for problem in report.problems]


def counts(report: SourceReport) -> dict[str, int]:
    names = ("added", "updated", "removed", "unchanged", "rejected", "skipped")
    return {name: getattr(report, name) for name in names if getattr(report, name)}


def registered(registry: Registry) -> dict[str, str]:
    nodes = registry.query(MetadataQuery(all_versions=True)).nodes
    return {str(node.metadata.node_version): node.digest for node in nodes}


def settle() -> None:
    """Wait until the fingerprints of the files just written can be relied on."""
    time.sleep(0.06)


def test_a_second_scan_reads_nothing_again(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        project.add(f"n{number}")
    settle()
    assert counts(scan(project)[0]) == {"added": 5}
    monkeypatch.setattr("onex.manifests.local_node.read_limited", None)
    assert counts(scan(project)[0]) == {"unchanged": 5}


def test_force_reads_everything_and_changes_nothing(project: Project) -> None:
    project.add("a")
    settle()
    scan(project)
    assert counts(scan(project, force=True)[0]) == {"unchanged": 1}


@pytest.mark.parametrize("name", ["node.py", "node.onex.yaml", "data/table.csv"])
def test_a_change_of_any_file_of_the_node_is_seen(project: Project, name: str) -> None:
    manifest = project.add("a")
    (manifest.parent / "data").mkdir()
    (manifest.parent / "data" / "table.csv").write_text("1")
    scan(project)
    with project.registry() as registry:
        before = registered(registry)
    file = manifest.parent / name
    file.write_text(file.read_text() + "\n# changed\n")
    assert counts(scan(project)[0]) == {"updated": 1}
    with project.registry() as registry:
        assert registered(registry) != before


def test_an_edit_under_an_equal_time_stamp_is_seen(project: Project) -> None:
    code = project.add("a").parent / "node.py"
    stamp = code.stat()
    scan(project)
    code.write_text(code.read_text().replace("inputs", "INPUTS"))
    os.utime(code, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert counts(scan(project)[0]) == {"updated": 1}


def test_removed_and_moved_files(project: Project) -> None:
    first = project.add("a")
    second = project.add("b")
    settle()
    scan(project)
    shutil.rmtree(first.parent)
    shutil.move(second.parent, project.nodes / "elsewhere")
    report, problems = scan(project)
    assert counts(report) == {"removed": 1, "unchanged": 1}
    assert problems == []
    with project.registry() as registry:
        assert list(registered(registry)) == ["tool://test.b@1.0.0"]
        (node,) = registry.query(MetadataQuery()).nodes
        assert [origin.path for origin in node.origins] == [
            str(project.nodes / "elsewhere" / "node.onex.yaml")
        ]


def test_a_new_version_in_place_replaces_the_old_one(project: Project) -> None:
    project.add("a", folder="a")
    scan(project)
    project.add("a", folder="a", version="2.0.0")
    assert counts(scan(project)[0]) == {"added": 1, "removed": 1}
    with project.registry() as registry:
        assert list(registered(registry)) == ["tool://test.a@2.0.0"]


def test_a_broken_manifest_costs_only_itself(project: Project) -> None:
    project.add("good")
    bad = project.add("bad")
    bad.write_text("name: [unclosed\n")
    template = project.add("template")
    template.write_text(template.read_text().replace('"template"', '"{NODE_NAME}"'))
    report, problems = scan(project)
    assert counts(report) == {"added": 1, "rejected": 1, "skipped": 1}
    assert sorted(problems) == ["DOC004", "MAN008"]
    assert scan(project)[1] == problems


def test_a_node_whose_manifest_breaks_is_removed_and_comes_back(project: Project) -> None:
    manifest = project.add("a")
    text = manifest.read_text()
    scan(project)
    manifest.write_text(text + "name: again\n")
    assert counts(scan(project)[0]) == {"removed": 1, "rejected": 1}
    manifest.write_text(text)
    assert counts(scan(project)[0]) == {"added": 1}


def test_equal_copies_merge_and_unequal_ones_conflict(project: Project) -> None:
    project.add("a", folder="x/first")
    project.add("a", folder="x/second")
    report, problems = scan(project)
    assert (report.found, problems) == (2, [])
    with project.registry() as registry:
        (node,) = registry.query(MetadataQuery()).nodes
        assert len(node.origins) == 2
    project.add("a", "def execute(context):\n    return 1\n", folder="x/third")
    report, problems = scan(project)
    assert (report.found, report.rejected, problems) == (2, 1, ["DSC002"])
    shutil.rmtree(project.nodes / "x" / "first")
    shutil.rmtree(project.nodes / "x" / "second")
    report, problems = scan(project)
    assert (report.found, report.rejected, problems) == (1, 0, [])


def test_two_nodes_with_one_uuid_are_reported(project: Project) -> None:
    shared = "0b1f6c3a-6a1e-4f0c-9d57-3f1d5f6f2a01"
    project.add("a", uuid=shared)
    project.add("a", uuid=shared, version="2.0.0")
    assert scan(project)[1] == []
    project.add("b", uuid=shared)
    assert scan(project)[1] == ["DSC003"]


def test_a_missing_entry_point_is_a_warning(project: Project) -> None:
    (project.add("a").parent / "node.py").unlink()
    report, problems = scan(project)
    assert (report.found, problems) == (1, ["DSC005"])


def test_a_missing_folder_is_an_error_and_loses_nothing(project: Project) -> None:
    project.add("a")
    scan(project)
    shutil.move(project.nodes, project.root / "away")
    with project.registry() as registry:
        with pytest.raises(PathNotReadableError):
            registry.scan([project.nodes])
        assert len(registered(registry)) == 1


def test_one_missing_source_does_not_stop_the_others(project: Project) -> None:
    project.add("a")
    with project.registry() as registry:
        report = registry.scan([project.root / "none", project.nodes])
    assert [source.status for source in report.sources] == ["failed", "ok"]
    assert [problem.code for problem in report.problems] == ["USE002"]
    assert report.nodes == 1


def test_hidden_folders_and_links_are_not_entered(project: Project) -> None:
    manifest = project.add("a")
    shutil.copytree(manifest.parent, project.nodes / ".git" / "a")
    (project.nodes / "loop").symlink_to(project.nodes, target_is_directory=True)
    assert counts(scan(project)[0]) == {"added": 1}


def test_an_odd_file_that_poses_as_a_manifest_is_rejected(project: Project) -> None:
    project.add("a")
    os.mkfifo(project.nodes / "pipe.onex.yaml")
    (project.nodes / "dangling.onex.yaml").symlink_to("/nowhere")
    (project.nodes / "foreign.onex.yaml").symlink_to("/etc/passwd")
    with project.registry() as registry:
        report = registry.scan([project.nodes])
    assert (report.sources[0].found, report.sources[0].rejected) == (1, 3)
    assert [problem.code for problem in report.problems] == ["DOC001"] * 3
    assert "root:" not in str(report.problems)


def test_names_that_are_not_text_cost_only_themselves(project: Project) -> None:
    project.add("a")
    broken = project.add("b")
    (project.nodes / os.fsdecode(b"\xff")).mkdir()
    (project.nodes / os.fsdecode(b"\xfe.onex.yaml")).write_text("a: 1\n")
    (broken.parent / os.fsdecode(b"\xfd.txt")).write_text("x")
    report, problems = scan(project)
    assert report.found == 1
    assert sorted(problems) == ["DSC004", "DSC007", "DSC007", "DSC007"]


def test_every_change_is_an_event_of_one_chain(project: Project) -> None:
    manifest = project.add("a")
    scan(project)
    (manifest.parent / "node.py").write_text("def execute(context):\n    return 2\n")
    scan(project)
    shutil.rmtree(manifest.parent)
    scan(project)
    with project.registry() as registry:
        events = list(registry.storage.events())
        registry.storage.check()
    assert [event.action for event in events] == ["node.registered", "node.updated", "node.removed"]
    assert {event.object for event in events} == {"tool://test.a@1.0.0"}
    assert [event.serial for event in events] == [1, 2, 3]
    assert audit(events).reason is None
    assert events[1].facts["before"] == events[0].facts["after"]


def test_a_thousand_nodes_are_scanned(project: Project) -> None:
    for number in range(1000):
        project.add(f"n{number}", folder=f"{number % 20}/{number}")
    report, _ = scan(project)
    assert report.added == 1000
    assert report.seconds < 60


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("odd/node.onex.yaml", "{digits}: 1\nname: x\n".format(digits="9" * 5000)),
        ("odd/.gitignore", "[b-a]\n!\n\\\n[\n"),
        ("odd/notes.md", "<!-- === OmniNode:Metadata === === /OmniNode:Metadata === -->\n"),
        ("odd/node.onex.yaml", "name: " + "[" * 31 + "]" * 31 + "\n"),
        ("odd/node.onex.yaml", "? [a, b]\n: 1\n"),
        ("odd/contract.yaml", "node_type: {digits}\n".format(digits="9" * 5000)),
    ],
)
def test_one_odd_file_costs_itself_alone(project: Project, name: str, content: str) -> None:
    project.write("onex.toml", '[[sources]]\nname = "a"\npath = "nodes"\nblocks = true\n')
    project.add("good")
    project.write(f"nodes/{name}", content)
    with project.registry() as registry:
        report = registry.scan()
    assert report.sources[0].status == "ok"
    assert report.nodes == 1
    assert "DSC010" not in {problem.code for problem in report.problems}
