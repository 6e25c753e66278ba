"""IgnoreRules: what ``.gitignore`` and ``.onexignore`` keep out of discovery and out of nodes.

``.onexignore`` is YAML with a section for each tool, each with ``patterns`` in the
syntax of ``.gitignore``; discovery follows the sections ``all`` and ``registry``.
A file that is not of that form is read as plain patterns.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from onex.domain.errors import DocumentError, Location, Problem, Severity
from onex.manifests.gitignore import GitIgnore
from onex.manifests.yaml_document import parse_yaml, read_limited

IGNORE_FILES = (".gitignore", ".onexignore")
MAXIMUM_ANCESTORS = 64
_REPOSITORY = ".git"
_SECTIONS = ("all", "registry")
_SECTION = re.compile(rb"^[A-Za-z_-]+:(?:\s|\Z)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class IgnoreRules:
    """The patterns in force in a folder: its own, and those of the folders above it."""

    levels: tuple[tuple[str, GitIgnore], ...] = ()

    def within(self, folder: str, patterns: Sequence[str]) -> IgnoreRules:
        """The rules in a folder below that has patterns of its own."""
        level = GitIgnore(patterns)
        prefix = folder if folder.endswith("/") else f"{folder}/"
        return IgnoreRules((*self.levels, (prefix, level))) if level else self

    def ignores(self, path: str, *, is_folder: bool) -> bool:
        """Whether a path is left out; the patterns nearest to it decide.

        A path in a folder that is left out is left out with it, which is for the caller to know.
        """
        for prefix, level in reversed(self.levels):
            decided = level.decide(path.removeprefix(prefix), is_folder=is_folder)
            if decided is not None:
                return decided
        return False

    def fingerprint(self) -> bytes:
        """A hash that differs if the patterns or their folders do."""
        digest = blake2b(digest_size=16)
        for prefix, level in self.levels:
            digest.update(f"{prefix}\0{level.text}\0".encode("utf-8", "surrogatepass"))
        return digest.digest()


NO_RULES = IgnoreRules()


def rules_above(folder: str, root: str | None) -> IgnoreRules:
    """The rules that folders above a folder set for it.

    As in git they begin at the root of the repository that the folder lies in. Outside any
    repository they begin at ``root``, the folder of the source, if there is one.
    """
    ancestors: list[str] = []
    start: int | None = None
    above = folder
    for _ in range(MAXIMUM_ANCESTORS):
        if os.path.lexists(f"{above}/{_REPOSITORY}"):
            start = len(ancestors)
            break
        if above == root:
            start = len(ancestors)
        parent = str(Path(above).parent)
        if parent == above:
            break
        above = parent
        ancestors.append(above)
    rules = NO_RULES
    for ancestor in reversed(ancestors[: start or 0]):
        rules = rules.within(ancestor, read_patterns(ancestor)[0])
    return rules


def rules_in(folder: str, root: str | None) -> IgnoreRules:
    """The rules in force in a folder: its own, and those above it."""
    return rules_above(folder, root).within(folder, read_patterns(folder)[0])


def read_patterns(
    folder: str, names: Sequence[str] = IGNORE_FILES
) -> tuple[list[str], list[Problem]]:
    """The patterns that the ignore files of a folder hold, and what is wrong with them.

    ``names`` are the files of the folder, if they are known.
    """
    patterns: list[str] = []
    problems: list[Problem] = []
    for name in IGNORE_FILES:
        path = Path(folder, name)
        if name not in names or not os.path.lexists(path):
            continue
        try:
            content = read_limited(path, follow_link=False)
            if name == ".gitignore":
                patterns += _lines(content)
            else:
                patterns += _sections(content, path)
        except (DocumentError, UnicodeDecodeError) as error:
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
    return patterns, problems


def _lines(content: bytes) -> list[str]:
    # As in git a line costs no other one, whatever its encoding.
    return content.decode("utf-8-sig", "replace").split("\n")


def _sections(content: bytes, path: Path) -> list[str]:
    if not _SECTION.search(content):
        return _lines(content)
    data = parse_yaml(content.removeprefix(b"\xef\xbb\xbf"), os.fspath(path)).data
    patterns: list[str] = []
    for name in _SECTIONS:
        section = data.get(name)
        listed = section.get("patterns") if isinstance(section, dict) else section
        if isinstance(listed, str):
            patterns += listed.split("\n")
        elif isinstance(listed, list) and all(isinstance(pattern, str) for pattern in listed):
            patterns += [pattern for pattern in listed if isinstance(pattern, str)]
        elif listed is not None:
            problem = Problem(
                "DSC008",
                Severity.WARNING,
                f"{name} is not a list of patterns",
                Location(os.fspath(path)),
                f"write {name}: {{patterns: [...]}}, each pattern a text",
            )
            raise DocumentError(problem.message, [problem])
    return patterns
