"""What is read of a function, without importing it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from onex import UsageError
from onex.manifests.function_signature import FunctionSignature, read_function


def read(tmp_path: Path, text: str, name: str = "f") -> FunctionSignature:
    file = tmp_path / "code.py"
    file.write_text(text, encoding="utf-8")
    return read_function(file, name)


def of(tmp_path: Path, annotation: str, before: str = "") -> Any:
    return read(tmp_path, f"{before}\ndef f(y: int, x: {annotation}): ...\n").inputs["x"]


@pytest.mark.parametrize(
    ("annotation", "schema"),
    [
        ("str", {"type": "string"}),
        ("int", {"type": "integer"}),
        ("float", {"type": "number"}),
        ("bool", {"type": "boolean"}),
        ("None", {"type": "null"}),
        ("list[str]", {"type": "array", "items": {"type": "string"}}),
        ("typing.List[int]", {"type": "array", "items": {"type": "integer"}}),
        ("list", {"type": "array"}),
        ("dict[str, float]", {"type": "object", "additionalProperties": {"type": "number"}}),
        ("Mapping[str, Any]", {"type": "object"}),
        ("tuple[int, ...]", {"type": "array", "items": {"type": "integer"}}),
        (
            "tuple[int, str]",
            {
                "type": "array", "minItems": 2, "items": False,
                "prefixItems": [{"type": "integer"}, {"type": "string"}],
            },
        ),
        ("int | None", {"type": ["integer", "null"]}),
        ("Optional[str]", {"type": ["string", "null"]}),
        ("Union[int, str]", {"type": ["integer", "string"]}),
        ("list[int] | None", {"type": ["array", "null"], "items": {"type": "integer"}}),
        (
            "list[int] | dict[str, int]",
            {
                "anyOf": [
                    {"type": "array", "items": {"type": "integer"}},
                    {"type": "object", "additionalProperties": {"type": "integer"}},
                ]
            },
        ),
        ("Literal['a', 2, None]", {"enum": ["a", 2, None]}),
        ("int | str | None", {"type": ["integer", "string", "null"]}),
        ("Optional[Union[int, str]]", {"type": ["integer", "string", "null"]}),
        ("list | tuple", {"type": "array"}),
        ("tuple[()]", {"type": "array", "maxItems": 0}),
        ("Literal[UNKNOWN]", {}),
        ("Annotated[int, 'How many.']", {"type": "integer", "description": "How many."}),
        ("Annotated[int, Field(gt=0)]", {"type": "integer"}),
        ("Path", {"type": "string", "format": "path"}),
        ("pathlib.Path | None", {"type": ["string", "null"], "format": "path"}),
        ("list[Path]", {"type": "array", "items": {"type": "string", "format": "path"}}),
        ("'int'", {"type": "integer"}),
        ("Any", {}),
        ("object", {}),
    ],
)  # fmt: skip
def test_annotations_become_schemas(tmp_path: Path, annotation: str, schema: object) -> None:
    assert of(tmp_path, annotation) == schema


def test_classes_of_the_file_become_objects(tmp_path: Path) -> None:
    code = """
from dataclasses import dataclass, field
class Row(TypedDict):
    name: str
    '''What it is called.'''
    size: NotRequired[int]
class More(Row, total=False):
    tags: list[str]
    must: Required[bool]
@dataclass(frozen=True)
class Box:
    row: Row
    rows: list[More] = field(default_factory=list)
"""
    row = {
        "type": "object",
        "properties": {
            "name": {"type": "string", "description": "What it is called."},
            "size": {"type": "integer"},
        },
        "required": ["name"],
    }
    assert of(tmp_path, "Row", code) == row
    more = of(tmp_path, "More", code)
    assert more["required"] == ["name", "must"]
    assert list(more["properties"]) == ["name", "size", "tags", "must"]
    box = of(tmp_path, "Box", code)
    assert box["properties"]["row"] == row
    assert box["required"] == ["row"]


def test_enumerations_aliases_and_tuples_with_names(tmp_path: Path) -> None:
    code = """
