"""How two values or texts differ, as lines that begin with ``-``, ``+`` or a space."""

from __future__ import annotations

import difflib
import json
from collections.abc import Sequence

from onex.domain.json_value import JsonValue

MAXIMUM_LINES = 200
CONTEXT_LINES = 2


def json_difference(
    before: JsonValue, after: JsonValue, names: tuple[str, str] = ("before", "after")
) -> list[str]:
    """How two JSON values differ, written with sorted keys; nothing if they are equal."""
    return text_difference(_written(before), _written(after), names)


def text_difference(
    before: Sequence[str], after: Sequence[str], names: tuple[str, str] = ("before", "after")
) -> list[str]:
    """How lines differ, as a unified difference; what is beyond MAXIMUM_LINES is counted."""
    lines = list(difflib.unified_diff(before, after, *names, lineterm="", n=CONTEXT_LINES))
    if len(lines) > MAXIMUM_LINES:
        left = len(lines) - MAXIMUM_LINES
        lines = [*lines[:MAXIMUM_LINES], f"... and {left} more lines"]
    return lines


def _written(value: JsonValue) -> list[str]:
    # Not splitlines, which would break texts at characters that JSON leaves as they are.
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False).split("\n")
