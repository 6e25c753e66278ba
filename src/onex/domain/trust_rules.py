"""TrustRules: which versions the policy in ``onex.toml`` lets be registered, resolved and run.

Specification: Registry Security. A version that the policy forbids is as one that is not there; why
it is left out stands in the explanation.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from fnmatch import fnmatchcase

from onex.domain.access_control import EVERYTHING, covers
from onex.domain.advisory import Advisory, Rating
from onex.domain.errors import InvalidPermissionError
from onex.domain.evidence import TrustLevel
from onex.domain.json_value import JsonObject
from onex.domain.metadata import NodeMetadata, RegisteredNode
from onex.domain.permission import Permission
from onex.domain.reference import NodeVersion
from onex.domain.result import IsolationLevel

CLOCK_STEP_SECONDS = 600
"""How long an answer that depends on ages of versions is good."""


class Use(StrEnum):
    """What somebody is about to do with a version."""

    REGISTER = "register"
    RESOLVE = "resolve"
    RUN = "run"


@dataclass(frozen=True, slots=True)
class TrustRule:
    """What is asked in the namespaces of a pattern, as ``access_control.covers`` takes it.

    ``levels`` are the lowest levels of trust for each use; ``isolation`` is the weakest isolation
    for a level.
    """

    pattern: str
    levels: Mapping[Use, TrustLevel] = field(default_factory=dict)
    isolation: Mapping[TrustLevel, IsolationLevel] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TrustRules:
    """The policy. Of several rules about a namespace the one with the longest pattern decides.

    ``minimum_age_seconds`` is how long ago a version must have been published, but for the
    namespaces of ``minimum_age_except``; licences and permissions are forbidden by globs,
    and versions with an advisory of some rating or a worse one.
    """

    rules: tuple[TrustRule, ...] = ()
    minimum_age_seconds: float = 0.0
    minimum_age_except: tuple[str, ...] = ()
    forbidden_licenses: tuple[str, ...] = ()
    forbidden_permissions: tuple[str, ...] = ()
    forbidden_advisories: Rating | None = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing is forbidden."""
        return self == TrustRules()

    def refusal(
        self, node: RegisteredNode, use: Use, level: TrustLevel, now: datetime
    ) -> str | None:
        """Why a version must not be used so, as the rest of a sentence about it; None if it may.

        Args:
            node: the version.
            use: what is to be done with it.
            level: how far it can be trusted.
            now: the time, by which its age is reckoned.
        """
        if level is TrustLevel.LOCAL:
            return self.forbidden(node.metadata)
        evidence = node.evidence
        if level is TrustLevel.REFUSED:
            why = evidence.reason if evidence is not None else None
            return f"is refused: {why or 'what speaks for it is wrong'}"
        published = node.registered_at if evidence is None else evidence.published_at
        return (
            self.level_refusal(node.metadata.node.namespace, use, level)
            or self._age_refusal(node.metadata.node.namespace, published, now)
            or self.forbidden(node.metadata)
        )

    def advisory_refusal(self, node: NodeVersion, advisories: Iterable[Advisory]) -> str | None:
        """Why advisories forbid a version, as the rest of a sentence; None if none does."""
        limit = self.forbidden_advisories
        worst = next((a for a in advisories if limit is not None and a.rating.reaches(limit)), None)
        if worst is None:
            return None
        fixed = worst.fixed_in(node)
        remedy = f" (mended in {fixed})" if fixed else ""
        return f"has the advisory {worst.id} ({worst.rating}){remedy}, which the policy forbids"

    def level_refusal(self, namespace: str, use: Use, level: TrustLevel) -> str | None:
        """Why a level is too low for a use; None if it is not."""
        for rule in self._rules_for(namespace):
            needed = rule.levels.get(use)
            if needed is not None:
                if level.reaches(needed):
                    return None
                return f"is {level}, and the policy for {rule.pattern} lets {use} {needed} alone"
        return None

    def weakest_isolation(self, namespace: str, level: TrustLevel) -> IsolationLevel | None:
        """The isolation below which nothing of a level may run; None if nothing is said.

        What is asked of a level is asked of those below it, too.
        """
        order = list(IsolationLevel)
        for rule in self._rules_for(namespace):
            asked = [found for of, found in rule.isolation.items() if of.reaches(level)]
            if asked:
                return min(asked, key=order.index)
        return None

    def clock(self, now: datetime) -> str:
        """What answers depend on beside the rules: the time, coarsely, if ages matter."""
        if not self.minimum_age_seconds:
            return ""
        return str(int(now.timestamp()) // CLOCK_STEP_SECONDS)

    def to_json(self) -> JsonObject:
        """The rules, as ``onex policy check`` shows them."""
        return {
            "trust": {
                rule.pattern: {
                    **{use.value: level.value for use, level in rule.levels.items()},
                    "isolation": {k.value: v.value for k, v in rule.isolation.items()},
                }
                for rule in self.rules
            },
            "minimum_age_seconds": self.minimum_age_seconds,
            "minimum_age_except": list(self.minimum_age_except),
            "forbidden_licenses": list(self.forbidden_licenses),
            "forbidden_permissions": list(self.forbidden_permissions),
            "forbidden_advisories": self.forbidden_advisories,
        }

    def _rules_for(self, namespace: str) -> list[TrustRule]:
        """The rules about a namespace, the most specific first."""
        found = [rule for rule in self.rules if covers(rule.pattern, namespace)]
        return sorted(
            found, key=lambda rule: 0 if rule.pattern == EVERYTHING else -len(rule.pattern)
        )

    def _age_refusal(self, namespace: str, published_at: str, now: datetime) -> str | None:
        if not self.minimum_age_seconds:
            return None
        if any(covers(pattern, namespace) for pattern in self.minimum_age_except):
            return None
        age = now - datetime.fromisoformat(published_at)
        minimum = timedelta(seconds=self.minimum_age_seconds)
        if age >= minimum:
            return None
        return (
            f"was published {in_words(age)} ago, and the policy wants a minimum age of"
            f" {in_words(minimum)}"
        )

    def forbidden(self, metadata: NodeMetadata) -> str | None:
        """Why its licence or its permissions forbid a version; None if they do not."""
        # Each part of an SPDX expression, such as "MIT OR AGPL-3.0-only".
        licenses = [metadata.license, *re.split(r"[^A-Za-z0-9.+-]+", metadata.license)]
        for pattern in self.forbidden_licenses:
            if any(fnmatchcase(name.lower(), pattern.lower()) for name in licenses):
                return f"has the licence {metadata.license}, which the policy forbids"
        for permission in metadata.requests:
            if any(_is_forbidden(permission, pattern) for pattern in self.forbidden_permissions):
                return f"asks for {permission}, which the policy forbids"
        return None


def _is_forbidden(permission: Permission, pattern: str) -> bool:
    """Whether a pattern is about a permission, or about a part of what it would allow."""
    if permission.kind == pattern or fnmatchcase(str(permission), pattern):
        return True
    try:
        return permission.overlaps(Permission.parse(pattern))
    except InvalidPermissionError:
        return False


def in_words(span: timedelta) -> str:
    """How long something is, coarsely."""
    seconds = max(0, int(span.total_seconds()))
    for unit, length in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit}"
    return f"{seconds} seconds"
