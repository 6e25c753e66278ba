"""Reading documents: what is refused, with which code, and where."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onex.domain.errors import DocumentError
from onex.manifests.yaml_document import MAXIMUM_DOCUMENT_BYTES, parse_yaml, read_yaml

REFUSED = {
    "not UTF-8": (b"a: 1\nb: \xff\xfe\n", "DOC003", 2, None),
    "UTF-16": ("a: 1\n".encode("utf-16"), "DOC003", 1, None),
    "NUL": (b"a: 1\nb: x\0y\n", "DOC003", 2, None),
    "byte order mark": (b"\xef\xbb\xbfa: 1\n", "DOC003", 1, 1),
    "unclosed bracket": (b"a: 1\nb: [1, 2\n", "DOC004", 2, 4),
    "tab for indentation": (b"a:\n\t- 1\n", "DOC004", 2, None),
    "duplicate key": (b"a: 1\nb: 2\na: 3\n", "DOC005", 3, 1),
    "nested duplicate": (b"a:\n  b: 1\n  b: 2\n", "DOC005", 3, 3),
    "anchor": (b"a: &x 1\n", "DOC006", 1, 4),
    "alias": (b"a: &x 1\nb: *x\n", "DOC006", 1, 4),
    "merge key": (b"<<: {a: 1}\nb: 2\n", "DOC006", 1, 1),
    "tag": (b"a: !foo 3\n", "DOC006", 1, 4),
    "python tag": (b"a: !!python/object/apply:os.system [id]\n", "DOC006", 1, 4),
    "deep flow": (b"a: " + b"[" * 100_000 + b"]" * 100_000, "DOC007", None, None),
    "deep dashes on one line": (b"- " * 100_000 + b"x", "DOC007", 1, 1),
    "deep questions": (b"? " * 100_000 + b"x", "DOC007", 1, 1),
    "two documents": (b"a: 1\n---\nb: 2\n", "DOC008", 2, 1),
    "a list": (b"- 1\n- 2\n", "DOC009", 1, 1),
    "a word": (b"hello\n", "DOC009", 1, 1),
    "nothing": (b"", "DOC009", 1, 1),
    "a number as key": (b"1: a\n", "DOC010", 1, 4),
    "lists in a list as key": (b"a:\n  ? [[x]]\n  : y\n", "DOC010", 2, 5),
    "a list in a mapping as key": (b"? {a: [b]}\n: c\n", "DOC010", None, None),
    "not a number": (b"a: .nan\n", "DOC010", 1, 4),
    "infinity": (b"a: [1, -.inf]\n", "DOC010", 1, 8),
    "5,000 digits": (b"a: " + b"9" * 5000, "DOC010", 1, 4),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refuses_what_is_dangerous_and_says_where(name: str) -> None:
    content, code, line, column = REFUSED[name]
    started = time.perf_counter()
    with pytest.raises(DocumentError) as caught:
        parse_yaml(content, "file.yaml")
    assert time.perf_counter() - started < 60
    problem = caught.value.problems[0]
    assert problem.code == code
    assert problem.location.path == "file.yaml"
    assert problem.hint
    if line is not None:
        assert problem.location.line == line
    if column is not None:
        assert problem.location.column == column


@pytest.mark.parametrize("depth", [31, 32, 33, 60])
def test_depth_is_limited_in_block_style_too(depth: int) -> None:
    text = (
        "".join("  " * level + "a:\n" for level in range(depth - 1)) + "  " * (depth - 1) + "b: 1\n"
    )
    if depth <= 32:
        assert parse_yaml(text.encode(), "f").data
    else:
        with pytest.raises(DocumentError) as caught:
            parse_yaml(text.encode(), "f")
        assert caught.value.problems[0].code == "DOC007"


def test_text_stays_as_it_was_written() -> None:
    document = parse_yaml(b"a: no\nb: 2025-01-02\nc: 12:30\nd: 1.0.0\ne: R&D and *.py!\n", "f")
    assert document.data == {
        "a": "no", "b": "2025-01-02", "c": "12:30", "d": "1.0.0", "e": "R&D and *.py!",
    }  # fmt: skip


@pytest.mark.parametrize("style", ["|", "|+", ">"])
def test_spaces_at_the_end_are_no_line_of_a_block(style: str) -> None:
    assert parse_yaml(f"k: {style}\n  a\n  ".encode(), "f").data == {"k": "a\n"}
    assert parse_yaml(b"k: a  ", "f").data == {"k": "a"}


def test_positions_lead_to_values_in_any_style() -> None:
    document = parse_yaml(b"---\n# note\na:\n  - x: 1\n    y: {z: [1, 2]}\n", "f")
    assert str(document.locate(["a", 0, "y", "z", 1])) == "f:5:16"
    assert str(document.locate(["a", 0, "missing"])) == "f:4:5"
    assert document.written(["a", 0, "x"]) == "1"


def test_large_files_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "big.yaml"
    path.write_bytes(b"a: 1\n" + b"#" * MAXIMUM_DOCUMENT_BYTES)
    with pytest.raises(DocumentError) as caught:
        read_yaml(path)
    assert caught.value.problems[0].code == "DOC002"


def test_a_pipe_is_refused_without_waiting(tmp_path: Path) -> None:
    path = tmp_path / "pipe.yaml"
    os.mkfifo(path)
    with pytest.raises(DocumentError) as caught:
        read_yaml(path)
    assert caught.value.problems[0].code == "DOC001"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match="cannot be used") as caught:
        read_yaml(tmp_path / "none.yaml")
    assert "No such file" in caught.value.problems[0].message


@given(
    st.binary(max_size=200)
    | st.text(alphabet="ab:-[]{}&*!?|>'\"#\n \t0,<%@`", max_size=80).map(str.encode)
)
def test_any_bytes_give_a_mapping_or_problems(content: bytes) -> None:
    try:
        document = parse_yaml(content, "f")
    except DocumentError as error:
        assert error.problems
    else:
        assert isinstance(document.data, dict)
