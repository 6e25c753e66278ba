"""Reading one YAML file of unknown origin: strictly, within limits, and saying where.

The fast parser accepts more than is safe here and gives no positions for
values, so a file that looks suspicious, or was found wrong, is read a second
time by the position-aware pass in ``positions``.
"""

from __future__ import annotations

import math
import os
import re
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NoReturn

import yaml_rs

from onex.domain.errors import DocumentError, Location, Problem, Severity
from onex.domain.json_value import JsonObject
from onex.manifests.positions import PositionIndex

MAXIMUM_DOCUMENT_BYTES = 256 * 1024
MAXIMUM_DEPTH = 32

_NO_ALIASES = yaml_rs.AliasLimits(0, 0, 0)
_MAY_HOLD_ANCHOR_OR_TAG = re.compile(r"(?:^|[\s,\[{:-])(?:[&*]\S|!)", re.MULTILINE)
# The parser's own recursion on one line of "- - - -" has no limit and overflows the C stack.
_TOO_MANY_INDICATORS = re.compile(rf"^[ \t]*(?:[-?][ \t]+){{{MAXIMUM_DEPTH},}}", re.MULTILINE)
_PARSER_POSITION = re.compile(r"at line (\d+), column (\d+)")


@dataclass(frozen=True)
class YamlDocument:
    """A parsed mapping together with the text it came from."""

    path: str
    text: str
    data: JsonObject

    @cached_property
    def _positions(self) -> PositionIndex:
        return PositionIndex.of(self.text)

    def locate(self, place: Sequence[str | int]) -> Location:
        """Where a value stands; for a value that is missing, where its parent does."""
        position = self._positions.nearest(tuple(place))
        return Location(self.path, position.line, position.column)

    def written(self, place: Sequence[str | int]) -> str | None:
        """The text of a scalar exactly as its author wrote it."""
        return self._positions.nearest(tuple(place)).text


def read_yaml(path: Path, *, follow_link: bool = True) -> YamlDocument:
    """Read a file; one found by a scan must not be a symbolic link, which may lead anywhere.

    Raises:
        DocumentError: the file is not a readable regular file within
            ``MAXIMUM_DOCUMENT_BYTES``, or its content is refused by ``parse_yaml``.
    """
    return parse_yaml(read_limited(path, follow_link=follow_link), str(path))


def read_limited(path: Path, *, follow_link: bool) -> bytes:
    """The content of a regular file of at most ``MAXIMUM_DOCUMENT_BYTES``; raises DocumentError."""
    name = str(path)
    try:
        # O_NONBLOCK: opening a pipe that poses as a manifest must not wait for a writer.
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)
        if not follow_link:
            flags |= getattr(os, "O_NOFOLLOW", 0)
        descriptor = os.open(path, flags)
    except OSError as error:
        _refuse(
            name,
            "DOC001",
            f"the file cannot be read: {error.strerror}",
            "check the path and its permissions",
        )
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            _refuse(
                name, "DOC001", "this is not a regular file", "put the document in a plain file"
            )
        content = (
            file.read(MAXIMUM_DOCUMENT_BYTES + 1)
            if status.st_size <= MAXIMUM_DOCUMENT_BYTES
            else b""
        )
        if status.st_size > MAXIMUM_DOCUMENT_BYTES or len(content) > MAXIMUM_DOCUMENT_BYTES:
            _refuse(
                name,
                "DOC002",
                f"the file has more than {MAXIMUM_DOCUMENT_BYTES // 1024} KiB",
                "keep data in files of their own and refer to them",
            )
        return content


def parse_yaml(content: bytes, path: str) -> YamlDocument:
    """Parse one document whose top level is a mapping.

    Args:
        content: UTF-8 without a byte order mark.
        path: the name to give in problems.

    Raises:
        DocumentError: codes DOC003 to DOC010; see ``onex explain``.
    """
    text = _decode(content, path)
    too_deep = _TOO_MANY_INDICATORS.search(text)
    if too_deep:
        line = text.count("\n", 0, too_deep.start()) + 1
        _refuse(path, "DOC007", _DEPTH_MESSAGE, _DEPTH_HINT, line, 1)
    # The parser would take spaces at the very end for a last line of a block scalar.
    trimmed = text.rstrip(" ")
    parsed = trimmed if trimmed.endswith("\n") else text
    try:
        data = yaml_rs.loads(parsed, parse_datetime=False, alias_limits=_NO_ALIASES)
    except yaml_rs.YAMLDecodeError as error:
        _refuse_syntax(text, path, error)
    except (TypeError, ValueError):
        # No dictionary has such a key: a list in a list, a mapping with a list.
        found = PositionIndex.of(text).problems(path)
        raise DocumentError(
            f"{path} cannot be used", found or [_problem("DOC010", Location(path))]
        ) from None
    document = YamlDocument(path, text, data if isinstance(data, dict) else {})
    findings = [] if _is_plain(data, MAXIMUM_DEPTH) else _findings(data)
    if findings or not isinstance(data, dict) or _MAY_HOLD_ANCHOR_OR_TAG.search(text):
        positions = PositionIndex.of(text)
        problems = positions.problems(path) or [
            _problem(code, document.locate(place)) for code, place in findings
        ]
        if not problems and not isinstance(data, dict):
            problems = [_problem("DOC009", Location(path, 1, 1))]
        if not problems and not positions.is_complete:
            problems = [_problem("DOC002", Location(path))]
        if problems:
            raise DocumentError(f"{path} cannot be used", problems)
    return document


