"""Patterns of ``.gitignore``: which paths they match, as git decides it.

Source: the pattern format in gitignore(5), and git's wildmatch for brackets and ``**``. A
pattern that cannot match anything (a lone ``!``, an open bracket, a trailing backslash)
costs its line and no more.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_POSIX_CLASSES = {
    "alnum": "a-zA-Z0-9",
    "alpha": "a-zA-Z",
    "blank": " \\t",
    "cntrl": "\\x00-\\x1f\\x7f",
    "digit": "0-9",
    "graph": "\\x21-\\x7e",
    "lower": "a-z",
    "print": "\\x20-\\x7e",
    "punct": "\\x21-\\x2f\\x3a-\\x40\\x5b-\\x60\\x7b-\\x7e",
    "space": "\\s",
    "upper": "A-Z",
    "xdigit": "0-9a-fA-F",
}


@dataclass(frozen=True, slots=True)
class _Pattern:
    """One line: what it matches, by name or by path, and what a match means."""

    expression: str
    regex: re.Pattern[str]
    is_negated: bool
    is_for_folders: bool
    is_for_names: bool


class GitIgnore:
    """The patterns of one ignore file, or of several in their order."""

    def __init__(self, lines: Sequence[str]) -> None:
        self.text = "\n".join(lines)
        found = [pattern for line in lines if (pattern := _read_line(line)) is not None]
        self._patterns = found[::-1]
        # Most paths match no pattern at all, and this finds that out at once.
        self._any_name = _either(p.expression for p in found if p.is_for_names)
        self._any_path = _either(p.expression for p in found if not p.is_for_names)

    def __bool__(self) -> bool:
        return bool(self._patterns)

    def decide(self, path: str, *, is_folder: bool) -> bool | None:
        """Whether a path is ignored (True) or kept (False); None if no pattern matches it.

        ``path`` starts at the folder of the ignore file. Whether a folder above the path is
        ignored is for the caller to know.
        """
        name = path.rpartition("/")[2]
        if not (
            (self._any_name is not None and self._any_name.match(name))
            or (self._any_path is not None and self._any_path.match(path))
        ):
            return None
        for pattern in self._patterns:
            if pattern.is_for_folders and not is_folder:
                continue
            if pattern.regex.match(name if pattern.is_for_names else path):
                return not pattern.is_negated
        return None


def _either(expressions: Iterable[str]) -> re.Pattern[str] | None:
    joined = "|".join(expressions)
    return re.compile(joined, re.DOTALL) if joined else None


def _read_line(line: str) -> _Pattern | None:
    text = line.rstrip("\r\n")
    while text.endswith(" ") and not text.endswith("\\ "):
        text = text[:-1]
    if text.startswith("#"):
        return None
    is_negated = text.startswith("!")
    text = text[1:] if is_negated else text
    is_for_folders = text.endswith("/")
    text = text[:-1] if is_for_folders else text
    is_for_names = "/" not in text
    text = text.removeprefix("/")
    expression = _translate(text) if text else None
    if expression is None:
        return None
    expression = rf"(?:{expression})\Z"
    return _Pattern(
        expression, re.compile(expression, re.DOTALL), is_negated, is_for_folders, is_for_names
    )


# What a pattern consists of: expressions for characters, and these.
_STAR, _SLASH, _FOLDERS, _REST = "*", "/", "**/", "**"
_Token = tuple[str, str]
"""One of the kinds above with no expression, or no kind with the expression of a character."""


def _translate(pattern: str) -> str | None:
    """A regular expression for a pattern; None if it can match nothing.

    It takes linear time for each start of a folder, whatever the pattern: what stands between two
    stars is matched at the first place where it fits, and never tried at another, since the star
    behind it covers the difference.
    """
    tokens = _tokens(pattern)
    if tokens is None:
        return None
    first, *others = _split(tokens, _FOLDERS)
    expression = _within_folders(first)
    for number, part in enumerate(others, 1):
        inner = _within_folders(part)
        expression += f"(?:.*/)?{inner}" if number == len(others) else f"(?>(?:.*?/)??{inner})"
    return expression


def _split(tokens: list[_Token], kind: str) -> list[list[_Token]]:
    parts: list[list[_Token]] = [[]]
    for token in tokens:
        if token[0] == kind:
            parts.append([])
        else:
            parts[-1].append(token)
    return parts


def _within_folders(tokens: list[_Token]) -> str:
    """The expression for a part of a pattern without ``**/``."""
    components = []
    for component in _split(tokens, _SLASH):
        before, *behind = _split(component, _STAR)
        expression = _plain(before)
        for number, piece in enumerate(behind, 1):
            rest = _plain(piece)
            expression += f"[^/]*{rest}" if number == len(behind) else f"(?>[^/]*?{rest})"
        components.append(expression)
    return "/".join(components)


def _plain(tokens: list[_Token]) -> str:
    return "".join(".*" if kind == _REST else expression for kind, expression in tokens)


def _tokens(pattern: str) -> list[_Token] | None:
    """The parts of a pattern; None if it can match nothing."""
    tokens: list[_Token] = []
    position = 0
    while position < len(pattern):
        character = pattern[position]
        if character == "*":
            end = position
            while end < len(pattern) and pattern[end] == "*":
                end += 1
            starts_part = position == 0 or pattern[position - 1] == "/"
            if end - position >= 2 and starts_part and end == len(pattern):
                tokens.append((_REST, ""))
            elif end - position >= 2 and starts_part and pattern[end] == "/":
                tokens.append((_FOLDERS, ""))
                end += 1
            else:
                tokens.append((_STAR, ""))
            position = end
        elif character == "?":
            tokens.append(("", "[^/]"))
            position += 1
        elif character == "[":
            bracket = _bracket(pattern, position + 1)
            if bracket is None:
                return None
            expression, position = bracket
            tokens.append(("", expression))
        else:
            if character == "\\":
                position += 1
                if position == len(pattern):
                    return None
            is_slash = pattern[position] == "/"
            tokens.append((_SLASH, "") if is_slash else ("", re.escape(pattern[position])))
            position += 1
    return tokens


def _bracket(pattern: str, position: int) -> tuple[str, int] | None:
    """A bracket expression from behind its ``[``, and where it ends; None if it never does."""
    is_negated = pattern[position : position + 1] in ("!", "^")
    position += is_negated
    members: list[str] = []
    is_first = True
    while True:
        if position >= len(pattern):
            return None
        if pattern[position] == "]" and not is_first:
            break
        is_first = False
        if pattern.startswith("[:", position):
            end = pattern.find(":]", position)
            if end > 0:
                members.append(_POSIX_CLASSES.get(pattern[position + 2 : end], ""))
                if not members[-1]:
                    return None
                position = end + 2
                continue
        read = _member(pattern, position)
        if read is None:
            return None
        low, position = read
        if pattern[position : position + 1] == "-" and pattern[position + 1 : position + 2] not in (
            "",
            "]",
        ):
            read = _member(pattern, position + 1)
            if read is None:
                return None
            high, position = read
            if low <= high:
                members.append(f"{re.escape(low)}-{re.escape(high)}")
        else:
            members.append(re.escape(low))
    inside = "".join(members)
    if is_negated:
        return f"[^/{inside}]", position + 1
    return (f"(?!/)[{inside}]" if inside else "(?!)"), position + 1


def _member(pattern: str, position: int) -> tuple[str, int] | None:
    """One character of a bracket expression, and where the next begins."""
    if pattern[position] == "\\":
        position += 1
        if position == len(pattern):
            return None
    return pattern[position], position + 1
