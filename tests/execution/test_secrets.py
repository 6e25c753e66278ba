"""Secrets: hidden in all that is recorded or told, and never by changing what steps hand on."""

from __future__ import annotations

import base64
import json
import os
import urllib.parse
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onex.engines.redaction import MAXIMUM_LOG_BYTES, LogTail, Redaction
from tests.conftest import CommandResult, Project

PEM = "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0\nBAQEFAASCBKcwggSjAgEAAo\n-----END KEY-----\n"
LEVELS = ["strict", "process", "inline"]


def granted(project: Project, name: str, code: str, secret: str, **fields: object) -> None:
    project.environment[f"ONEX_SECRET_{name.upper()}"] = secret
    project.add(name, code, capabilities=[f"secret.access:{name.upper()}"], **fields)


def run(project: Project, *arguments: str | Path) -> CommandResult:
    project.scan()
    return project.onex_here("run", *arguments, "--format", "json")


def recorded(project: Project) -> bytes:
    """All that is kept of runs."""
    return b"".join(
        path.read_bytes() for path in project.home.glob("history.db*") if path.is_file()
    )


@pytest.mark.parametrize("isolation", LEVELS)
def test_hiding_changes_nothing_that_is_handed_on(project: Project, isolation: str) -> None:
    granted(
        project,
        "env",
        "def execute(context):\n"
        "    (context.workdir / 'f').write_text('x')\n"
        "    print('in', context.get_secret('ENV'))\n"
        "    return {'word': 'reproduction', 'file': context.artifact('f')}\n",
        "prod",
    )
    project.add("echo", "def execute(context, *, x):\n    return x\n")
    digest = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
    project.environment["ONEX_SECRET_PART"] = digest[10:14]
    workflow = project.workflow(
        {
            "env": {"node": "env"},
            "echo": {"node": "echo", "with": {"x": "${{ steps.env.word }}"}},
        },
        outputs={"word": "${{ steps.echo }}", "file": "${{ steps.env.file }}"},
    )
    done = run(project, workflow, "--isolation", isolation)
    assert done.code == 0, done.stdout
    assert done.json["outputs"]["word"] == "reproduction"
    assert done.json["outputs"]["file"]["$artifact"] == f"sha256:{digest}"
    shown = project.onex_here("runs", "show", done.json["run_id"], "--format", "json").json
    assert shown["steps"]["env"]["log"] == "in [secret ENV]\n"


@pytest.mark.parametrize(
    "returned",
    [
        "{'x': [secret]}",
        "{secret: 1}",
        "'token=' + secret",
        "__import__('base64').b64encode(b'me:' + secret.encode()).decode()",
    ],
)
def test_a_result_that_holds_a_secret_is_refused(project: Project, returned: str) -> None:
    granted(
        project,
        "token",
        f"def execute(context):\n    secret = context.get_secret('TOKEN')\n    return {returned}\n",
        "s3cret-t0ken-value",
    )
    done = run(project, "token")
    error = done.json["steps"]["node"]["error"]
    assert error["code"] == "SEC004"
    assert "TOKEN" in error["message"]
    assert b"s3cret-t0ken" not in recorded(project)


def test_a_place_that_is_write_only_is_passed_on_and_not_recorded(project: Project) -> None:
    granted(
        project,
        "token",
        "def execute(context):\n"
        "    return {'auth': {'header': 'Bearer ' + context.get_secret('TOKEN')}, 'n': 1}\n",
        "s3cret-t0ken-value",
        idempotent=True,
        outputs={
            "auth": {"type": "object", "properties": {"header": {"writeOnly": True}}},
            "n": {"type": "integer"},
        },
    )
    project.add("use", "def execute(context, *, h):\n    print(h)\n    return len(h)\n")
    project.add("fail", "def execute(context, *, h):\n    raise ValueError(h)\n")
    steps: dict[str, object] = {
        "token": {"node": "token"},
        "use": {"node": "use", "with": {"h": "${{ steps.token.auth.header }}"}},
    }
    outputs = {"length": "${{ steps.use }}", "auth": "${{ steps.token.auth }}"}
    workflow = project.workflow(steps, outputs=outputs)
    for _ in range(2):
        done = run(project, workflow)
        assert done.json["outputs"]["length"] == len("Bearer s3cret-t0ken-value")
        assert not done.json["steps"]["token"]["cached"]
        assert "s3cret" not in done.stdout
    steps["fail"] = {"node": "fail", "with": {"h": "${{ steps.token.auth.header }}"}}
    failed = run(project, project.workflow(steps))
    assert failed.json["steps"]["fail"]["error"]["message"] == ("ValueError: Bearer [secret TOKEN]")
    (project.nodes / "fail-1.0.0" / "node.py").write_text("raise SystemExit\n")
    resumed = project.onex_here("run", "--resume", failed.json["run_id"], "--format", "json")
    assert "s3cret" not in resumed.stdout
    assert b"s3cret-t0ken" not in recorded(project)


