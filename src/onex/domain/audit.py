"""Auditing a log: which entries are asked for, and whether it is the one that was written.

Specification: Audit Logging. An entry is chained to the one before it by its hash, so that what was
edited, left out or moved is found in the log itself. That entries at its end are missing is found
by a head that was exported before.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from fnmatch import fnmatchcase

from onex.domain.event import GENESIS_HASH, Event, LogHead
from onex.domain.json_value import JsonObject
from onex.domain.log_leaf import leaf_of
from onex.domain.merkle import EMPTY_ROOT, MerkleTree


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which entries are asked for. Filters left at None do not filter; the others must all hold.

    ``actor``, ``object`` and ``action`` are globs; an actor without an address means those with
    any.
    """

    actor: str | None = None
    object: str | None = None
    action: str | None = None
    outcome: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def admits(self, event: Event) -> bool:
        """Whether an entry is asked for."""
        name = event.actor.rpartition("@")[0] or event.actor
        return (
            (self.outcome is None or event.outcome == self.outcome)
            and (self.since is None or datetime.fromisoformat(event.time) >= self.since)
            and (self.until is None or datetime.fromisoformat(event.time) <= self.until)
            and (self.action is None or fnmatchcase(event.action, self.action))
            and (self.object is None or fnmatchcase(event.object, self.object))
            and (
                self.actor is None
                or fnmatchcase(event.actor, self.actor)
                or fnmatchcase(name, self.actor)
            )
        )


@dataclass(frozen=True, slots=True)
class KnownTree:
    """The Merkle tree of a log as it was known: how many entries it had, and its root."""

    size: int
    root: bytes


@dataclass(frozen=True, slots=True)
class AuditReport:
    """Whether a log is genuine; ``reason`` says why it is not, ``root`` is that of its tree."""

    entries: int
    head: LogHead
    reason: str | None = None
    root: bytes = EMPTY_ROOT

    def to_json(self, signature: JsonObject | None = None) -> JsonObject:
        """The report in the shape that ``audit verify`` prints.

        ``signature`` is the signed head of just these entries, None if there is none.
        """
        return {
            "valid": self.reason is None,
            "entries": self.entries,
            "head": {
                "size": self.head.serial,
                "root": self.root.hex(),
                "signature": signature,
                "hash": self.head.hash,
            },
            "reason": self.reason,
        }


def audit_tree(events: Iterable[Event], known: KnownTree | None = None) -> AuditReport:
    """Check a log as ``audit`` does, and that its tree is one that was known, or grew from it."""
    tree = MerkleTree()

    def followed() -> Iterator[Event]:
        for event in events:
            yield event
            tree.append(leaf_of(event))

    report = audit(followed())
    root = tree.root()
    reason = report.reason
    if reason is None and known is not None:
        if known.size > len(tree):
            reason = f"the log has {len(tree)} entries, and it had {known.size}"
        elif tree.root(known.size) != known.root:
            reason = f"its first {known.size} entries are others than those that were signed"
    return replace(report, reason=reason, root=root)


def audit(
    events: Iterable[Event], known: LogHead | None = None, start: LogHead | None = None
) -> AuditReport:
    """Check a log, and that it goes on from a head that was known.

    ``events`` are those after ``start``, up to which it was checked before; by default all.
    """
    last = start or LogHead(0, GENESIS_HASH)
    count = last.serial
    saw_known = known is None or known == last
    for event in events:
        reason = _fault(event, last)
        if reason is not None:
            return AuditReport(count, last, reason)
        count, last = count + 1, LogHead(event.serial, event.hash)
        if known is not None and known.serial == last.serial:
            if known != last:
                return AuditReport(
                    count, last, f"entry {last.serial} is another one than that which was exported"
                )
            saw_known = True
    if not saw_known and known is not None:
        return AuditReport(
            count,
            last,
            f"the log ends at entry {last.serial}, and entry {known.serial} was exported before",
        )
    return AuditReport(count, last)


def _fault(event: Event, last: LogHead) -> str | None:
    if event.serial != last.serial + 1:
        return f"entry {last.serial + 1} is not there; entry {event.serial} follows"
    if event.previous_hash != last.hash:
        return f"entry {event.serial} does not follow from the one before it"
    if event.sealed().hash != event.hash:
        return f"entry {event.serial} was changed after it was written"
    return None
