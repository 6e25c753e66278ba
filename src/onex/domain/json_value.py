"""JSON values: their type, their one canonical text, and their limits."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import NoReturn, TypeAlias

JsonValue: TypeAlias = (
    "bool | int | float | str | Sequence[JsonValue] | Mapping[str, JsonValue] | None"
)
JsonObject: TypeAlias = Mapping[str, JsonValue]

ValuePath = tuple[str | int, ...]
"""The keys and indexes that lead to a part of a value."""

ARTIFACT_KEY = "$artifact"
"""What marks the object that stands for a file in a result."""


_CANONICAL = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
)


class NotFiniteError(ValueError):
    """A number that JSON cannot hold: not a number at all, or an infinite one."""


def parse_json(text: str | bytes) -> JsonValue:
    """Read JSON as RFC 8259 has it, with finite numbers alone.

    Raises:
        NotFiniteError: it holds NaN, an infinity, or a number too large for a float.
        ValueError: it is not JSON, or is nested too deeply.
    """
    try:
        value: JsonValue = json.loads(text, parse_constant=_refuse, parse_float=_finite)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    return value


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        _refuse(text)
    return number


def _refuse(text: str) -> NoReturn:
    raise NotFiniteError(f"{text} is not a finite number")


def find_unwritable(value: JsonValue) -> str | None:
    """Describe the first part of a value that JSON in UTF-8 cannot hold; None if there is none.

    That is half of a surrogate pair, NaN, or an infinity.
    """
    pending: list[tuple[str, JsonValue]] = [("", value)]
    while pending:
        place, value = pending.pop()
        # Most values are of these, and tests for abstract classes take ten times as long.
        if value is None or isinstance(value, bool | int):
            continue
        if isinstance(value, str):
            if not is_writable(value):
                return f"{place or 'it'} holds half of a surrogate pair: {value[:80]!a}"
        elif isinstance(value, float):
            if not math.isfinite(value):
                return f"{place or 'it'} is {value}, which is not a finite number"
        elif isinstance(value, dict) or isinstance(value, Mapping):  # noqa: SIM101 - as above
            for key, member in value.items():
                if not is_writable(key):
                    return f"a key below {place or 'it'} holds half of a surrogate pair: {key!a}"
                pending.append((f"{place}.{key}" if place else key, member))
        elif isinstance(value, Sequence):
            pending += [(f"{place}[{index}]", member) for index, member in enumerate(value)]
    return None


def is_writable(text: str) -> bool:
    """Whether UTF-8 can hold a text."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def writable(text: str) -> str:
    """A text with halves of surrogate pairs as escapes, so that UTF-8 can hold it."""
    return text if is_writable(text) else text.encode("utf-8", "backslashreplace").decode()


def canonical_json(value: JsonValue) -> str:
    """The one text of a value: sorted keys, no spaces, no NaN or infinity.

    Raises:
        ValueError: the value holds a number that JSON cannot write.
    """
    return _CANONICAL.encode(value)


def canonical_object(members: Mapping[str, str]) -> str:
    """The one text of an object whose members are given as canonical JSON."""
    return "{" + ",".join(f'"{name}":{text}' for name, text in sorted(members.items())) + "}"


def sha256_of(text: str) -> str:
    """The SHA-256 of a text in UTF-8, in hexadecimal."""
    # Worker processes import this module, and hash nothing: OpenSSL would hold up their start.
    import hashlib

    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def as_text(value: JsonValue) -> str:
    """The value as text; raises TypeError when it is something else."""
    if not isinstance(value, str):
        raise TypeError(f"expected text, found {type(value).__name__}")
    return value


def as_optional_text(value: JsonValue) -> str | None:
    """The value as text, or None if it is null."""
    return None if value is None else as_text(value)


def as_count(value: JsonValue) -> int:
    """The value as a whole number from 0 on that databases hold; raises TypeError otherwise."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**63:
        raise TypeError("expected a whole number from 0 on")
    return value


def is_deeper(value: JsonValue, levels: int) -> bool:
    """Whether a value is nested in more than some levels."""
    pending = [(value, 0)]
    while pending:
        inner, depth = pending.pop()
        if isinstance(inner, Mapping):
            members: Sequence[JsonValue] = list(inner.values())
        elif isinstance(inner, Sequence) and not isinstance(inner, str):
            members = inner
        else:
            continue
        if depth >= levels:
            return True
        pending += [(member, depth + 1) for member in members]
    return False


def as_number(value: JsonValue) -> float:
    """The value as a number; raises TypeError when it is something else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"expected a number, found {type(value).__name__}")
    return value


def as_list(value: JsonValue) -> Sequence[JsonValue]:
    """The value as a list; raises TypeError when it is something else."""
    if not isinstance(value, list) and not isinstance(value, tuple):
        raise TypeError(f"expected a list, found {type(value).__name__}")
    return value


def as_texts(value: JsonValue) -> tuple[str, ...]:
    """The value as a list of texts."""
    return tuple(map(as_text, as_list(value)))


def as_object(value: JsonValue) -> JsonObject:
    """The value as a mapping; raises TypeError when it is something else."""
    # ``dict`` first, since a test for an abstract class takes ten times as long.
    if not isinstance(value, dict) and not isinstance(value, Mapping):
        raise TypeError(f"expected a mapping, found {type(value).__name__}")
    return value