WAYS = {
    "plain": "secret",
    "repr": "repr(secret)",
    "json": "json.dumps([secret])",
    "percent": "urllib.parse.quote(secret, safe='')",
    "base64": "base64.b64encode(secret.encode()).decode()",
    "within base64": "base64.b64encode(b'user:' + secret.encode()).decode()",
    "lines": "' | '.join(reversed(secret.splitlines()))",
}


@pytest.mark.parametrize("way", WAYS)
def test_a_secret_is_hidden_however_it_is_written(project: Project, way: str) -> None:
    code = (
        "import base64, json, urllib.parse\n"
        "def execute(context):\n"
        f"    secret = context.get_secret('KEY')\n    print({WAYS[way]})\n"
        f"    context.get_logger().warning('%s', {WAYS[way]})\n"
        f"    context.progress(0.5, {WAYS[way]})\n"
        f"    raise KeyError({WAYS[way]})\n"
    )
    granted(project, "key", code, PEM)
    for isolation in LEVELS:
        done = run(project, "key", "--isolation", isolation, "--events", "-")
        shown = project.onex_here("runs", "list", "--format", "json").json["runs"][0]["run_id"]
        text = done.stdout + project.onex_here("runs", "show", shown, "--format", "json").stdout
        for line in PEM.splitlines()[1:3]:
            assert line not in text
            assert base64.b64encode(line.encode()).decode()[:-4] not in text
        assert base64.b64encode(PEM.encode()).decode()[8:40] not in text
        assert base64.b64encode(b"user:" + PEM.encode()).decode()[16:48] not in text


@pytest.mark.parametrize("kind", ["process", "inline", "program"])
def test_the_cut_of_a_long_log_leaves_no_part_of_a_secret(project: Project, kind: str) -> None:
    secret = "0123456789abcdef" * 8
    if kind == "program":
        code = (
            "#!/usr/bin/env python3\nimport os, sys\n"
            "secret = os.environ['ONEX_SECRET_KEY']\n"
            "sys.stderr.write((secret + '\\n') * 3000)\nprint('null')\n"
        )
        granted(project, "key", code, secret, entrypoint={"type": "cli", "target": "node.py"})
        (project.nodes / "key-1.0.0" / "node.py").chmod(0o755)
    else:
        code = (
            "import sys\ndef execute(context):\n    secret = context.get_secret('KEY')\n"
            "    for _ in range(3000):\n"
            "        sys.stdout.write(secret[:100])\n        sys.stdout.flush()\n"
            "        sys.stdout.write(secret[100:] + '\\n')\n"
        )
        granted(project, "key", code, secret)
    isolation = "inline" if kind == "inline" else "process"
    done = run(project, "key", "--isolation", isolation)
    assert done.code == 0, done.stdout
    log = project.onex_here("runs", "show", done.json["run_id"], "--format", "json").json["steps"][
        "node"
    ]["log"]
    assert len(log) > 5_000
    assert "abcdef" not in log


@given(
    secret=st.text(min_size=8, max_size=60).filter(lambda text: len(text.strip()) >= 8),
    before=st.integers(0, 3 * MAXIMUM_LOG_BYTES),
    chunk=st.integers(1, 5_000),
    way=st.sampled_from(
        [
            lambda text: text,
            lambda text: repr(text)[1:-1],
            lambda text: json.dumps(text)[1:-1],
            lambda text: urllib.parse.quote(text, safe="", errors="backslashreplace"),
        ]
    ),
)
def test_no_chunks_and_no_cut_show_a_secret(secret, before, chunk, way) -> None:
    written = way(secret)
    tail = LogTail(Redaction({"KEY": secret}))
    data = ("\t" * before + written + "\t" * MAXIMUM_LOG_BYTES).encode("utf-8", "backslashreplace")
    for start in range(0, len(data), chunk):
        tail.write(data[start : start + chunk])
    text = tail.text()
    assert written not in text
    assert not text.startswith(written[-5:])


def test_another_secret_is_another_call(project: Project) -> None:
    granted(
        project, "length", "def execute(context):\n    return len(context.get_secret('LENGTH'))\n",
        "0123456789", idempotent=True,
    )  # fmt: skip
    assert run(project, "length").json["outputs"] == {"result": 10}
    assert run(project, "length").json["steps"]["node"]["cached"]
    project.environment["ONEX_SECRET_LENGTH"] = "0123456789abc"
    assert run(project, "length").json["outputs"] == {"result": 13}


HANDED_ON = {
    "its schema": ({"type": "string", "maxLength": 5}, "EXE008"),
    "a path": ({"type": "string", "format": "path"}, "EXE008"),
    "an enumeration": ({"enum": ["a"]}, "EXE008"),
}


