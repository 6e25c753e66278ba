"""Metadata blocks: a manifest in the comments of any text file.

Source: the ONEX node schema's stamped files. A block stands between
``=== OmniNode:Metadata ===`` and ``=== /OmniNode:Metadata ===``. Its lines are YAML,
each behind ``# ``, or plain inside one ``<!-- -->``, or each in a ``<!-- -->`` of its own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

OPENING = "=== OmniNode:Metadata ==="
CLOSING = "=== /OmniNode:Metadata ==="
BLOCK_SUFFIXES = (".py", ".md", ".markdown", ".yaml", ".yml", ".toml", ".sh", ".html")
MAXIMUM_OFFSET = 16 * 1024

_LINE_COMMENT = re.compile(r"\A\s*<!--\s?(?P<content>.*?)\s*-->\s*\Z")


class BlockStyle(Enum):
    """How the lines of a block are kept from being code."""

    HASH = "# "
    MARKUP = "<!-- -->"


@dataclass(frozen=True, slots=True)
class MetadataBlock:
    """A block in a text.

    ``yaml`` has as many lines as stand between its delimiters, so that line 1 of it is line
    ``first_line`` of the file; ``before`` and ``after`` are the rest of the text.
    """

    style: BlockStyle
    yaml: str
    first_line: int
    before: str
    after: str


def find_block(text: str) -> MetadataBlock | None:
    """The first block of a text, None if there is none or it does not end."""
    start = text.find(OPENING, 0, MAXIMUM_OFFSET)
    if start < 0:
        return None
    start = text.rfind("\n", 0, start) + 1
    end = text.find(CLOSING, start)
    if end < 0:
        return None
    stop = text.find("\n", end)
    stop = len(text) if stop < 0 else stop + 1
    lines_of_block = text[start:stop].splitlines()
    if len(lines_of_block) < 2:
        # Opened and closed on one line: a text about blocks, not a block.
        return None
    opening, *inner, _ = lines_of_block
    if opening.lstrip().startswith("#"):
        style, lines = BlockStyle.HASH, [_without_hash(line) for line in inner]
    elif opening.lstrip().startswith("<!--"):
        style, lines = BlockStyle.MARKUP, [_without_markup(line) for line in inner]
    else:
        return None
    first_line = text.count("\n", 0, start) + 2
    return MetadataBlock(style, "\n".join(lines) + "\n", first_line, text[:start], text[stop:])


def write_block(yaml: str, style: BlockStyle) -> str:
    """The text of a block with its delimiters."""
    lines = yaml.splitlines()
    if style is BlockStyle.HASH:
        marked = [f"# {OPENING}", *(f"# {line}".rstrip() for line in lines), f"# {CLOSING}"]
    else:
        marked = [f"<!-- {OPENING}", *lines, f"<!-- {CLOSING} -->"]
    return "\n".join(marked) + "\n"


def _without_hash(line: str) -> str:
    content = line.lstrip()
    return content.removeprefix("#").removeprefix(" ") if content.startswith("#") else line


def _without_markup(line: str) -> str:
    match = _LINE_COMMENT.match(line)
    return match["content"] if match else line
