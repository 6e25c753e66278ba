"""Hints from code: what it needs and does not ask for, and what is odd, each with its line."""

from __future__ import annotations

import pytest

from tests.conftest import Project

CASES = {
    "import requests": "network.connect",
    "from urllib.request import urlopen": "network.connect",
    "import subprocess": "process.execute",
    "import os\nos.execv('/bin/sh', ['sh'])": "process.execute",
    "open('/etc/passwd')": "file.read",
    "import os\nos.getenv('TOKEN')": "environment.read",
    "eval('1')": None,
    "import ctypes": None,
    "import pickle": None,
}


@pytest.mark.parametrize("code", CASES)
def test_each_matter_is_told_unless_it_is_asked_for(project: Project, code: str) -> None:
    kind = CASES[code]
    body = f"{code}\n\ndef execute(context):\n    return 1\n"
    project.add("hinted", body)
    done = project.onex_here("validate", "nodes", "--format", "json")
    (problem,) = [p for p in done.json["problems"] if p["code"] == "MAN016"]
    assert (done.code, problem["severity"]) == (0, "warning")
    assert problem["line"] == code.count("\n") + 1
    assert kind is None or f"asks for no {kind}" in problem["message"]
    project.scan()
    (told,) = project.onex_here("show", "hinted", "--format", "json").json["hints"]
    assert told == problem["message"]
    if kind is not None:
        resource = {"file.read": "/etc/passwd", "environment.read": "TOKEN"}.get(kind, "x.org")
        project.add("hinted", body, capabilities=[f"{kind}:{resource}"])
        again = project.onex_here("validate", "nodes", "--format", "json").json["problems"]
        assert [p for p in again if p["code"] == "MAN016"] == []


@pytest.mark.parametrize("code", ["import urllib.parse", "import json", "open('x')", "x = ("])
def test_what_is_harmless_or_no_python_gives_no_hint(project: Project, code: str) -> None:
    project.add("plain", f"{code}\ndef execute(context):\n    return 1\n")
    done = project.onex_here("validate", "nodes", "--format", "json").json
    assert [p for p in done["problems"] if p["code"] == "MAN016"] == []
