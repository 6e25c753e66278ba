"""Limits: each breach ends its call alone, and names the limit, its value and what it came to."""

from __future__ import annotations

import pytest

from onex.domain.limits import Limits
from onex.sandbox.availability import why_not_strict
from tests.conftest import Project

pytestmark = pytest.mark.skipif(
    why_not_strict() is not None, reason=f"NOTHING IS CONFINED HERE: {why_not_strict()}"
)

BOMBS = {
    "processes": ("import os\n    while True:\n        os.fork()", 4),
    "memory": ("keep = []\n    while True:\n        keep.append(bytearray(b'x' * 2**20))", "100 MiB"),
    "cpu": ("while True:\n        pass", 1),
    "output": ("while True:\n        print('x' * 10_000)", "1 MB"),
    "written": ("n = 0\n    while True:\n        n += 1\n        open(str(n), 'w').write('x' * 10**6)", "10 MB"),
    "threads": ("import threading, time\n    while True:\n        threading.Thread(target=time.sleep, args=(9,), daemon=True).start()\n        time.sleep(0.002)", 20),
}  # fmt: skip


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_ends_by_its_limit_and_nothing_else_does(project: Project, name: str) -> None:
    body, limit = BOMBS[name]
    project.add("bomb", f"def execute(context):\n    {body}\n")
    project.add("good", "def execute(context):\n    return 1\n")
    project.scan()
    project.workflow(
        {"bomb": {"node": "bomb", "limits": {name: limit}}, "good": {"node": "good"}},
        policy={"fail_fast": False},
    )
    done = project.onex_here("run", "test.workflow.yaml", "--format", "json").json
    error = done["steps"]["bomb"]["error"]
    assert (error["code"], done["steps"]["good"]["status"]) == ("EXE015", "succeeded")
    assert f"the limit {name} of" in error["message"]
    assert f"limits: {{{name}: ...}}" in error["hint"]


@pytest.mark.parametrize(
    ("body", "limits", "words"),
    [
("import os\n    os.fork()", {}, "limits: {processes: ...}"),
        ("open('f', 'wb').write(b'x' * 2_000_000)", {"file_size": "1 MB"}, ""),
        ("keep = [open(__file__) for _ in range(50)]", {"open_files": 32}, ""),
        ("import threading, time\n    while True:\n        threading.Thread(target=time.sleep, args=(9,), daemon=True).start()", {"memory": "64 MiB", "threads": 100_000}, "limits: {threads: ...}"),
        ("bytearray(2**33)", {"memory": "64 MiB"}, "limits: {memory: ...}"),
    ],
)  # fmt: skip
def test_what_the_kernel_refuses_is_an_error_of_the_node(
    project: Project, body: str, limits: dict[str, object], words: str
) -> None:
    project.add("bomb", f"def execute(context):\n    {body}\n")
    project.scan()
    project.workflow({"bomb": {"node": "bomb", "limits": limits}})
    done = project.onex_here("run", "test.workflow.yaml", "--format", "json").json
    error = done["steps"]["bomb"]["error"]
    assert error["code"] == "EXE001"
    assert words in error["hint"]


def test_defaults_and_ceilings_are_those_of_the_project(project: Project) -> None:
    project.add("bomb", f"def execute(context):\n    {BOMBS['output'][0]}\n")
    project.scan()
    toml = '[limits]\noutput = "1 MB"\n[policy.limits]\noutput = "2 MB"\nmemory = "4 GiB"\n'
    project.write("onex.toml", toml)
    done = project.onex_here("run", "bomb", "--format", "json").json
    assert "the limit output of 1000000" in done["steps"]["node"]["error"]["message"]
    project.workflow({"bomb": {"node": "bomb", "limits": {"output": "3 MB"}}})
    refused = project.onex_here("run", "test.workflow.yaml", "--format", "json")
    assert (refused.code, refused.json["error"]["code"]) == (5, "SEC009")
    project.write("onex.toml", "[limits]\nmemmory = 1\n")
    assert project.onex_here("list", "--format", "json").json["error"]["code"] == "CFG001"


@pytest.mark.parametrize("table", [{"memory": "lots"}, {"cpu": 0}, {"ram": 1}, {"processes": True}])
def test_what_is_no_limit_is_told_with_its_place(
    project: Project, table: dict[str, object]
) -> None:
    project.add("a")
    project.scan()
    project.workflow({"a": {"node": "a", "limits": table}})
    refused = project.onex_here("run", "test.workflow.yaml", "--format", "json")
    assert refused.code == 4
    with pytest.raises(ValueError, match=next(iter(table))):
        Limits().with_table(table)
