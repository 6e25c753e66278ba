"""What a scan found and changed, source by source."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from onex.discovery.merge import CONFLICT_CODE, MergeCounts
from onex.domain.errors import (
    DocumentError,
    NodeNotFoundError,
    OnexError,
    Problem,
    Severity,
)
from onex.domain.json_value import JsonValue
from onex.manifests.yaml_document import read_limited

SHOWN_FILES = 3
_MANY_HINT = "give each file's node a name of its own, or remove metadata that nobody needs"


@dataclass(slots=True)
class SourceReport:
    """What one scan of one source found and changed; counts are of manifests."""

    name: str
    kind: str
    status: str = "ok"
    found: int = 0
    added: int = 0
    updated: int = 0
    removed: int = 0
    unchanged: int = 0
    rejected: int = 0
    skipped: int = 0
    seconds: float = 0.0

    def count(self, counts: MergeCounts) -> None:
        """Add what one transaction changed."""
        self.added += counts.added
        self.updated += counts.updated
        self.removed += counts.removed

    def to_json(self) -> dict[str, JsonValue]:
        """The report in the shape that ``scan`` prints under ``sources``."""
        return {
            "name": self.name,
            "kind": self.kind,
            "status": self.status,
            "found": self.found,
            "added": self.added,
            "updated": self.updated,
            "removed": self.removed,
            "unchanged": self.unchanged,
            "rejected": self.rejected,
            "skipped": self.skipped,
            "seconds": round(self.seconds, 6),
        }


@dataclass(frozen=True, slots=True)
class ScanReport:
    """What a scan of all sources found; ``nodes`` counts node versions in the registry now."""

    sources: Sequence[SourceReport]
    problems: Sequence[Problem]
    nodes: int

    @property
    def has_failed_source(self) -> bool:
        """Whether a source gave nothing because it could not be read."""
        return any(source.status == "failed" for source in self.sources)


def joined_conflicts(problems: Sequence[Problem]) -> list[Problem]:
    """Problems in which many files that are set aside for one other file are one problem."""
    conflicts: dict[str, list[Problem]] = {}
    for problem in problems:
        if problem.code == CONFLICT_CODE:
            conflicts.setdefault(problem.message, []).append(problem)
    joined = []
    for problem in problems:
        alike = conflicts.get(problem.message, []) if problem.code == CONFLICT_CODE else []
        if len(alike) <= SHOWN_FILES:
            joined.append(problem)
        elif problem is alike[0]:
            others = [str(other.location.path) for other in alike[1:]]
            message = (
                f"{problem.message}; {len(others)} other files are set aside for it too:"
                f" {', '.join(others[:SHOWN_FILES])}"
            )
            if len(others) > SHOWN_FILES:
                message += f" and {len(others) - SHOWN_FILES} more"
            joined.append(replace(problem, message=message, hint=_MANY_HINT))
    return joined


@contextmanager
def broken_manifests_told(problems: Iterable[Problem]) -> Iterator[None]:
    """Say so if a node is not found because its manifest is among those with errors.

    That is if the text of the manifest, or the name of its folder, has the name of the node.
    """
    try:
        yield
    except NodeNotFoundError as error:
        name = str(error.details.get("name", ""))
        broken = [
            problem
            for problem in problems
            if problem.severity is Severity.ERROR and _mentions(problem.location.path or "", name)
        ]
        if not broken:
            raise
        message = f"{name} is not registered, since its manifest cannot be used"
        raise DocumentError(message, broken) from error


def _mentions(path: str, name: str) -> bool:
    own = name.partition("://")[2] or name
    if not own or not path:
        return False
    try:
        text = read_limited(Path(path), follow_link=False).decode("utf-8", "replace")
    except (OnexError, OSError):
        text = ""
    return own in text or Path(path).parent.name == own.rpartition(".")[2]


def joined(reports: Sequence[ScanReport]) -> ScanReport:
    """The reports of scans that followed each other, as one.

    What each of them says of the registry as a whole is told once.
    """
    problems: list[Problem] = []
    for report in reports:
        told = set(problems)
        problems += [problem for problem in report.problems if problem not in told]
    sources = [source for report in reports for source in report.sources]
    return ScanReport(sources, problems, reports[-1].nodes)
