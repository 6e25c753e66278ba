"""How values are written on pages: what strangers wrote must not look like anything else."""

from __future__ import annotations

import json
import unicodedata
from datetime import UTC, datetime

from markupsafe import Markup

from onex.domain.json_value import JsonValue

MAXIMUM_TEXT = 2_000
WRITTEN_TEXT = 50_000
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def visible(text: str, limit: int = MAXIMUM_TEXT) -> str:
    """A text whose control characters and directions of writing are visible, cut to a length."""
    cut = text if len(text) <= limit else f"{text[: limit - 1]}…"
    if cut.isprintable():
        return cut
    return "".join(
        c if c in "\n\t" or unicodedata.category(c) not in _HIDDEN else f"\\u{ord(c):04x}"
        for c in cut
    )


def finalized(value: object) -> object:
    """What a template writes for a value: texts are made visible, None is nothing."""
    if value is None:
        return ""
    if isinstance(value, Markup):
        return value
    return visible(value, WRITTEN_TEXT) if isinstance(value, str) else value


def seconds(value: float | None) -> str:
    """A duration with a unit that fits it."""
    if value is None:
        return "-"
    if value == 0:
        return "0"
    if value < 1e-3:
        return f"{value * 1e6:.0f} µs"
    if value < 1:
        return f"{value * 1e3:.0f} ms" if value >= 0.01 else f"{value * 1e3:.1f} ms"
    if value < 120:
        return f"{value:.1f} s"
    minutes, left = divmod(round(value), 60)
    if minutes < 120:
        return f"{minutes} min {left:02} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours < 72 else f"{hours // 24} days"


def size(value: float) -> str:
    """A number of bytes with a unit that fits it."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "bytes" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def count(number: int, noun: str, plural: str | None = None) -> str:
    """A number and what is counted."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def moment(text: str | None) -> str:
    """A time to the second, in UTC."""
    if not text:
        return "-"
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return text
    return f"{found.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def json_text(value: JsonValue, limit: int = 20_000) -> str:
    """A value as indented JSON, cut to a length."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    return (
        text if len(text) <= limit else f"{text[:limit]}\n… {len(text) - limit:,} characters more"
    )