class Colour(Enum):
    RED = "red"
    BLUE = "blue"
class Point(NamedTuple):
    x: int
    y: int
Mode = Literal["fast", "slow"]
Modes: TypeAlias = list[Mode]
"""
    assert of(tmp_path, "Colour", code) == {"enum": ["red", "blue"]}
    assert of(tmp_path, "Point", code)["prefixItems"] == [{"type": "integer"}] * 2
    assert of(tmp_path, "Modes", code) == {"type": "array", "items": {"enum": ["fast", "slow"]}}


@pytest.mark.skipif(sys.version_info < (3, 12), reason="type statements came with Python 3.12")
def test_a_type_statement_is_an_alias(tmp_path: Path) -> None:
    assert of(tmp_path, "Size", "type Size = int | None\n") == {"type": ["integer", "null"]}


def test_defaults_and_what_is_no_value(tmp_path: Path) -> None:
    found = read(tmp_path, "def f(a, b=1, *, c='x', d=None, e=[1], g=dict(), h): ...\n", "f").inputs
    assert found == {
        "b": {"type": "integer", "default": 1}, "c": {"type": "string", "default": "x"}, "d": {"default": None}, "e": {"default": [1]},
        "g": {"required": False}, "h": {},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("parameters", "names"),
    [
        ("context, *, path: str", ["path"]),
        ("ctx, path", ["path"]),
        ("c, *, path", ["path"]),
        ("whatever: ExecutionContext, path: str", ["path"]),
        ("path: str, top: int = 3", ["path", "top"]),
        ("top=3", ["top"]),
        ("*, path", ["path"]),
        ("", []),
        ("context, inputs", []),
    ],
)
def test_the_context_is_no_input(tmp_path: Path, parameters: str, names: list[str]) -> None:
    assert list(read(tmp_path, f"def f({parameters}): ...\n").inputs) == names


@pytest.mark.parametrize(
    "doc",
    [
        "Clean it.\n\n    Args:\n        path: what to read,\n            in two lines.\n        top (int): how many.\n\n    Returns:\n        x: no.\n",
        "Clean it.\n\n    :param path: what to read,\n        in two lines.\n    :param int top: how many.\n    :return: no\n",
        "Clean it.\n\n    Parameters\n    ----------\n    path : str\n        what to read,\n        in two lines.\n    top : int\n        how many.\n\n    Returns\n    -------\n    x : int\n        no\n",
    ],
    ids=["google", "sphinx", "numpy"],
)
def test_docstrings_describe_parameters(tmp_path: Path, doc: str) -> None:
    found = read(tmp_path, f'def f(path: str, top: int = 1):\n    """{doc}    """\n')
    assert found.description == "Clean it."
    assert found.inputs["path"]["description"] == "what to read, in two lines."
    assert found.inputs["top"]["description"] == "how many."


def test_a_result_with_known_members_declares_outputs(tmp_path: Path) -> None:
    code = (
        "class R(TypedDict):\n    n: int\n    note: NotRequired[str]\ndef f() -> R: ...\n"
        "async def g() -> 'R': ...\ndef h() -> list[int]: ...\ndef n() -> None: ...\n"
    )
    wanted = {"n": {"type": "integer"}, "note": {"type": "string", "required": False}}
    assert read(tmp_path, code).outputs == wanted
    assert read(tmp_path, code, "g").outputs == wanted
    other = read(tmp_path, code, "h")
    assert other.outputs == {}
    assert "no named members" in other.notes[0].message
    assert read(tmp_path, code, "n").notes == ()


def test_what_says_nothing_is_noted_once(tmp_path: Path) -> None:
    found = read(tmp_path, "def f(a: DataFrame, b: DataFrame, c: set[int]): ...\n")
    assert found.inputs == {"a": {}, "b": {}, "c": {}}
    assert [note.code for note in found.notes] == ["MAN018", "MAN018"]


@pytest.mark.parametrize(
    "code",
    [
        "def f(x, /): ...\n",
        "def f(context, *rest: int): ...\n",
        "def g(): ...\n",
        "def f(:\n",
        "\0",
    ],
)
def test_what_cannot_be_a_node_is_refused(tmp_path: Path, code: str) -> None:
    with pytest.raises(UsageError) as refused:
        read(tmp_path, code.replace("x, /", "x: int, /"))
    assert refused.value.hint


def test_classes_that_name_themselves_end(tmp_path: Path) -> None:
    code = "class T(TypedDict):\n    below: 'list[T]'\n    other: 'T'\nclass A(A):\n    x: int\n"
    found = of(tmp_path, "T", code)
    assert found["properties"] == {"below": {"type": "array"}, "other": {}}
    of(tmp_path, "A", code)
    assert of(tmp_path, "B", "B = list[B]\n") == {"type": "array"}


def test_types_that_unfold_without_end_are_refused(tmp_path: Path) -> None:
    lines = ["class C0(TypedDict):\n    x: int\n"]
    lines += [f"class C{n}(TypedDict):\n    a: C{n - 1}\n    b: C{n - 1}\n" for n in range(1, 19)]
    with pytest.raises(UsageError, match="unfold"):
        of(tmp_path, "C18", "".join(lines))


def test_nothing_of_the_file_is_run(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    read(tmp_path, f"open({str(mark)!r}, 'w')\ndef f(x: int = print('x')): ...\n")
    assert not mark.exists()


def test_what_is_no_member_is_left_out(tmp_path: Path) -> None:
    code = """
