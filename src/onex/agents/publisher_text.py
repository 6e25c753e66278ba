"""What publishers wrote, made fit to be shown to a model and to its user.

A model reads what a person does not see: control characters, marks without width, letters of other
alphabets that nothing displays. They are removed, and texts have a length.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence

from onex.domain.json_value import JsonObject, JsonValue

MAXIMUM_TITLE = 100
MAXIMUM_DESCRIPTION = 1_000
_MAXIMUM_MEMBER = 300
_CUT = "..."

_HIDDEN_CATEGORIES = frozenset({"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"})
# Variation selectors carry bytes beside a letter, and these fillers have no shape.
_HIDDEN = frozenset(
    {*map(chr, range(0xFE00, 0xFE10)), *map(chr, range(0xE0100, 0xE01F0))}
    | {"\u034f", "\u115f", "\u1160", "\u17b4", "\u17b5", "\u2800", "\u3164", "\uffa0"}
)
_SHOWN_TEXTS = frozenset({"title", "description", "$comment"})
_VALUES = frozenset({"enum", "const", "default", "examples"})


def clean_text(text: str, limit: int, *, keeps_lines: bool = False) -> str:
    """A text in one line, or with its lines, without what is not seen, and cut off at a length."""
    kept = (
        " " if character.isspace() and not (keeps_lines and character == "\n") else character
        for character in text
        if character in "\n\t\r " or not _is_hidden(character)
    )
    lines = "".join(kept).split("\n")
    found = "\n".join(" ".join(line.split()) for line in lines).strip()
    return found if len(found) <= limit else found[: limit - len(_CUT)].rstrip() + _CUT


def has_hidden(text: str) -> bool:
    """Whether a text holds characters that are not seen."""
    return any(_is_hidden(character) for character in text)


def clean_schema(schema: JsonObject) -> dict[str, JsonValue]:
    """A JSON Schema whose titles and descriptions are clean; comments are left out.

    Raises:
        ValueError: a name or a value in it holds what is not seen; the message says which.
    """
    found: dict[str, JsonValue] = {}
    for key, value in schema.items():
        if has_hidden(key):
            raise ValueError(f"the name {key!a} in its schema holds characters that are not seen")
        if key in _VALUES:
            _require_seen(value)
            found[key] = value
        elif key in _SHOWN_TEXTS and isinstance(value, str):
            if key != "$comment":
                found[key] = clean_text(value, _MAXIMUM_MEMBER)
        else:
            found[key] = _cleaned(value)
    return found


def _cleaned(value: JsonValue) -> JsonValue:
    if isinstance(value, Mapping):
        return clean_schema(value)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_cleaned(member) for member in value]
    _require_seen(value)
    return value


def _require_seen(value: JsonValue) -> None:
    if isinstance(value, str):
        if has_hidden(value):
            raise ValueError(f"the text {value[:40]!a} in its schema holds what is not seen")
    elif isinstance(value, Mapping):
        for key, member in value.items():
            _require_seen(key)
            _require_seen(member)
    elif isinstance(value, Sequence):
        for member in value:
            _require_seen(member)


def _is_hidden(character: str) -> bool:
    if character.isascii():
        return not (character.isprintable() or character in "\n\t\r")
    return character in _HIDDEN or unicodedata.category(character) in _HIDDEN_CATEGORIES
