"""JSON values: their type, their one canonical text, and their limits."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TypeAlias

JsonValue: TypeAlias = (
    "bool | int | float | str | Sequence[JsonValue] | Mapping[str, JsonValue] | None"
)
JsonObject: TypeAlias = Mapping[str, JsonValue]


_CANONICAL = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
)


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
    """The value as text, or None where it is null."""
    return None if value is None else as_text(value)


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
