"""SecurityValidator: whether a version may be run, and the argument for it.

Specification: Node Validation, Registry Security. What is asked, in this order: the digest of the
files, who signed it, whether their key is revoked, the policy, and the grants. The first that does
not hold is the reason of the refusal; the argument is part of the record of the run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from onex.domain.archive_place import PUBLISHED_SOURCE
from onex.domain.errors import SecurityError
from onex.domain.evidence import Evidence, TrustLevel
from onex.domain.json_value import JsonObject
from onex.domain.known_owners import KnownOwners
from onex.domain.metadata import Origin, RegisteredNode
from onex.domain.namespace_owners import NamespaceOwners, covering
from onex.domain.release_trust import Check, judge
from onex.domain.result import IsolationLevel
from onex.domain.statement import ReleaseStatement
from onex.domain.trust_errors import NotVerifiedError, PolicyRefusedError
from onex.domain.trust_rules import TrustRules, Use
from onex.storage.backend import StorageBackend
from onex.trust.advisories import Advisories
from onex.trust.owners import PublishedOwners, RememberedOwners
from onex.trust.signing import signers_of


@dataclass(frozen=True, slots=True)
class Validation:
    """How far a version can be trusted, and why; it may be run if every check holds."""

    level: TrustLevel
    checks: tuple[Check, ...]

    @property
    def failure(self) -> Check | None:
        """The first check that does not hold; None if all do."""
        return next((check for check in self.checks if not check.ok), None)

    def with_check(self, check: Check) -> Validation:
        """The same, and one thing more that was looked at."""
        return Validation(self.level, (*self.checks, check))

    def to_json(self) -> JsonObject:
        """The validation in the shape that ``onex verify`` prints."""
        return {
            "verified": self.failure is None and self.level.reaches(TrustLevel.VERIFIED),
            "level": self.level.value,
            "reasons": [check.to_json() for check in self.checks],
        }


class SecurityValidator:
    """Validates the versions of one registry."""

    def __init__(
        self,
        storage: StorageBackend,
        rules: TrustRules,
        is_trusted: Callable[[RegisteredNode], bool],
        fault_of: Callable[[Origin], str | None],
    ) -> None:
        """Prepare; the owners of namespaces are read when they are needed.

        Args:
            storage: whose log has the owners of namespaces that were seen.
            rules: the policy.
            is_trusted: whether a source that is trusted offers a version.
            fault_of: why the files at a place may be somebody else's.
        """
        self._fault_of = fault_of
        self._advisories = Advisories(storage)
        self._storage = storage
        self._rules = rules
        self._is_trusted = is_trusted
        self._owners: tuple[int, KnownOwners, list[NamespaceOwners]] | None = None

    def require(self, node: RegisteredNode) -> Validation:
        """Validate a version that is about to be run.

        Raises:
            NotVerifiedError: what speaks for it is missing, wrong or revoked.
            PolicyRefusedError: the policy forbids it.
        """
        validation = self.validate(node)
        failure = validation.failure
        if failure is None:
            return validation
        kind: type[SecurityError] = NotVerifiedError
        hint = f"see the whole argument: onex verify {node.metadata.node_version}"
        if failure.name == "policy":
            kind, hint = PolicyRefusedError, "choose another version, or change [policy]"
        raise kind(f"{node.metadata.node_version} is not run: {failure.detail}", hint=hint)

    def validate(self, node: RegisteredNode) -> Validation:
        """The argument for a version, or against it."""
        digest = Check.holds("digest", f"its files must have {node.digest[:23]}... when loaded")
        level = node.trust
        if level is TrustLevel.LOCAL:
            detail = f"it lies in the source {node.source} on this machine"
            if not self._is_trusted(node):
                faults = filter(None, map(self._fault_of, node.origins))
                reason = next(faults, "which is not trusted")
                detail, level = f"{detail}, {reason}", TrustLevel.UNVERIFIED
            checks = [digest, Check.holds("source", detail)]
        else:
            evidence = node.evidence or Evidence(node.registered_at, 0)
            release = ReleaseStatement.about(node.metadata, node.digest)
            # What another registry shows is judged by its entries and its owners.
            is_published = not evidence.registry and any(
                origin.source == PUBLISHED_SOURCE for origin in node.origins
            )
            owners = self._owners_of(release, evidence, is_published=is_published)
            is_ordered = is_published or evidence.logged is not None
            judgement = judge(release, evidence, owners, signers_of, is_ordered=is_ordered)
            level = judgement.level
            checks = [digest, *judgement.checks]
            distrust = None
            if not is_published:
                distrust = self._all_owners()[0].distrust(node.metadata.node.namespace, owners)
            if distrust is not None:
                checks.append(Check.fails("owner", distrust))
            if judgement.failure is None and evidence.level is TrustLevel.REFUSED:
                checks.append(Check.fails("owner", evidence.reason or "it was refused"))
            if evidence.logged is not None:
                detail = (
                    f"entry {evidence.serial} of a log of {evidence.logged}, by its signed head"
                )
                checks.append(Check.holds("log", detail))
        version = node.metadata.node_version
        refusal = self._rules.refusal(
            node, Use.RUN, level, datetime.now(UTC)
        ) or self._rules.advisory_refusal(version, self._advisories.affecting(version))
        if refusal is not None:
            checks.append(Check.fails("policy", f"it {refusal}"))
        elif not self._rules.is_empty:
            checks.append(Check.holds("policy", "the policy lets it run"))
        return Validation(level, tuple(checks))

    def validate_release(self, release: ReleaseStatement, evidence: Evidence) -> Validation:
        """The argument for a release that is not registered, such as one in a folder."""
        known, published = self._all_owners()
        namespace = release.node.node.namespace
        owners = covering(published, namespace) or known.covering(namespace)
        judgement = judge(release, evidence, owners, signers_of, is_ordered=True)
        digest = Check.holds("digest", f"its files have the digest {release.digest[:23]}...")
        return Validation(judgement.level, (digest, *judgement.checks))

    def weakest_isolation(
        self, node: RegisteredNode, validation: Validation
    ) -> IsolationLevel | None:
        """The isolation below which the policy lets a version not run; None if it says nothing."""
        return self._rules.weakest_isolation(node.metadata.node.namespace, validation.level)

    def _owners_of(
        self, release: ReleaseStatement, evidence: Evidence, *, is_published: bool
    ) -> NamespaceOwners | None:
        """The owners of the namespace of a release in the registry that shows it."""
        known, published = self._all_owners()
        namespace = release.node.node.namespace
        if is_published:
            return covering(published, namespace)
        return known.covering(namespace, evidence.registry)

    def _all_owners(self) -> tuple[KnownOwners, list[NamespaceOwners]]:
        """The owners that were seen elsewhere, and those of this registry."""
        serial = self._storage.serial()
        if self._owners is None or self._owners[0] != serial:
            known = RememberedOwners(self._storage).known()
            published = list(PublishedOwners(self._storage).all().values())
            self._owners = (serial, known, published)
        return self._owners[1:]
