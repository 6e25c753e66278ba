"""Between problems and the JSON text that keeps them."""

from __future__ import annotations

import json
from collections.abc import Sequence

from onex.domain.errors import Location, Problem, Severity


def write_problems(problems: Sequence[Problem]) -> str:
    """Problems as JSON."""
    return json.dumps([problem.to_json() for problem in problems]) if problems else "[]"


def read_problems(text: str) -> tuple[Problem, ...]:
    """Read back what ``write_problems`` wrote."""
    if text == "[]":
        return ()
    return tuple(
        Problem(
            item["code"],
            Severity(item["severity"]),
            item["message"],
            Location(item["path"], item["line"], item["column"]),
            item["hint"],
        )
        for item in json.loads(text)
    )
