"""VersionAdmission: which versions the policy lets be chosen here and now."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from onex.domain.evidence import TrustLevel
from onex.domain.json_value import canonical_json, sha256_of
from onex.domain.metadata import RegisteredNode
from onex.domain.trust_rules import TrustRules, Use
from onex.trust.advisories import Advisories


class VersionAdmission:
    """Asks the policy about versions, by the clock of this machine."""

    def __init__(
        self,
        rules: TrustRules,
        is_trusted: Callable[[RegisteredNode], bool],
        advisories: Advisories | None = None,
    ) -> None:
        """``is_trusted`` says whether a source that is trusted offers a version."""
        self._advisories = advisories if rules.forbidden_advisories else None
        self.rules = rules
        self._is_trusted = is_trusted
        self._rules_key = "" if rules.is_empty else sha256_of(canonical_json(rules.to_json()))

    def key(self) -> str:
        """What answers depend on: the rules, and the time and advisories if these matter."""
        advisories = "" if self._advisories is None else f"\0{self._advisories.serial()}"
        return self._rules_key + self.rules.clock(datetime.now(UTC)) + advisories

    def level(self, node: RegisteredNode) -> TrustLevel:
        """How far a version can be trusted here; a folder that is not trusted vouches for none."""
        level = node.trust
        if level is TrustLevel.LOCAL and not (self.rules.is_empty or self._is_trusted(node)):
            return TrustLevel.UNVERIFIED
        return level

    def refusal(self, node: RegisteredNode) -> str | None:
        """Why a version must not be chosen, as the rest of a sentence about it."""
        refusal = self.rules.refusal(node, Use.RESOLVE, self.level(node), datetime.now(UTC))
        if refusal is None and self._advisories is not None:
            version = node.metadata.node_version
            refusal = self.rules.advisory_refusal(version, self._advisories.affecting(version))
        return refusal