@pytest.mark.parametrize("kind", HANDED_ON)
@pytest.mark.parametrize("derived", [False, True])
def test_what_is_handed_on_is_not_shown_when_it_does_not_fit(
    project: Project, kind: str, derived: bool
) -> None:
    schema, code = HANDED_ON[kind]
    change = "[::-1]" if derived else ""
    granted(
        project, "tok",
        f"def execute(context):\n    return {{'t': context.get_secret('TOK'){change}}}\n",
        "s3cret-t0ken-value", outputs={"t": {"type": "string", "writeOnly": True}},
    )  # fmt: skip
    project.add("use", "def execute(context, *, t):\n    return 1\n", inputs={"t": schema})
    workflow = project.workflow(
        {"tok": {"node": "tok"}, "use": {"node": "use", "with": {"t": "${{ steps.tok.t }}"}}}
    )
    done = run(project, workflow, "--events", "events.jsonl")
    assert done.json["steps"]["use"]["error"]["code"] == code
    told = done.stdout + done.stderr + (project.root / "events.jsonl").read_text()
    value = "s3cret-t0ken-value"[:: -1 if derived else 1]
    assert value not in told
    assert value.encode() not in recorded(project)


def test_words_are_cut_after_secrets_are_hidden(project: Project) -> None:
    secret = "s3cret-t0ken-value-" * 4
    granted(
        project, "long",
        "def execute(context):\n    return {'x': 'A' * 1990 + context.get_secret('LONG')}\n",
        secret, outputs={"x": {"type": "integer"}},
    )  # fmt: skip
    done = run(project, "long")
    assert "s3cret" not in done.stdout
    assert b"s3cret" not in recorded(project)


def test_numbers_and_names_of_artifacts_count_too(project: Project) -> None:
    granted(
        project, "number", "def execute(context):\n    return {'x': int(context.get_secret('NUMBER'))}\n",
        "8675309112233",
    )  # fmt: skip
    assert run(project, "number").json["steps"]["node"]["error"]["code"] == "SEC004"
    granted(
        project, "named",
        "def execute(context):\n    name = context.get_secret('NAMED') + 'a' * 300\n"
        "    return {'$artifact': name}\n",
        "s3cret-t0ken-value",
    )  # fmt: skip
    done = run(project, "named")
    assert done.json["steps"]["node"]["error"]["code"] == "EXE002"
    assert "s3cret" not in done.stdout


def test_a_secret_is_not_had_as_a_variable(project: Project) -> None:
    project.environment["ONEX_SECRET_TOK"] = "s3cret-t0ken-value"
    project.add(
        "sly", "import os\ndef execute(context):\n    return os.environ.get('ONEX_SECRET_TOK')\n",
        environment=["ONEX_SECRET_TOK"],
    )  # fmt: skip
    assert run(project, "sly").json["outputs"] == {"result": None}


def test_an_artifact_that_is_not_recorded_is_handed_on_and_kept(project: Project) -> None:
    project.add(
        "make", "def execute(context):\n    (context.workdir / 'f').write_text('x')\n"
        "    return {'f': context.artifact('f')}\n", outputs={"f": {"writeOnly": True}},
    )  # fmt: skip
    project.add("read", "def execute(context, *, f):\n    return open(f).read()\n")
    workflow = project.workflow(
        {"make": {"node": "make"}, "read": {"node": "read", "with": {"f": "${{ steps.make.f }}"}}},
        outputs={"x": "${{ steps.read }}", "deep": "${{ steps.make.f.path }}"},
    )
    done = run(project, workflow)
    assert done.json["outputs"] == {"x": "x", "deep": {"$not_recorded": True}}, done.stdout
    for file in (project.home / "artifacts").glob("??/*/*"):
        os.utime(file, (0, 0))
    project.onex_here("runs", "prune", "--keep", "5")
    assert len(list((project.home / "artifacts").glob("??/*/*"))) == 1


def test_a_secret_that_is_a_document_is_hidden_in_any_layout(project: Project) -> None:
    secret = json.dumps(
        {"type": "service", "key": {"id": "f871b60d0617be19393bb66e"}, "uri": "https://example.org/x"},
        indent=2,
    )  # fmt: skip
    granted(
        project,
        "doc",
        "import json\ndef execute(context):\n"
        "    document = json.loads(context.get_secret('DOC'))\n"
        "    print(json.dumps(document, separators=(',', ':')), document['key']['id'])\n"
        "    return {'uri': document['uri'], 'type': document['type']}\n",
        secret,
    )
    done = run(project, "doc")
    assert done.json["outputs"]["result"] == {"uri": "https://example.org/x", "type": "service"}
    shown = project.onex_here("runs", "show", done.json["run_id"], "--format", "json").json
    assert "f871b60d" not in shown["steps"]["node"]["log"]
