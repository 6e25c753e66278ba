"""References in workflows: ``${{ steps.walk.files[0] }}`` names a value and computes nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from onex.domain.json_value import JsonValue, as_list

_REFERENCE = re.compile(r"\$\{\{(?P<body>[^{}]*)\}\}")
INPUT_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*", re.ASCII)
_PART = re.compile(r"\.(?P<name>[A-Za-z_][A-Za-z0-9_-]*)|\[(?P<index>[0-9]{1,9})\]", re.ASCII)

ROOTS = ("inputs", "steps", "item", "run")

RUN_PARTS = ("id", "timeline")


@dataclass(frozen=True, slots=True)
class Reference:
    """A path into the workflow's values, for example ``("steps", "walk", "files", 0)``."""

    parts: tuple[str | int, ...]

    @property
    def root(self) -> str:
        """``inputs``, ``steps``, ``item`` or ``run``."""
        return str(self.parts[0])

    def __str__(self) -> str:
        return _as_path(self.parts)


class TemplateSyntaxError(ValueError):
    """Text between ``${{`` and ``}}`` that is not a reference."""


@lru_cache(maxsize=4096)
def parse_reference(body: str) -> Reference:
    """Read ``steps.walk.files[0]``.

    Raises:
        TemplateSyntaxError: the text is not a path that starts at one of ``ROOTS``.
    """
    text = body.strip()
    head = INPUT_NAME.match(text)
    if head is None or head.group() not in ROOTS:
        raise TemplateSyntaxError(f"{text!r} is not a reference to inputs, steps, item or run")
    parts: list[str | int] = [head.group()]
    position = head.end()
    while position < len(text):
        part = _PART.match(text, position)
        if part is None:
            raise TemplateSyntaxError(f"{text!r} is not a path of names and [indexes]")
        parts.append(part["name"] or int(part["index"]))
        position = part.end()
    if parts[0] in ("inputs", "steps") and not (len(parts) > 1 and isinstance(parts[1], str)):
        raise TemplateSyntaxError(f"{text!r} must name one of the {parts[0]}")
    if parts[0] == "run" and (len(parts) < 2 or parts[1] not in RUN_PARTS):
        raise TemplateSyntaxError(f"{text!r} must name one of run.{', run.'.join(RUN_PARTS)}")
    return Reference(tuple(parts))


def references_in(value: JsonValue) -> Iterator[Reference]:
    """Every reference in a template, in reading order.

    Raises:
        TemplateSyntaxError: some ``${{`` does not hold a reference.
    """
    if isinstance(value, str):
        end = 0
        for match in _REFERENCE.finditer(value):
            _require_closed(value, end, match.start())
            yield parse_reference(match["body"])
            end = match.end()
        _require_closed(value, end, len(value))
    elif isinstance(value, Mapping):
        for member in value.values():
            yield from references_in(member)
    elif isinstance(value, Sequence):
        for member in value:
            yield from references_in(member)


def _require_closed(value: str, start: int, end: int) -> None:
    """Refuse the beginning of a reference in text between references."""
    if "${{" in value[start:end]:
        raise TemplateSyntaxError(f"a reference in {value!r} is not closed with }}}}")


def whole_reference(value: JsonValue) -> Reference | None:
    """The reference that a text consists of; None if it is something else."""
    if not isinstance(value, str):
        return None
    match = _REFERENCE.fullmatch(value.strip())
    return None if match is None else parse_reference(match["body"])


def render(value: JsonValue, look_up: Callable[[Reference], JsonValue]) -> JsonValue:
    """Put values in the place of references.

    A text that is one reference becomes the value itself, of any type; a
    reference within longer text is written into it as text.
    """
    if isinstance(value, str):
        whole = whole_reference(value)
        if whole is not None:
            return look_up(whole)
        return _REFERENCE.sub(
            lambda match: _as_written(look_up(parse_reference(match["body"]))), value
        )
    if isinstance(value, Mapping):
        return {key: render(member, look_up) for key, member in value.items()}
    if isinstance(value, Sequence):
        return [render(member, look_up) for member in value]
    return value


def descend(value: JsonValue, parts: Sequence[str | int], missing: JsonValue = None) -> JsonValue:
    """Follow names and indexes into a value.

    Args:
        value: where to begin.
        parts: the names and indexes.
        missing: the placeholder of a part that is not shown, and of everything in it.

    Raises:
        LookupError: the value has no such part; the message says where it ends.
    """
    for depth, part in enumerate(parts):
        if missing is not None and value == missing:
            return value
        if isinstance(part, str) and isinstance(value, Mapping) and part in value:
            value = value[part]
            continue
        is_list = isinstance(value, Sequence) and not isinstance(value, str)
        if isinstance(part, int) and is_list and part < len(as_list(value)):
            value = as_list(value)[part]
            continue
        wanted = f"[{part}]" if isinstance(part, int) else repr(part)
        where = f"{_as_path(parts[:depth])}, " if depth else ""
        raise LookupError(f"there is no {wanted} in {where}{_outline(value)}")
    return value


def _as_path(parts: Sequence[str | int]) -> str:
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts)
    return text.removeprefix(".")


def _as_written(value: JsonValue) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value, ensure_ascii=False)


def _outline(value: JsonValue) -> str:
    if isinstance(value, Mapping):
        names = ", ".join(list(value)[:8])
        return f"a mapping with {names}" if names else "an empty mapping"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"a list of {len(value)}"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    return "a text" if isinstance(value, str) else "a number"
