"""Installed distributions: real ones, unpacked from their wheels, and editable ones."""

from __future__ import annotations

import json
import zipfile
from collections import Counter
from pathlib import Path

import pytest

from onex import Registry
from onex.discovery.packages import PluginDiscovery
from onex.discovery.source import Deadline, SourceSnapshot
from onex.storage.query import MetadataQuery
from tests.conftest import Project

WHEELS = Path(__file__).parents[2] / ".venv" / "corpus"

needs_wheels = pytest.mark.skipif(
    not list(WHEELS.glob("*.whl")), reason=f"no wheels in {WHEELS}; make .venv/corpus fetches them"
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site-packages with the three ONEX packages of the package index."""
    folder = tmp_path_factory.mktemp("site")
    for wheel in WHEELS.glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder)
    return folder


@needs_wheels
def test_every_entry_point_of_the_real_packages_is_a_node_or_refused_for_a_reason(
    site: Path, tmp_path: Path
) -> None:
    project = tmp_path / "onex.toml"
    project.write_text(f'[[sources]]\nkind = "package"\nname = "installed"\npath = "{site}"\n')
    with Registry.open(tmp_path / "home", start=tmp_path, environment={}) as registry:
        report = registry.scan()
        again = registry.scan()
        nodes = registry.query(MetadataQuery()).nodes
        effects = registry.query(MetadataQuery(type="effect", limit=0)).total
        tagged = registry.query(MetadataQuery(tags=("validation",), limit=0)).total
        capable = registry.query(MetadataQuery(capabilities=("postgres",), limit=0)).total
    (source,) = report.sources
    points = sum(
        line.count(" = ")
        for file in site.glob("*.dist-info/entry_points.txt")
        for line in file.read_text().partition("[onex.nodes]")[2].partition("\n[")[0].splitlines()
    )
    assert points == 213
    assert (source.found, source.rejected, source.skipped) == (210, 3, 0)
    assert Counter(problem.code for problem in report.problems) == {"DOC006": 6}
    assert {problem.location.line for problem in report.problems} == {71, 73, 154, 156, 54, 57}
    assert again.sources[0].unchanged == 210
    assert Counter(node.metadata.node.type for node in nodes) == {
        "effect": 106, "compute": 73, "reducer": 15, "orchestrator": 16,
    }  # fmt: skip
    assert effects == 106
    assert tagged >= 3
    assert capable >= 5
    assert all(node.metadata.description for node in nodes)


@needs_wheels
def test_their_tree_gives_every_contract_and_resolves_their_dependencies(
    site: Path, tmp_path: Path
) -> None:
    with Registry.open(tmp_path / "home", start=tmp_path, environment={}) as registry:
        report = registry.scan([site])
        infra = registry.resolve(["compute://omnibase_infra.nodes.node_ledger_projection_compute"])
        versions = {str(n.metadata.version) for n in registry.query(MetadataQuery()).nodes}
    assert (report.sources[0].found, report.sources[0].rejected) == (243, 3)
    assert {"1.0.0", "0.1.0", "1.18.1"} <= versions
    assert len(infra.selected) >= 1


def test_nothing_is_imported(tmp_path: Path) -> None:
    site = tmp_path / "site"
    install(site, "evil", "evil.node:Node", "raise SystemExit('imported')")
    found = discover(site)
    assert [finding.file.outcome for finding in found.findings] == ["node"]


@pytest.mark.parametrize(
    ("value", "place"),
    [
        ("pack.nodes.one", "pack/nodes/one"),
        ("pack.nodes.one.code", "pack/nodes/one"),
        ("pack.nodes.one.code:Node", "pack/nodes/one"),
        ("pack.nodes.one:Node [extra]", "pack/nodes/one"),
    ],
)
def test_packages_modules_and_classes(tmp_path: Path, value: str, place: str) -> None:
    install(tmp_path, "pack", value, "")
    folder = tmp_path / place
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "code.py").write_text("")
    (folder / "node.onex.yaml").write_text(manifest("one"))
    found = discover(tmp_path)
    assert [Path(finding.file.path).parent for finding in found.findings] == [folder]


@pytest.mark.parametrize("layout", ["src", "flat", "pth"])
def test_editable_installs(tmp_path: Path, layout: str) -> None:
    site, project = tmp_path / "site", tmp_path / "project"
    code = project / ("src" if layout == "src" else "") / "pack"
    code.mkdir(parents=True)
    (code / "node.onex.yaml").write_text(manifest("edit"))
    info = install(site, "pack", "pack", "", with_code=False)
    if layout == "pth":
        (site / "_pack.pth").write_text(f"import something\n{project}\n")
        (info / "RECORD").write_text("_pack.pth,,\n")
    else:
        direct = {"url": project.as_uri(), "dir_info": {"editable": True}}
        (info / "direct_url.json").write_text(json.dumps(direct))
    found = discover(site)
    assert [finding.file.path for finding in found.findings] == [str(code / "node.onex.yaml")]


def test_an_entry_point_without_a_manifest_is_named(tmp_path: Path) -> None:
    install(tmp_path, "bare", "bare.missing", "", with_code=False)
    install(tmp_path, "odd", "not a module!", "", with_code=False)
    found = discover(tmp_path)
    assert [problem.code for problem in found.problems] == ["DSC013", "DSC013"]
    assert "bare.missing" in found.problems[0].message


def test_an_upgrade_replaces_and_an_uninstall_removes(tmp_path: Path, project: Project) -> None:
    site = tmp_path / "site"
    info = install(site, "pack", "pack", "")
    (site / "pack" / "node.onex.yaml").write_text(manifest("up"))
    project.write("onex.toml", f'[[sources]]\nkind = "package"\npath = "{site}"\n')
    first = project.onex("scan", "--format", "json").json
    assert (first["sources"][0]["name"], first["sources"][0]["added"]) == (str(site), 1)
    (site / "pack" / "node.onex.yaml").write_text(manifest("up").replace("1.0.0", "1.1.0"))
    second = project.onex("scan", "--format", "json").json["sources"][0]
    assert (second["added"], second["removed"]) == (1, 1)
    for file in info.iterdir():
        file.unlink()
    info.rmdir()
    third = project.onex("scan", "--format", "json").json
    assert (third["sources"][0]["removed"], third["nodes"]) == (1, 0)


def manifest(name: str) -> str:
    return (
        f"name: {name}\nnamespace: test.{name}\nversion: 1.0.0\nmeta_type: tool\n"
        "lifecycle: draft\nentrypoint: python@code.py\n"
    )


def install(site: Path, name: str, value: str, code: str, *, with_code: bool = True) -> Path:
    """Write what an installer would, and return the folder of the distribution's metadata."""
    info = site / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[onex.nodes]\n{name} = {value}\n")
    if with_code:
        package = site / name
        package.mkdir()
        (package / "__init__.py").write_text(code)
        (package / "node.py").write_text(code)
        if name == "evil":
            (package / "node.onex.yaml").write_text(manifest(name))
    return info


def discover(site: Path):
    source = PluginDiscovery("p", [str(site)])
    return source.discover_nodes(SourceSnapshot(), Deadline.after(30))


def test_broken_distributions_cost_themselves_alone(tmp_path: Path) -> None:
    site = tmp_path / "site"
    install(site, "evil", "evil.node:Node", "x = 1\n")
    stray = install(site, "stray", "stray.node", "x = 1\n")
    (stray / "entry_points.txt").write_text("[console_scripts]\nno equals sign\n[onex.nodes]\n")
    ours = install(site, "ours", "ours.node", "x = 1\n")
    (ours / "entry_points.txt").write_text("[onex.nodes]\nnothing here\n")
    latin = install(site, "latin", "latin.node", "x = 1\n")
    (latin / "entry_points.txt").write_bytes(b"[onex.nodes]\na = caf\xe9\n")
    (latin / "METADATA").write_bytes(b"Name: caf\xe9\n")
    found = discover(site)
    assert [Path(f.file.path).parent.name for f in found.findings] == ["evil"]
    told = {problem.code: problem.message for problem in found.problems}
    assert set(told) == {"DSC013", "DSC019"}
    assert "of ours" in told["DSC013"]
    assert "latin-1.0.dist-info" in told["DSC019"]


def test_a_node_that_is_a_module_owns_what_was_recorded_with_it(tmp_path: Path) -> None:
    site = tmp_path / "site"
    info = install(site, "single", "single", "", with_code=False)
    (site / "single.py").write_text("def execute(context):\n    return 1\n")
    (site / "helper_of_single.py").write_text("x = 1\n")
    (site / "stranger.py").write_text("x = 1\n")
    text = manifest("single").replace("python@node.py", "python@single.py")
    (site / "single.onex.yaml").write_text(text)
    (info / "RECORD").write_text("single.py,,\nsingle.onex.yaml,,\nhelper_of_single.py,,\n")
    install(site, "other", "other.node", "x = 1\n")
    (finding,) = discover(site).findings
    assert [line.split()[1] for line in finding.file.files.splitlines()] == [
        "helper_of_single.py", "single.onex.yaml", "single.py",
    ]  # fmt: skip


def test_a_package_in_a_zip_file_is_named_as_that(tmp_path: Path) -> None:
    archive = tmp_path / "packed.zip"
    with zipfile.ZipFile(archive, "w") as zipped:
        zipped.writestr("packed-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: packed\n")
        zipped.writestr("packed-1.0.dist-info/entry_points.txt", "[onex.nodes]\na = packed\n")
        zipped.writestr("packed/__init__.py", "")
    source = PluginDiscovery("p", [str(archive)])
    source.health_check = lambda: None
    found = source.discover_nodes(SourceSnapshot(), Deadline.after(30))
    (problem,) = found.problems
    assert "which lies in a zip file" in problem.message
