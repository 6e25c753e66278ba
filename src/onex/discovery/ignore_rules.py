"""IgnoreRules: what ``.gitignore`` and ``.onexignore`` keep out of discovery.

``.onexignore`` is YAML with a section for each tool, each with ``patterns`` in the
syntax of ``.gitignore``; discovery follows the sections ``all`` and ``registry``.
A file that is not of that form is read as plain patterns.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from onex.domain.errors import DocumentError, Location, Problem, Severity
from onex.manifests.yaml_document import parse_yaml, read_limited

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

IGNORE_FILES = (".gitignore", ".onexignore")
_SECTIONS = ("all", "registry")
_SECTION = re.compile(rb"^[A-Za-z_-]+:(?:\s|\Z)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class IgnoreRules:
    """The patterns in force in a folder: its own, and those of the folders above it."""

    levels: tuple[tuple[str, GitIgnoreSpec], ...] = ()

    def within(self, folder: str, patterns: Sequence[str]) -> IgnoreRules:
        """The rules in a folder below that has patterns of its own."""
        if not patterns:
            return self
        from pathspec import GitIgnoreSpec

        return IgnoreRules((*self.levels, (f"{folder}/", GitIgnoreSpec.from_lines(patterns))))

    def ignores(self, path: str, *, is_folder: bool) -> bool:
        """Whether a path below is left out; the patterns nearest to it decide."""
        for prefix, spec in reversed(self.levels):
            result = spec.check_file(path.removeprefix(prefix) + ("/" if is_folder else ""))
            if result.include is not None:
                return result.include
        return False


def read_patterns(folder: str, names: Sequence[str]) -> tuple[list[str], list[Problem]]:
    """The patterns that the ignore files of a folder hold, and what is wrong with them."""
    patterns: list[str] = []
    problems: list[Problem] = []
    for name in IGNORE_FILES:
        if name not in names:
            continue
        path = Path(folder, name)
        try:
            content = read_limited(path, follow_link=False)
            found = (
                content.decode("utf-8").splitlines()
                if name == ".gitignore"
                else _sections(content, path)
            )
            from pathspec import GitIgnoreSpec

            GitIgnoreSpec.from_lines(found)
        except (DocumentError, UnicodeDecodeError, ValueError) as error:
            reason = error.message if isinstance(error, DocumentError) else str(error)
            problems.append(
                Problem(
                    "DSC008",
                    Severity.WARNING,
                    f"the patterns cannot be read, so nothing is ignored by them: {reason}",
                    Location(str(path)),
                    "correct the file",
                )
            )
        else:
            patterns += found
    return patterns, problems


def _sections(content: bytes, path: Path) -> list[str]:
    if not _SECTION.search(content):
        return content.decode("utf-8").splitlines()
    data = parse_yaml(content, os.fspath(path)).data
    patterns: list[str] = []
    for name in _SECTIONS:
        section = data.get(name)
        listed = section.get("patterns") if isinstance(section, dict) else section
        if isinstance(listed, list):
            patterns += [pattern for pattern in listed if isinstance(pattern, str)]
    return patterns