@dataclass
class A:
    x: int
    kind: ClassVar[str] = "a"
    seed: InitVar[int] = 1
    _: KW_ONLY
    y: int
@dataclass
class B(A):
    x: int = 3
class Base(str, Enum):
    pass
class Colour(Base):
    RED = "red"
class Odd(Enum):
    ONE = auto()
class Plain:
    x: int
class Below(Plain):
    y: int
"""
    assert of(tmp_path, "A", code)["required"] == ["x", "y"]
    assert list(of(tmp_path, "A", code)["properties"]) == ["x", "y"]
    assert of(tmp_path, "B", code)["required"] == ["y"]
    assert of(tmp_path, "Colour", code) == {"enum": ["red"]}
    for name in ("Odd", "Plain", "Below"):
        assert of(tmp_path, name, code) == {}


def test_literals_of_aliases_are_joined(tmp_path: Path) -> None:
    assert of(tmp_path, "Literal[M, 'c']", "M = Literal['a', 'b']\n") == {"enum": ["a", "b", "c"]}


def test_a_record_that_may_be_left_out_keeps_what_it_requires(tmp_path: Path) -> None:
    code = "class R(TypedDict):\n    a: int\ndef f(context, *, x: R = R(a=1)) -> None: ...\n"
    found = read(tmp_path, code).inputs["x"]
    assert found["required"] is False
    assert found["allOf"][0]["required"] == ["a"]


def test_none_as_default_allows_none(tmp_path: Path) -> None:
    found = read(tmp_path, "def f(context, *, x: int = None): ...\n").inputs["x"]
    assert found == {"type": ["integer", "null"], "default": None}


def test_odd_files_are_refused_at_once(tmp_path: Path) -> None:
    import os

    fifo = tmp_path / "fifo.py"
    os.mkfifo(fifo)
    with pytest.raises(UsageError):
        read_function(fifo, "f")
    with pytest.raises(UsageError):
        read(tmp_path, "def f(x: " + " | ".join(["int"] * 3000) + "): ...\n")
    read(tmp_path, "def f(y: int, x: '" + "-" * 60_000 + "1'): ...\n")
    doc = "    Args:\n" * 20_000
    read(tmp_path, f'def f(x: int):\n    """\n{doc}    """\n')
