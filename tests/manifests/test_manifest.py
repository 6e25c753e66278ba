"""Manifests: the forms that real files use, the rules of each lifecycle, and where problems are."""

from __future__ import annotations

import pytest

from onex.domain.errors import Severity
from onex.domain.metadata import NodeMetadata
from onex.manifests.manifest import ManifestReading, read_manifest
from onex.manifests.yaml_document import parse_yaml
from tests.conftest import Project

DRAFT = """\
name: parse
namespace: atlas.parse
version: "1.2.0"
meta_type: tool
lifecycle: draft
entrypoint: python@node.py
"""

ACTIVE = DRAFT.replace("draft", "active") + (
    "description: d\nauthor: a\nuuid: 0b1f6c3a-6a1e-4f0c-9d57-3f1d5f6f2a01\ninputs: {x: {type: integer}}\n"
)


def read(text: str) -> ManifestReading:
    return read_manifest(parse_yaml(text.encode(), "node.onex.yaml"))


def metadata(text: str) -> NodeMetadata:
    reading = read(text)
    assert reading.metadata is not None, reading.problems
    return reading.metadata


def codes(text: str, severity: Severity = Severity.ERROR) -> list[str]:
    return [problem.code for problem in read(text).problems if problem.severity is severity]


def replaced(line_start: str, new: str, text: str = DRAFT) -> str:
    return "".join(
        new + "\n" if line.startswith(line_start) else line + "\n" for line in text.splitlines()
    )


def test_a_draft_needs_five_fields_and_nothing_else() -> None:
    found = metadata(DRAFT)
    assert str(found.node_version) == "tool://atlas.parse@1.2.0"
    for key in ("name", "namespace", "version", "meta_type", "entrypoint"):
        assert codes(replaced(f"{key}:", "")) == ["MAN001"]


@pytest.mark.parametrize("key", ["description", "author", "uuid", "inputs"])
def test_an_active_node_needs_more(key: str) -> None:
    assert codes(ACTIVE) == []
    assert codes(replaced(f"{key}:", "", ACTIVE)) == ["MAN005"]


def test_deprecated_and_archived_say_why() -> None:
    deprecated = ACTIVE.replace("active", "deprecated")
    assert codes(deprecated) == ["MAN005"]
    assert codes(deprecated + "deprecated_by: tool://b\n") == []
    archived = ACTIVE.replace("active", "archived")
    assert codes(archived) == ["MAN005"]
    assert codes(archived + "archived_reason: replaced\n") == []


@pytest.mark.parametrize(
    ("written", "kind", "target", "name"),
    [
        ("python@node.py", "python", "node.py", "execute"),
        ("python@src/main.py:go", "python", "src/main.py", "go"),
        ("python://src/main.py", "python", "src/main.py", "execute"),
        ("python://package.module", "python", "package.module", "execute"),
        ("python://package.module:run", "python", "package.module", "run"),
        ("{type: python, target: node.py}", "python", "node.py", "execute"),
        ('{type: cli, target: "bin/tool"}', "cli", "bin/tool", "execute"),
        ("yaml@project.onex.yaml", "yaml", "project.onex.yaml", "execute"),
    ],
)
def test_reads_every_form_of_entry_point(written: str, kind: str, target: str, name: str) -> None:
    found = metadata(replaced("entrypoint:", f"entrypoint: {written}")).entrypoint
    assert (found.type, found.target, found.callable_name) == (kind, target, name)


@pytest.mark.parametrize(
    "written", ["node.py", "python@../x.py", "python@/etc/x.py", "python@n.py:a-b"]
)
def test_refuses_entry_points_that_lead_elsewhere(written: str) -> None:
    assert codes(replaced("entrypoint:", f"entrypoint: {written}")) == ["MAN012"]


@pytest.mark.parametrize(
    ("written", "namespace"),
    [
        ("a.b.c", "a.b.c"),
        ("yaml://a.b.c", "a.b.c"),
        ("python://a.b", "a.b"),
        ("{value: yaml://a.b}", "a.b"),
    ],
)
def test_reads_every_form_of_namespace(written: str, namespace: str) -> None:
    assert metadata(replaced("namespace:", f"namespace: {written}")).node.namespace == namespace


@pytest.mark.parametrize("written", ["../../x", "a b", "а.b", '"a\\e[2J"', "-rf", "a..b"])
def test_refuses_hostile_namespaces(written: str) -> None:
    assert codes(replaced("namespace:", f"namespace: {written}")) == ["MAN004"]


def test_an_unquoted_version_never_changes_silently() -> None:
    reading = read(replaced("version:", "version: 1.10"))
    (problem,) = reading.problems
    assert (problem.code, problem.location.line, problem.location.column) == ("MAN003", 3, 10)
    assert "1.10" in problem.message
    assert problem.hint == 'write version: "1.10.0"'
    assert read(replaced("version:", 'version: "1.10.0"')).problems == ()


def test_an_underscored_version_is_understood_with_a_warning() -> None:
    text = replaced("version:", "version: v1_0_0")
    assert str(metadata(text).version) == "1.0.0"
    assert codes(text, Severity.WARNING) == ["MAN007"]


