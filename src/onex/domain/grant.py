"""Grants: what was decided of the permissions that nodes ask for.

What a manifest declares is a request. A node from a trusted source is granted what it declares;
any other is granted what somebody approved for its type and namespace.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from onex.domain.event import ALLOWED, Event
from onex.domain.json_value import JsonObject, as_text, as_texts
from onex.domain.permission import Permission
from onex.domain.reference import NodeId
from onex.domain.result import IsolationLevel

APPROVED, REVOKED = "grant.approved", "grant.revoked"
"""The actions of the log that grants follow from."""


@dataclass(frozen=True, slots=True)
class Grant:
    """Everything that is granted to one node.

    ``digest`` and ``version`` are those of the files that were looked at when it was granted;
    ``by`` is who granted it; ``at`` is an RFC 3339 timestamp in UTC.
    """

    node: NodeId
    version: str
    digest: str
    permissions: tuple[Permission, ...]
    by: str
    at: str

    def to_json(self) -> JsonObject:
        """The grant in the shape that ``onex grant list`` prints."""
        return {
            "node": str(self.node),
            "version": self.version,
            "digest": self.digest,
            "permissions": [str(permission) for permission in self.permissions],
            "by": self.by,
            "at": self.at,
        }


def current_grants(events: Iterable[Event]) -> dict[NodeId, Grant]:
    """What is granted now, by node, after these entries of the log in their order."""
    grants: dict[NodeId, Grant] = {}
    for event in events:
        if event.outcome != ALLOWED:
            continue
        node = NodeId.parse(event.object)
        if event.action == REVOKED:
            grants.pop(node, None)
        elif event.action == APPROVED:
            facts = event.facts
            grants[node] = Grant(
                node=node,
                version=as_text(facts["version"]),
                digest=as_text(facts["digest"]),
                permissions=tuple(map(Permission.parse, as_texts(facts["permissions"]))),
                by=event.actor,
                at=event.time,
            )
    return grants


@dataclass(frozen=True, slots=True)
class RunGrants:
    """What a user allows and denies for one run alone.

    A permission that is allowed is given to the nodes that ask for it, and to no other.
    """

    allowed: tuple[Permission, ...] = ()
    denied: tuple[Permission, ...] = ()


@dataclass(frozen=True, slots=True)
class GrantDecision:
    """Of the permissions that a node asks for, those it is granted and those nobody decided on."""

    granted: tuple[Permission, ...]
    missing: tuple[Permission, ...] = ()


def decide(
    requested: Sequence[Permission],
    *,
    trusted: bool,
    grant: Grant | None = None,
    for_run: RunGrants | None = None,
) -> GrantDecision:
    """Decide what a node is granted.

    Args:
        requested: what it asks for.
        trusted: whether it comes from a trusted source.
        grant: what was approved for the node.
        for_run: what the user of this run allows and denies.
    """
    for_run = for_run or RunGrants()
    held = (*(grant.permissions if grant else ()), *for_run.allowed)
    asked = [p for p in requested if not any(p.overlaps(denied) for denied in for_run.denied)]
    granted = [p for p in asked if trusted or any(holding.covers(p) for holding in held)]
    return GrantDecision(tuple(granted), tuple(p for p in asked if p not in granted))


@dataclass(frozen=True, slots=True)
class RunAccess:
    """What the user of a run says about access.

    ``isolation`` is the level for every node, None for the strictest that can be had;
    ``unsandboxed`` names nodes that may run without confinement though nobody trusts them.
    """

    isolation: IsolationLevel | None = None
    grants: RunGrants = field(default_factory=RunGrants)
    unsandboxed: frozenset[str] = frozenset()

    @classmethod
    def of(
        cls,
        isolation: IsolationLevel | None,
        allow: Iterable[str] = (),
        deny: Iterable[str] = (),
        unsandboxed: Iterable[str] = (),
    ) -> RunAccess:
        """Read what was given as texts; raises InvalidPermissionError."""
        grants = RunGrants(tuple(map(Permission.parse, allow)), tuple(map(Permission.parse, deny)))
        return cls(isolation, grants, frozenset(unsandboxed))

    def denying(self, permissions: Iterable[Permission]) -> RunAccess:
        """The same, with further permissions that are denied."""
        denied = tuple(dict.fromkeys((*self.grants.denied, *permissions)))
        return replace(self, grants=replace(self.grants, denied=denied))

    @property
    def is_strictest(self) -> bool:
        """Whether nothing was said beside the strictest isolation."""
        return self in (RunAccess(), RunAccess(IsolationLevel.STRICT))

    def to_json(self) -> JsonObject:
        """What was said, as the plan and the log record it."""
        return {
            "isolation": None if self.isolation is None else self.isolation.value,
            "allowed": [str(permission) for permission in self.grants.allowed],
            "denied": [str(permission) for permission in self.grants.denied],
            "unsandboxed": sorted(self.unsandboxed),
        }
