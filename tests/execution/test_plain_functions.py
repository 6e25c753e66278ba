"""Functions that know nothing of onex, run as nodes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Project

CODE = """
from __future__ import annotations

import asyncio
import enum
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Optional


class Colour(enum.Enum):
    RED = "red"


@dataclass
class Row:
    name: str
    size: int = 0
    where: Path | None = None


class Pair(NamedTuple):
    left: int
    right: str


def nothing():
    return "called"


def kinds(path: Path, paths: list[Path], maybe: Optional[Path] = None, row: Row | None = None):
    return [type(path).__name__.endswith("Path"), paths[0].name, maybe is None, repr(row)]


def one_row(row: Row):
    return [row.name, row.size]


@dataclass
class Outer:
    row: Row
    rows: list[Row]
    at: Path


def deep(outer: Outer | None, colours: dict[str, Colour], pair: tuple[Path, ...], names: Missing = ()):
    return [
        outer.row.name, outer.rows[0].size, outer.at.name, colours["a"].name,
        [path.name for path in pair], type(names).__name__,
    ]


def words(prompt: str, context: str = "", inputs: list[str] = []):
    return [prompt, context, inputs]


def values():
    return {"row": Row("a", 1, Path("/there")), "pair": Pair(1, "x"), "colour": Colour.RED, "n": None}


def made(text: str = "hello"):
    file = Path("made.txt")
    file.write_text(text)
    return {"file": file, "rows": [Row("b", 2, file.absolute())], "other": Path("missing.txt")}


async def later(n: int) -> Row:
    await asyncio.sleep(0)
    return Row("late", n)


def top(top: int = 10):
    return top


class Tool:
    def work(self, x: int):
        return x + 1


tool = Tool()


def broken(y: int, x: Nowhere):
    return x


def own(context, *, x: int):
    return [type(context).__name__, x]
"""


@pytest.fixture
def call(make_project: Callable[[str], Project]) -> Callable[..., object]:
    project = make_project("p")
    names = (
        "nothing", "kinds", "deep", "words", "one_row", "values", "made", "later", "top", "tool.work", "broken", "own",
    )  # fmt: skip
    for name in names:
        entrypoint = {"type": "python", "target": "node.py", "callable": name}
        if "." in name:
            entrypoint = {"type": "python", "target": "node.py", "callable": "work"}
        project.add(name.replace(".", "_"), CODE + "work = tool.work\n", entrypoint=entrypoint)
    project.scan()
    registry = project.registry()

    def run(node: str, level: str = "strict", **inputs: object) -> object:
        from onex import IsolationLevel, RunAccess

        access = RunAccess(IsolationLevel(level))
        result = registry.run(node, inputs, access=access).raise_for_status()
        return result["node"].output

    yield run
    registry.close()


@pytest.mark.parametrize("level", ["strict", "process", "inline"])
def test_inputs_come_as_they_are_annotated(call: Callable[..., object], level: str) -> None:
    assert call("nothing", level) == "called"
    row = {"name": "x", "size": 3}
    assert call("one_row", level, row=row) == ["x", 3]
    found = call("kinds", level, path="/a", paths=["/b/c"], row=row)
    assert found[:3] == [True, "c", True]
    assert call("top", level) == 10
    assert call("top", level, top=3) == 3
    assert call("tool_work", level, x=1) == 2
    outer = {"row": row, "rows": [row], "at": "/x/y"}
    made = call("deep", level, outer=outer, colours={"a": "red"}, pair=["/p/q"])
    assert made == ["x", 3, "y", "RED", ["q"], "tuple"]
    assert call("words", level, prompt="a", context="b", inputs=["c"]) == ["a", "b", ["c"]]


def test_what_is_returned_becomes_json(call: Callable[..., object]) -> None:
    assert call("values") == {
        "row": {"name": "a", "size": 1, "where": "/there"},
        "pair": [1, "x"], "colour": "red", "n": None,
    }  # fmt: skip
    assert call("later", n=4) == {"name": "late", "size": 4, "where": None}


def test_files_in_the_working_folder_become_artifacts(call: Callable[..., object]) -> None:
    found = call("made")
    for record in (found["file"], found["rows"][0]["where"]):
        assert Path(record["path"]).read_text() == "hello"
        assert record["name"] == "made.txt"
    assert found["other"] == "missing.txt"


def test_annotations_that_cannot_be_resolved_are_passed_over(call: Callable[..., object]) -> None:
    assert call("broken", y=1, x=[1]) == [1]


def test_a_function_with_a_context_is_called_as_before(call: Callable[..., object]) -> None:
    assert call("own", x=1) == ["ExecutionContext", 1]