def test_reads_every_form_of_dependency() -> None:
    found = metadata(
        DRAFT
        + """\
dependencies:
  - tool://a.b@^1.2
  - {id: tool://c, version_spec: ">=2", optional: true}
  - {name: d.e, type: validator, version_spec: "1.x", required: true}
  - {target: f.g, type: node}
  - jinja2>=3.0
  - {name: numpy, type: library, version_spec: ">=2"}
  - package.module
  - 0b1f6c3a-6a1e-4f0c-9d57-3f1d5f6f2a01@1.0.0
"""
    )
    assert [(str(d.reference), d.optional) for d in found.dependencies] == [
        ("tool://a.b@^1.2", False),
        ("tool://c@>=2", True),
        ("validator://d.e@1.x", False),
        ("f.g", False),
        ("0b1f6c3a-6a1e-4f0c-9d57-3f1d5f6f2a01@1.0.0", False),
    ]
    assert found.libraries == ("jinja2>=3.0", "numpy>=2", "package.module")


def test_a_broken_dependency_is_located() -> None:
    (problem,) = read(DRAFT + "dependencies:\n  - tool://a@^1\n  - tool://a@^^1\n").problems
    assert (problem.code, problem.location.line, problem.location.column) == ("MAN010", 9, 5)


def test_words_and_permissions_share_capabilities() -> None:
    found = metadata(
        DRAFT + "capabilities: [parsing, file.read:/a/**, {type: secret.access, resource: KEY}]\n"
    )
    assert found.capabilities == ("parsing",)
    assert [str(p) for p in found.permissions] == ["file.read:/a/**", "secret.access:KEY"]
    assert codes(DRAFT + "capabilities: [file.read:/a/*]\n") == ["MAN011"]


def test_inputs_may_be_a_mapping_of_schemas_of_types_or_a_list() -> None:
    assert metadata(DRAFT + "inputs: {x: {type: integer}}\n").inputs == {"x": {"type": "integer"}}
    assert metadata(DRAFT + "inputs: {x: string}\n").inputs == {"x": {"type": "string"}}
    listed = metadata(DRAFT + "inputs: [{name: x, type: string}, y]\n").inputs
    assert listed == {"x": {"type": "string"}, "y": {}}


def test_null_lists_are_empty_and_unknown_keys_are_kept() -> None:
    found = metadata(DRAFT + "tags: null\ndependencies: ~\ntrust_score: 0.95\nscenarios: [a]\n")
    assert found.tags == ()
    assert found.extra == {"trust_score": 0.95, "scenarios": ["a"]}
    assert codes(DRAFT + "scenarios: [a]\n", Severity.INFORMATION) == ["MAN006"]


@pytest.mark.parametrize(
    ("line", "new"),
    [
        ("name:", "name: {NODE_NAME}"),
        ("name:", "name: '{NODE_NAME}'"),
        ("namespace:", "namespace:\n  value: yaml://a.{NODE_NAME}.b"),
        ("version:", "version: {VERSION}"),
        ("name:", "name: TEMPLATE-node"),
        ("lifecycle:", "lifecycle: template"),
    ],
)
def test_templates_are_skipped(line: str, new: str) -> None:
    reading = read(replaced(line, new))
    assert reading.is_template
    assert reading.metadata is None
    assert not [p for p in reading.problems if p.severity is Severity.ERROR]


def test_all_problems_of_a_file_are_found_at_once() -> None:
    text = (
        "name: [a]\nnamespace: a..b\nversion: x\nmeta_type: Tool\nlifecycle: done\nentrypoint: 7\n"
    )
    assert sorted(codes(text)) == ["MAN002", "MAN003", "MAN004", "MAN004", "MAN004", "MAN004"]


def test_metadata_survives_storage() -> None:
    found = metadata(
        ACTIVE + "dependencies: [tool://a@^1]\ncapabilities: [x, file.read:/a]\nextra: {a: 1}\n"
    )
    assert NodeMetadata.from_json(found.to_json()) == found


def test_a_tag_is_told_by_its_list_and_an_empty_one_is_refused(project: Project) -> None:
    path = project.add("a", tags=[])
    text = path.read_text()
    path.write_text(text.replace("tags: []", "tags: [ok, 1.0]"))
    (problem,) = project.onex_here("validate", path, "--format", "json").json["problems"]
    assert problem["message"].startswith("entry 2 of tags is 1.0 without quotes")
    assert problem["hint"] == 'write "1.0"'
    path.write_text(text.replace("tags: []", 'tags: ["", ~, " "]'))
    found = project.onex_here("validate", path, "--format", "json").json["problems"]
    assert [p["message"] for p in found] == ["a tag is empty"] * 3
    entries = 'tags: []\ncapabilities: ["", ~, {a: 1}]\ndependencies: [~, ""]'
    path.write_text(text.replace("tags: []", entries))
    found = project.onex_here("validate", path, "--format", "json").json["problems"]
    assert sorted(p["message"] for p in found) == [
        *["a capability has no type"],
        *["a capability is empty"] * 2,
        *["a dependency is empty"] * 2,
    ]


@pytest.mark.parametrize("written", ["v1.2.3", "V1.2.3", "v1_2_3", "1_2_3"])
def test_a_version_with_a_letter_is_read_with_a_warning(project: Project, written: str) -> None:
    path = project.add("a", version=written)
    body = project.onex_here("validate", path, "--format", "json").json
    assert (body["valid"], [p["code"] for p in body["problems"]]) == (True, ["MAN007"])
    project.scan()
    assert project.onex_here("list", "--format", "json").json["nodes"][0]["version"] == "1.2.3"


def test_an_optional_need_of_oneself_is_no_cycle(project: Project) -> None:
    project.add("a", dependencies=[{"id": "tool://test.a", "version_spec": "^1", "optional": True}])
    project.scan()
    assert project.onex_here("resolve", "a").code == 0
