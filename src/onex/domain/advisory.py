"""Advisories: what is known to be wrong with versions of nodes.

Source: the Open Source Vulnerability format, version 1.6 (OSV), with ``onex`` as the ecosystem,
nodes as packages, and ranges of semantic versions. Its rating is that of
``database_specific.severity``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Self

from onex.domain.errors import OnexError
from onex.domain.event import ALLOWED, Event
from onex.domain.json_value import (
    JsonObject,
    JsonValue,
    as_list,
    as_object,
    as_optional_text,
    as_text,
    as_texts,
    canonical_json,
    find_unwritable,
    is_deeper,
)
from onex.domain.reference import NodeId, NodeVersion
from onex.domain.version import Version

ADVISORY_PUBLISHED, ADVISORY_SEEN = "advisory.published", "advisory.seen"
"""The actions of the log by which an advisory is published, and a reader remembers some."""

ECOSYSTEM = "onex"
MAXIMUM_BYTES = 32 * 1024
MAXIMUM_DEPTH = 12
MAXIMUM_AFFECTED = 50

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", re.ASCII)


class Rating(StrEnum):
    """How bad it is, from the mildest on."""

    LOW = "low"
    MODERATE = "moderate"
    HIGH = "high"
    CRITICAL = "critical"

    def reaches(self, other: Rating) -> bool:
        """Whether it is as bad as another one, or worse."""
        order = list(Rating)
        return order.index(self) >= order.index(other)


@dataclass(frozen=True, slots=True)
class VersionRange:
    """Versions from ``introduced`` on, before ``fixed``, and up to ``last``; None for no end."""

    introduced: Version | None
    fixed: Version | None = None
    last: Version | None = None

    def holds(self, version: Version) -> bool:
        """Whether a version lies in it."""
        return (
            (self.introduced is None or version.key >= self.introduced.key)
            and (self.fixed is None or version.key < self.fixed.key)
            and (self.last is None or version.key <= self.last.key)
        )


@dataclass(frozen=True, slots=True)
class Advisory:
    """One advisory; ``body`` is its whole text, ``affected`` gives ranges and versions by node."""

    id: str
    modified: str
    summary: str
    rating: Rating
    affected: tuple[tuple[NodeId, tuple[VersionRange, ...], tuple[str, ...]], ...]
    withdrawn: str | None
    body: str

    @property
    def nodes(self) -> tuple[NodeId, ...]:
        """The nodes that it is about."""
        return tuple(dict.fromkeys(node for node, _, _ in self.affected))

    def is_newer_than(self, other: Advisory) -> bool:
        """Whether it was modified later than another state of it."""
        own, before = map(datetime.fromisoformat, (self.modified, other.modified))
        return own.timestamp() > before.timestamp() or (own == before and self != other)

    def affects(self, node: NodeVersion) -> bool:
        """Whether it is about a version."""
        return self.withdrawn is None and any(
            found == node.node
            and (str(node.version) in versions or any(r.holds(node.version) for r in ranges))
            for found, ranges, versions in self.affected
        )

    def fixed_in(self, node: NodeVersion) -> str | None:
        """The first version that mends it after one that is affected; None if none does."""
        fixed = [
            r.fixed
            for found, ranges, _ in self.affected
            if found == node.node
            for r in ranges
            if r.holds(node.version) and r.fixed is not None
        ]
        return str(min(fixed, key=lambda version: version.key)) if fixed else None

    def in_words(self, node: NodeVersion) -> str:
        """What it says of a version, in a sentence."""
        fixed = self.fixed_in(node)
        remedy = f"; mended in {fixed}" if fixed else "; nothing mends it yet"
        return f"{node} is affected by {self.id} ({self.rating}): {self.summary}{remedy}"

    def to_json(self, node: NodeVersion) -> JsonObject:
        """What ``onex audit advisories`` prints of it for a version."""
        return {
            "id": self.id,
            "node": str(node),
            "severity": self.rating.value,
            "summary": self.summary,
            "fixed": self.fixed_in(node),
            "modified": self.modified,
        }

    @classmethod
    def from_json(cls, value: JsonValue) -> Self:
        """Read an advisory, which may be hostile; raises ValueError with what is wrong."""
        try:
            body = as_object(value)
            unwritable = find_unwritable(body)
            if unwritable is not None or is_deeper(body, MAXIMUM_DEPTH):
                raise ValueError(unwritable or "it is nested too deeply")
            text = canonical_json(body)
            if len(text) > MAXIMUM_BYTES:
                raise ValueError(f"it has more than {MAXIMUM_BYTES} bytes")
            identity, modified = as_text(body["id"]), as_text(body["modified"])
            if not _ID.fullmatch(identity):
                raise ValueError("its id is none")
            if datetime.fromisoformat(modified).tzinfo is None:
                raise ValueError("its time has no zone")
            summary = as_text(body.get("summary") or body.get("details") or "")
            if not summary:
                raise ValueError("it has no summary")
            listed = as_list(body["affected"])
            if not 1 <= len(listed) <= MAXIMUM_AFFECTED:
                raise ValueError(f"it affects 1 to {MAXIMUM_AFFECTED} nodes")
            return cls(
                identity,
                modified,
                " ".join(summary.split())[:300],
                _rating(body),
                tuple(map(_affected, map(as_object, listed))),
                as_optional_text(body.get("withdrawn")),
                text,
            )
        except (KeyError, TypeError, OnexError) as error:
            raise ValueError(f"it is no advisory of OSV: {error}"[:300]) from error


def _rating(body: JsonObject) -> Rating:
    specific = as_object(body.get("database_specific", {}))
    text = as_text(specific.get("severity", Rating.MODERATE.value)).lower()
    return Rating.MODERATE if text == "medium" else Rating(text)


def _affected(entry: JsonObject) -> tuple[NodeId, tuple[VersionRange, ...], tuple[str, ...]]:
    package = as_object(entry["package"])
    if as_text(package["ecosystem"]) != ECOSYSTEM:
        raise ValueError(f"the ecosystem of a package is not {ECOSYSTEM}")
    ranges: list[VersionRange] = []
    for found in map(as_object, as_list(entry.get("ranges", []))):
        if as_text(found["type"]) != "SEMVER":
            raise ValueError("a range has another type than SEMVER")
        ranges += _ranges(list(map(as_object, as_list(found["events"]))))
    versions = as_texts(entry.get("versions", []))
    if not ranges and not versions:
        raise ValueError("it names no versions that it affects")
    return NodeId.parse(as_text(package["name"])), tuple(ranges), versions


def _ranges(events: list[JsonObject]) -> list[VersionRange]:
    """The ranges between events, which are taken in the order of versions (OSV, evaluation)."""
    starts: list[Version | None] = []
    ends: list[tuple[Version, bool]] = []
    for event in events:
        for kind, value in event.items():
            text = as_text(value)
            if kind == "introduced":
                starts.append(None if text == "0" else Version.parse(text))
            elif kind in ("fixed", "last_affected"):
                ends.append((Version.parse(text), kind == "fixed"))
    found = []
    for start in starts:
        later = [end for end in ends if start is None or end[0].key >= start.key]
        end, is_fixed = min(later, key=lambda item: item[0].key, default=(None, False))
        found.append(VersionRange(start, end if is_fixed else None, None if is_fixed else end))
    return found


AdvisoryKey = tuple[str, str]
"""Where an advisory was seen, empty for this registry itself, and its id."""


def advisories_after(events: Iterable[Event]) -> dict[NodeId, dict[AdvisoryKey, Advisory]]:
    """The advisories about each node, after these entries of a log.

    What one source says changes nothing that another one does; of one source the last state by
    ``modified`` counts, so that an older copy takes nothing back.
    """
    known: dict[NodeId, dict[AdvisoryKey, Advisory]] = {}
    for event in events:
        if event.outcome != ALLOWED:
            continue
        of_node, facts = known.setdefault(NodeId.parse(event.object), {}), event.facts
        if event.action == ADVISORY_PUBLISHED:
            advisory = Advisory.from_json(facts["advisory"])
            of_node["", advisory.id] = advisory
        elif event.action == ADVISORY_SEEN:
            source = as_text(facts["source"])
            for body in as_list(facts["advisories"]):
                advisory = Advisory.from_json(body)
                before = of_node.get((source, advisory.id))
                if before is None or advisory.is_newer_than(before):
                    of_node[source, advisory.id] = advisory
    return known
