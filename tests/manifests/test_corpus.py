"""Every manifest of the shared corpus of real files has the outcome that is written here."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from onex import Registry
from onex.domain.errors import DocumentError, Problem, Severity
from onex.manifests.manifest import read_manifest
from onex.manifests.yaml_document import read_yaml

CORPUS = Path(__file__).parents[3] / "shared" / "corpus" / "onex-manifests"

needs_corpus = pytest.mark.skipif(
    not CORPUS.is_dir(), reason=f"the corpus of real manifests is not at {CORPUS}"
)


def outcome(path: Path) -> tuple[str, tuple[Problem, ...]]:
    try:
        reading = read_manifest(read_yaml(path))
    except DocumentError as error:
        return "rejected", error.problems
    if reading.is_template:
        return "template", reading.problems
    if reading.metadata is None:
        return "rejected", reading.problems
    if any(problem.severity is Severity.WARNING for problem in reading.problems):
        return "accepted with warnings", reading.problems
    return "accepted", reading.problems


@needs_corpus
def test_every_file_has_a_known_outcome() -> None:
    outcomes = {path.name: outcome(path) for path in sorted(CORPUS.glob("*.onex.yaml"))}
    assert Counter(kind for kind, _ in outcomes.values()) == {
        "accepted": 40,
        "template": 2,
        "rejected": 4,
    }
    rejected = {
        name: [
            (p.code, p.location.line, p.location.column) for p in problems if p.severity == "error"
        ]
        for name, (kind, problems) in outcomes.items()
        if kind == "rejected"
    }
    project = [("MAN001", 1, 1), ("MAN005", 1, 1), ("MAN005", 1, 1)]
    assert rejected.pop("project.286e0d21.onex.yaml") == project
    assert rejected.pop("project.83ccb23b.onex.yaml") == project
    assert rejected.pop("registry_loader_node__v1_0_0__node.df745649.onex.yaml") == [
        ("DOC005", 20, 1)
    ]
    twice = rejected.pop("stamper_node__node.66249b71.onex.yaml")
    assert twice[0] == ("DOC005", 25, 1)
    assert len(twice) == 15
    assert rejected == {}


@needs_corpus
def test_a_scan_keeps_the_good_and_sets_conflicts_aside(tmp_path: Path) -> None:
    with Registry.open(tmp_path / "home") as registry:
        report = registry.scan([CORPUS])
        again = registry.scan([CORPUS])
    (source,) = report.sources
    conflicts = [problem for problem in report.problems if problem.code == "DSC002"]
    assert (source.found, source.rejected, source.skipped) == (29, 15, 2)
    assert len(conflicts) == 11
    assert report.nodes == 29
    assert [p.to_json() for p in again.problems] == [p.to_json() for p in report.problems]
    for problem in report.problems:
        assert problem.message
        assert problem.location.path or problem.code == "DSC003"
