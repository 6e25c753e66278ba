"""Nodes that try to harm the host with what they return and print, and with how they end."""

from __future__ import annotations

import time

import pytest

from tests.conftest import Project
from tests.execution.test_run import processes_of

GOOD = {"node": "good", "with": {"n": 1}}

# What the host must say of each, and that it goes on with the other step.
HOSTILE = {
    "a gigabyte of text": (
        "def execute(context):\n    return 'x' * 1024**3\n", "EXE002", "more than 64 MiB"),
    "a gigabyte in pieces": (
        "def execute(context):\n    return ['x' * 1024**2] * 1024\n", "EXE002", "more than 64 MiB"),
    "a list of a hundred million": (
        "def execute(context):\n    return [0] * 100_000_000\n", "EXE002", "more than 64 MiB"),
    "100,000 deep": (
        "def execute(context):\n    x = []\n    for _ in range(100_000):\n        x = [x]\n    return x\n",
        "EXE002", "nested"),
    "a list that holds itself": (
        "def execute(context):\n    x = []\n    x.append(x)\n    return x\n", "EXE002", "nested"),
    "infinity": ("def execute(context):\n    return {'x': float('inf')}\n", "EXE002", "the result.x is inf"),
    "a frame of its own": (
        """
import json, os, struct
def execute(context):
    body = json.dumps({"result": "forged", "mark": "forged"}).encode()
    for number in range(3, 64):
        try:
            os.write(number, struct.pack(">I", len(body)) + body)
        except OSError:
            pass
    return "true"
""", "EXE004", "answered a call that was not made"),
    **{
        f"a message of another form, {body}": (
            f"""
import os, struct
def execute(context):
    body = {body.encode()!r}
    for number in range(3, 64):
        try:
            os.write(number, struct.pack(">I", len(body)) + body)
        except OSError:
            pass
    return 1
""", "EXE004", "another form than agreed")
        for body in ('{"log": 5}', '{"progress": 5}',
                     '{"progress": {"fraction": 1' + 400 * "0" + "}}")
    },
    "a frame that claims four gigabytes": (
        """
import os
def execute(context):
    for number in range(3, 64):
        try:
            os.write(number, b"\\xff" * 64)
        except OSError:
            pass
    return 1
""", "EXE004", "a frame claims 4294967295 bytes"),
    "half a frame, then death": (
        """
import os
def execute(context):
    for number in range(3, 64):
        try:
            os.write(number, b"\\0\\0\\1\\0half")
        except OSError:
            pass
    os._exit(0)
""", "EXE004", "ends within a frame"),
    "JSON too deep for a parser": (
        """
import os, struct
def execute(context):
    body = b'{"result":' + b"[" * 200_000
    for number in range(3, 64):
        try:
            os.write(number, struct.pack(">I", len(body)) + body)
        except OSError:
            pass
    os._exit(0)
""", "EXE004", "not JSON"),
    "an exit while its log is locked": (
        """
import logging, os, threading
def execute(context):
    logger = context.get_logger()
    logger.handlers[0].acquire()
    threading.Thread(target=logger.info, args=("waits",)).start()
    os._exit(9)
""", "EXE004", "exit code 9"),
    "it ignores SIGTERM and closes its pipes": (
        """
import os, signal, time
def execute(context):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.closerange(0, 256)
    time.sleep(600)
""", "EXE004", "ended"),
    "a result that names a file of the host": (
        "def execute(context):\n    return {'$artifact': '/etc/passwd'}\n", "EXE002", "not a file of this execution"),
    "a result that names a link to a file of the host": (
        """
def execute(context):
    (context.workdir / 'a').symlink_to('/etc/passwd')
    return {'$artifact': str(context.workdir / 'a')}
""", "EXE002", "not a file of this execution"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_it_is_contained_and_named_and_the_run_goes_on(project: Project, name: str) -> None:
    code, error_code, message = HOSTILE[name]
    project.add("bad", code)
    project.add("good")
    project.scan()
    project.workflow({"bad": {"node": "bad", "timeout": 60}, "good": GOOD})
    result, peak = project.onex_measured(
        "run", "test.workflow.yaml", "--keep-going", "--format", "json"
    )
    steps = result.json["steps"]
    assert steps["bad"]["error"]["code"] == error_code, steps["bad"]["error"]
    assert message in steps["bad"]["error"]["message"]
    assert steps["good"]["status"] == "succeeded"
    assert peak < 400 * 1024**2, "the host took part in it"
    assert processes_of(project.home) == []


FLOODS = {
    "standard output": "while time.monotonic() < end:\n        print('x' * 10_000)\n",
    "the log": "while time.monotonic() < end:\n        context.get_logger().info('x' * 10_000)\n",
    "progress": "while time.monotonic() < end:\n        context.progress(0.5, 'x' * 1000)\n",
}


@pytest.mark.slow
@pytest.mark.unconfined
@pytest.mark.parametrize("where", FLOODS)
def test_a_flood_is_bounded(project: Project, where: str) -> None:
    code = f"import time\ndef execute(context):\n    end = time.monotonic() + 2\n    {FLOODS[where]}    return 7\n"
    project.add("flood", code)
    project.scan()
    started = time.monotonic()
    result, peak = project.onex_measured("run", "flood", "--format", "json")
    assert result.json["outputs"] == {"result": 7}
    assert peak < 300 * 1024**2
    assert time.monotonic() - started < 60
    shown = project.onex("runs", "show", result.json["run_id"], "--format", "json").json
    assert len(shown["steps"]["node"]["log"]) <= 64 * 1024
