"""What goes into a call: files by content and name, values by their declared types."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from tests.conftest import CommandResult, Project

READ = "def execute(context, **inputs):\n    import json\n    return json.dumps(inputs)\n"
CONTENTS = """
from pathlib import Path
def texts(value):
    if isinstance(value, dict):
        return {k: texts(v) for k, v in value.items()}
    if isinstance(value, list):
        return [texts(v) for v in value]
    return Path(value).read_text() if str(value).startswith("/") else value
def execute(context, **inputs):
    return texts(inputs)
"""
PATH = {"type": "string", "format": "path"}


def run(project: Project, *arguments: str | Path) -> CommandResult:
    done = project.onex_here("run", *arguments, "--format", "json")
    assert done.code == 0, done.stdout + done.stderr
    return done


def result(project: Project, *arguments: str | Path) -> object:
    return run(project, *arguments).json["outputs"]["result"]


def test_equal_artifacts_of_calls_at_once_are_all_whole(project: Project) -> None:
    project.add(
        "make",
        "def execute(context, *, x):\n"
        "    (context.workdir / 'f').write_bytes(b'12345678' * 500_000)\n"
        "    return {'file': context.artifact('f')}\n",
    )
    project.add(
        "check",
        "import hashlib\nfrom pathlib import Path\n"
        "def execute(context, *, file):\n"
        "    return hashlib.sha256(Path(file['file']).read_bytes()).hexdigest()\n",
    )
    workflow = project.workflow(
        {
            "make": {"node": "make", "foreach": list(range(12)), "with": {"x": "${{ item }}"}},
            "check": {
                "node": "check",
                "foreach": "${{ steps.make }}",
                "with": {"file": "${{ item }}"},
            },
        },
        outputs={"result": "${{ steps.check }}"},
    )
    project.scan()
    for isolation in ("process", "inline"):
        found = result(project, workflow, "--jobs", "6", "--isolation", isolation)
        assert set(found) == {hashlib.sha256(b"12345678" * 500_000).hexdigest()}
    stored = [path for path in (project.home / "artifacts").rglob("*") if path.is_file()]
    assert len(stored) == 1


@pytest.mark.parametrize("damage", ["empty", "other content", "gone"])
def test_a_damaged_artifact_is_made_again(project: Project, damage: str) -> None:
    project.add(
        "make",
        "def execute(context):\n"
        "    (context.workdir / 'f').write_text('whole')\n"
        "    return {'file': context.artifact('f')}\n",
        idempotent=True,
    )
    project.scan()
    path = Path(result(project, "make")["file"]["path"])
    assert run(project, "make").json["steps"]["node"]["cached"]
    path.chmod(0o644)
    if damage == "gone":
        path.unlink()
    else:
        path.write_text("" if damage == "empty" else "wrong")
    again = run(project, "make").json
    assert not again["steps"]["node"]["cached"]
    assert Path(again["outputs"]["result"]["file"]["path"]).read_text() == "whole"


SCHEMAS = {
    "items": ({"type": "array", "items": PATH}, lambda file: [file]),
    "properties": ({"type": "object", "properties": {"deep": PATH}}, lambda file: {"deep": file}),
    "prefixItems": ({"type": "array", "prefixItems": [{}, PATH]}, lambda file: [1, file]),
    "additionalProperties": (
        {"type": "object", "additionalProperties": {"type": "array", "items": PATH}},
        lambda file: {"any": [file]},
    ),
    "anyOf": ({"anyOf": [PATH, {"type": "null"}]}, lambda file: file),
    "$ref": ({"$defs": {"p": PATH}, "$ref": "#/properties/x/$defs/p"}, lambda file: file),
    "folder": (PATH, lambda file: str(Path(file).parent)),
}


@pytest.mark.parametrize("kind", SCHEMAS)
def test_a_path_counts_by_content_wherever_its_schema_says_so(project: Project, kind: str) -> None:
    schema, value = SCHEMAS[kind]
    project.add("take", READ, inputs={"x": schema}, idempotent=True)
    project.scan()
    data = project.write("data/inner/a.txt", "1")
    arguments = json.dumps({"x": value(str(data))})
    assert not run(project, "take", "--args", arguments).json["steps"]["node"]["cached"]
    assert run(project, "take", "--args", arguments).json["steps"]["node"]["cached"]
    data.write_text("2")
    assert not run(project, "take", "--args", arguments).json["steps"]["node"]["cached"]


def test_what_cannot_be_followed_is_not_cached(project: Project) -> None:
    project.add("take", READ, inputs={"x": {"items": {"$ref": "#/nowhere"}}}, idempotent=True)
    project.scan()
    done = project.onex_here("run", "take", "--args", '{"x": []}', "--format", "json")
    assert done.code in (0, 1)
    if done.code == 0:
        assert not run(project, "take", "--args", '{"x": []}').json["steps"]["node"]["cached"]


def test_equal_files_of_other_names_are_other_inputs(project: Project) -> None:
    code = "from pathlib import Path\ndef execute(context, *, file):\n    return Path(file).stem\n"
    project.add("who", code, inputs={"file": PATH}, idempotent=True)
    project.scan()
    for name in ("alice", "bob"):
        project.write(f"{name}.csv", "same")
        assert result(project, "who", "-i", f"file={name}.csv") == name


def test_configuration_counts_and_replay_names_it(project: Project) -> None:
    code = "def execute(context):\n    return context.get_config('colour')\n"
    project.add("paint", code, idempotent=True)
    source = '[[sources]]\nname = "nodes"\npath = "nodes"\n[config]\ncolour = "red"\n'
    project.write("onex.toml", source)
    first = run(project, "test.paint").json
    project.write("onex.toml", source.replace("red", "blue"))
    assert result(project, "test.paint") == "blue"
    replayed = project.onex_here("runs", "replay", first["run_id"], "--format", "json").json
    assert replayed["first_difference"]["causes"] == ["configuration"]


@pytest.mark.parametrize("isolation", ["process", "inline"])
def test_relative_paths_are_those_of_whoever_wrote_them(project: Project, isolation: str) -> None:
    project.add("read", CONTENTS, inputs={"path": PATH})
    project.add("read_all", CONTENTS, inputs={"paths": {"type": "array", "items": PATH}})
    project.write("nodes/read-1.0.0/data.txt", "the node's own")
    project.write("data.txt", "the caller's")
    project.write("elsewhere/data.txt", "the inputs file's")
    inputs = project.write("elsewhere/inputs.json", '{"path": "data.txt"}')
    body = {
        "name": "here",
        "inputs": {"given": {"default": "data.txt"}, "typed": {**PATH, "default": "data.txt"}},
        "steps": {
            "default": {"node": "read", "with": {"path": "${{ inputs.given }}"}},
            "typed": {"node": "read", "with": {"path": "${{ inputs.typed }}"}},
            "literal": {"node": "read", "with": {"path": "data.txt"}},
            "list": {
                "node": "read",
                "foreach": ["data.txt"],
                "with": {"path": "${{ item }}"},
            },
            "deep": {"node": "read_all", "with": {"paths": ["data.txt", "${{ inputs.given }}"]}},
        },
        "outputs": {name: f"${{{{ steps.{name} }}}}" for name in
                    ("default", "typed", "literal", "list", "deep")},
    }  # fmt: skip
    workflow = project.write("flows/here.workflow.yaml", json.dumps(body))
    project.write("flows/data.txt", "the workflow's")
    project.scan()
    options = ("--isolation", isolation)
    assert result(project, "read", "-i", "path=data.txt", *options) == {"path": "the caller's"}
    found = result(project, "read", "--inputs", inputs, *options)
    assert found == {"path": "the inputs file's"}
    own = {"path": "the workflow's"}
    assert run(project, workflow, *options).json["outputs"] == {
        "default": own, "typed": own, "literal": own, "list": [own],
        "deep": {"paths": ["the workflow's"] * 2},
    }  # fmt: skip
    given = run(project, workflow, "-i", "given=data.txt", *options).json["outputs"]
    assert given["default"] == {"path": "the caller's"}
    assert given["deep"] == {"paths": ["the workflow's", "the caller's"]}
    assert given["typed"] == own


def test_a_relative_path_from_a_step_is_refused(project: Project) -> None:
    project.add("name", "def execute(context):\n    return {'p': 'data.txt'}\n")
    project.add("read", CONTENTS, inputs={"path": PATH})
    workflow = project.workflow(
        {
            "name": {"node": "name"},
            "read": {"node": "read", "with": {"path": "${{ steps.name.p }}"}},
        }
    )
    project.scan()
    done = project.onex_here("run", workflow, "--format", "json")
    assert done.json["steps"]["read"]["error"]["code"] == "EXE008"
    assert "relative path" in done.json["steps"]["read"]["error"]["message"]


@pytest.mark.parametrize("idempotent", [True, False])
def test_what_has_no_end_is_no_file(project: Project, idempotent: bool) -> None:
    project.add("read", CONTENTS, inputs={"path": PATH}, idempotent=idempotent)
    project.scan()
    pipe = project.root / "pipe"
    os.mkfifo(pipe)
    for path in (pipe, "/dev/zero"):
        done = project.onex_here("run", "read", "-i", f"path={path}", "--format", "json")
        assert done.code == 1
        assert "neither a file nor a folder" in done.json["steps"]["node"]["error"]["message"]


@pytest.mark.parametrize(
    ("schema", "text", "value"),
    [
        ({"type": "string"}, "20200219", "20200219"),
        ({"type": "string"}, "12e4567", "12e4567"),
        ({"type": "string"}, '"quoted"', '"quoted"'),
        ({"type": "string"}, "null", "null"),
        ({"type": "integer"}, "7", 7),
        ({"type": "number"}, "1e3", 1000.0),
        ({"type": "boolean"}, "true", True),
        ({"type": ["string", "integer"]}, "7", 7),
        ({"type": ["string", "null"]}, "7", "7"),
        ({"type": ["string", "null"]}, "null", None),
        ({"anyOf": [{"type": "string"}, {"type": "array"}]}, "[1]", [1]),
        ({"anyOf": [{"type": "string"}, {"type": "array"}]}, "1", "1"),
        ({"enum": ["1", 2]}, "1", "1"),
        ({"enum": ["1", 2]}, "2", 2),
        ({}, "1.10", "1.10"),
        ({}, "NaN", "NaN"),
        ({}, '{"a": 1}', {"a": 1}),
        ({}, "plain", "plain"),
    ],
)
def test_a_text_is_read_by_its_schema(
    project: Project, schema: dict[str, object], text: str, value: object
) -> None:
    project.add("take", READ, inputs={"x": schema})
    project.scan()
    found = result(project, "take", "-i", f"x={text}", "--isolation", "inline")
    assert json.loads(str(found)) == {"x": value}


@pytest.mark.parametrize("text", ["NaN", "-Infinity", "1e999", "12e4567"])
def test_numbers_that_are_not_finite_are_refused_by_name(project: Project, text: str) -> None:
    project.add("take", READ, inputs={"u": {"type": "number"}})
    project.scan()
    for arguments in (["-i", f"u={text}"], ["--args", f'{{"u": {text}}}']):
        done = project.onex_here("run", "take", *arguments, "--format", "json")
        assert done.code == 2
        assert text.lstrip("-") in done.json["error"]["message"]
    file = project.write("inputs.yaml", "u: .inf\n")
    done = project.onex_here("run", "take", "--inputs", file, "--format", "json")
    assert done.json["error"]["problems"][0]["code"] == "DOC010"


def test_values_in_a_text_are_written_as_json(project: Project) -> None:
    project.add("give", "def execute(context):\n    return {'a': None, 'b': [True, 1.5, 'é']}\n")
    project.add("take", READ)
    workflow = project.workflow(
        {
            "give": {"node": "give"},
            "take": {"node": "take", "with": {"x": "got ${{ steps.give }} and ${{ steps.give.a }}"}},
        },
        outputs={"result": "${{ steps.take }}"},
    )  # fmt: skip
    project.scan()
    found = json.loads(str(result(project, workflow)))
    assert found == {"x": 'got {"a": null, "b": [true, 1.5, "é"]} and '}


@pytest.mark.parametrize("isolation", ["process", "inline"])
@pytest.mark.parametrize("value", ["{'a': ['\\ud800']}", "{'\\ud800': 1}"])
def test_half_a_character_fails_its_own_call(project: Project, isolation: str, value: str) -> None:
    project.add("bad", f"def execute(context):\n    return {value}\n")
    project.add("good", "def execute(context):\n    return 1\n")
    workflow = project.workflow({"bad": {"node": "bad"}, "good": {"node": "good"}})
    project.scan()
    done = project.onex_here(
        "run", workflow, "--keep-going", "--isolation", isolation, "--format", "json"
    )
    assert done.code == 1, done.stderr
    steps = done.json["steps"]
    assert steps["good"]["status"] == "succeeded"
    assert steps["bad"]["error"]["code"] == "EXE002"
    assert "surrogate" in steps["bad"]["error"]["message"]


@pytest.mark.parametrize("isolation", ["process", "inline"])
def test_half_a_character_in_words_is_escaped(project: Project, isolation: str) -> None:
    project.add(
        "bad",
        "def execute(context):\n"
        "    context.get_logger().warning('log \\ud800')\n"
        "    context.progress(0.5, 'progress \\ud800')\n"
        "    raise ValueError('error \\ud800')\n",
    )
    project.scan()
    done = project.onex_here("run", "bad", "--isolation", isolation, "--format", "json")
    assert done.code == 1, done.stderr
    assert done.json["steps"]["node"]["error"]["message"] == "ValueError: error \\ud800"
    shown = project.onex_here("runs", "show", done.json["run_id"], "--format", "json").json
    assert "log \\ud800" in shown["steps"]["node"]["log"]


@pytest.mark.unconfined
def test_a_folder_that_is_linked_into_another_counts_by_its_content(project: Project) -> None:
    project.add(
        "read",
        "from pathlib import Path\ndef execute(context, *, d):\n"
        "    return (Path(d) / 'l' / 'f').read_text()\n",
        inputs={"d": PATH}, idempotent=True,
    )  # fmt: skip
    project.scan()
    outside = project.write("outside/f", "1")
    (project.root / "d").mkdir()
    (project.root / "d" / "l").symlink_to(outside.parent)
    (project.root / "d" / "self").symlink_to(project.root / "d")
    for text in ("1", "2"):
        outside.write_text(text)
        assert result(project, "read", "-i", "d=d") == text


@pytest.mark.unconfined
def test_a_file_that_changes_during_the_call_is_not_taken_for_what_it_was(
    project: Project,
) -> None:
    project.add(
        "read",
        "from pathlib import Path\ndef execute(context, *, f):\n"
        "    Path(f).write_text('new')\n    found = Path(f).read_text()\n"
        "    Path(f).write_text('old')\n    return found\n",
        inputs={"f": PATH}, idempotent=True,
    )  # fmt: skip
    project.scan()
    project.write("f", "old")
    assert result(project, "read", "-i", "f=f") == "new"
    again = run(project, "read", "-i", "f=f").json
    assert not again["steps"]["node"]["cached"]


@pytest.mark.parametrize("isolation", ["process", "inline"])
@pytest.mark.parametrize(
    "returned", ["{'p': '/tmp/a\\0b'}", "{'p': {'$artifact': 'a\\0b'}}", "{'p': 10**5000}",
                 "{'p': {'$artifact': 'x' * 5000}}"]
)  # fmt: skip
def test_odd_values_cost_their_own_call(project: Project, returned: str, isolation: str) -> None:
    project.add("give", f"def execute(context):\n    return {returned}\n")
    project.add("take", READ, inputs={"x": PATH})
    project.add("other", READ)
    workflow = project.workflow(
        {
            "give": {"node": "give"},
            "take": {"node": "take", "with": {"x": "${{ steps.give.p }}"}},
            "other": {"node": "other"},
        }
    )
    project.scan()
    done = project.onex_here(
        "run", workflow, "--keep-going", "--isolation", isolation, "--format", "json"
    )
    assert done.json["steps"]["other"]["status"] == "succeeded", done.stdout
    codes = {s["error"]["code"] for s in done.json["steps"].values() if s["error"]}
    assert codes <= {"EXE002", "EXE009", "EXE001"}, done.stdout


def test_a_mapping_of_a_user_s_own_is_no_artifact(project: Project) -> None:
    project.add("take", READ)
    project.scan()
    for value in ({"$artifact": "zz"}, {"$artifact": 1, "path": 5},
                  {"$artifact": "x", "path": "/etc/passwd"}):  # fmt: skip
        arguments = json.dumps({"x": value})
        assert json.loads(str(result(project, "take", "--args", arguments))) == {"x": value}