_DEPTH_MESSAGE = f"values are nested more than {MAXIMUM_DEPTH} levels deep"
_DEPTH_HINT = "flatten the document"
_MESSAGES = {
    "DOC002": (
        "the file is too large to be searched for anchors and tags, which it may hold",
        "quote texts with & * and !, or keep data in files of their own",
    ),
    "DOC006": ("a merge key stands here", "write the keys out"),
    "DOC007": (_DEPTH_MESSAGE, _DEPTH_HINT),
    "DOC009": ("the document is not a mapping of keys to values", "start with a line name: ..."),
    "DOC010": (
        "JSON cannot hold this key or number",
        "write text as key, and a finite number below 2^63 or quoted text as value",
    ),
}


def _problem(code: str, location: Location) -> Problem:
    message, hint = _MESSAGES[code]
    return Problem(code, Severity.ERROR, message, location, hint)


def _decode(content: bytes, path: str) -> str:
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        _refuse(path, "DOC003", "the file is not UTF-8", "save it as UTF-8", line)
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        _refuse(path, "DOC003", "the file holds a NUL character", "save it as plain text", line)
    if text.startswith("\ufeff"):
        _refuse(
            path,
            "DOC003",
            "the file starts with a byte order mark",
            "save it as UTF-8 without one",
            1,
            1,
        )
    return text


def _refuse_syntax(text: str, path: str, error: ValueError) -> NoReturn:
    found = PositionIndex.of(text).problems(path)
    problems = [problem for problem in found if problem.code != "DOC004"]
    if problems:
        raise DocumentError(f"{path} cannot be used", problems)
    message = str(error)
    reason = message.splitlines()[-1].strip() if message else "unknown"
    if "recursion limit" in reason:
        _refuse(path, "DOC007", _DEPTH_MESSAGE, _DEPTH_HINT)
    position = _PARSER_POSITION.search(message)
    line, column = (int(position[1]), int(position[2])) if position else (None, None)
    # The parser counts one line more if the text ends with the end of a line.
    lines = text.count("\n") + (not text.endswith("\n"))
    if line is not None and line > lines:
        line, column = max(1, lines), None
    _refuse(
        path,
        "DOC004",
        f"the YAML is not valid: {reason}",
        "check brackets, quotes and indentation",
        line,
        column,
    )


def _refuse(
    path: str,
    code: str,
    message: str,
    hint: str,
    line: int | None = None,
    column: int | None = None,
) -> NoReturn:
    problem = Problem(code, Severity.ERROR, message, Location(path, line, column), hint)
    raise DocumentError(f"{path} cannot be used", [problem])


def _is_plain(value: object, levels: int) -> bool:
    """Whether all of a value may be used; quicker than asking what may not."""
    if isinstance(value, dict):
        if not all(type(key) is str and key != "<<" for key in value):
            return False
        members: Iterable[object] = value.values()
    elif isinstance(value, list):
        members = value
    else:
        return _is_json_scalar(value)
    return levels > 0 and all(
        type(member) is str or _is_plain(member, levels - 1) for member in members
    )


def _findings(data: object) -> list[tuple[str, tuple[str | int, ...]]]:
    """What parsed but must not be used: the code and the place of each such value."""
    findings: list[tuple[str, tuple[str | int, ...]]] = []
    pending: list[tuple[object, tuple[str | int, ...]]] = [(data, ())]
    while pending:
        value, place = pending.pop()
        if not isinstance(value, dict | list):
            if not _is_json_scalar(value):
                findings.append(("DOC010", place))
        elif len(place) >= MAXIMUM_DEPTH:
            findings.append(("DOC007", place))
        elif isinstance(value, list):
            pending.extend((member, (*place, index)) for index, member in enumerate(value))
        else:
            for key, member in value.items():
                inner = (*place, _text_of(key))
                if not isinstance(key, str):
                    findings.append(("DOC010", inner))
                elif key == "<<":
                    findings.append(("DOC006", inner))
                pending.append((member, inner))
    return findings


def _text_of(key: object) -> str:
    """A key as text; Python refuses to write a number of thousands of digits."""
    return "" if isinstance(key, int) and key.bit_length() > 1_000 else str(key)


def _is_json_scalar(value: object) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, int):
        return -(2**63) <= value < 2**63
    return value is None or isinstance(value, str)
