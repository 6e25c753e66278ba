"""ReleaseJudge: judges the releases that a remote shows, by the owners of their namespaces."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from onex.domain.evidence import Evidence, TrustLevel
from onex.domain.json_value import canonical_json, sha256_of
from onex.domain.known_owners import KnownOwners
from onex.domain.namespace_owners import NamespaceOwners
from onex.domain.release_trust import judge
from onex.domain.statement import ReleaseStatement
from onex.domain.trust_rules import TrustRules, Use
from onex.remote.index_line import IndexLine
from onex.remote.published_owners import parse_owners
from onex.trust.signing import signers_of


class ReleaseJudge:
    """Judges during one visit; ``news`` are owners of which something new was seen."""

    def __init__(self, known: KnownOwners, rules: TrustRules, registry: str = "") -> None:
        """``known`` are the owners seen before, ``rules`` the policy of this project.

        ``registry`` identifies the registry whose releases are judged.
        """
        self._known = known
        self.registry = registry
        self._rules = rules
        self._refused: dict[str, str] = {}
        self.news: dict[str, NamespaceOwners] = {}

    @property
    def basis(self) -> str:
        """What judgements rest on beside what the registry shows: made anew if it changes."""
        rules = sha256_of(canonical_json(self._rules.to_json()))[:16]
        return f"{self._known.forgotten} {rules}"

    def take_owners(
        self,
        content: bytes | None,
        namespace: str,
        prove: Callable[[NamespaceOwners], None],
    ) -> None:
        """Take over the owners of a namespace, as the remote shows them.

        ``prove`` raises if they are not in its log.

        Raises:
            OwnersRefusedError: they cannot be believed.
            RemoteProtocolError: the file cannot be read.
        """
        self._refused[namespace] = "its registry does not show them"
        if content is None:
            return
        self._refused[namespace] = "those that its registry shows are refused"
        shown = parse_owners(content, namespace)
        prove(shown)
        if self._known.accept(shown, self.registry):
            self.news[namespace] = shown
        self._refused.pop(namespace)

    def knows(self, namespace: str) -> bool:
        """Whether the owners of a namespace were seen before."""
        return self._known.of(namespace, self.registry) is not None

    def refusal(self, line: IndexLine, evidence: Evidence) -> str | None:
        """Why the policy lets a version not be registered; None if it may be."""
        if evidence.level is TrustLevel.REFUSED:
            # It is registered, so that who asks for it is told why it cannot be had.
            return None
        namespace = line.metadata.node.namespace
        return self._rules.level_refusal(namespace, Use.REGISTER, evidence.level)

    def evidence(self, line: IndexLine, logged: int | None) -> Evidence:
        """What the remote shows for a version, judged.

        ``logged`` is the size of the log that was proved to have it so; None if none was.
        """
        shown = replace(line.evidence, logged=logged, registry=self.registry)
        owners = self._known.covering(line.metadata.node.namespace, self.registry)
        reason = self._distrusted(line, owners)
        if reason is not None:
            return replace(shown, level=TrustLevel.REFUSED, reason=reason)
        release = ReleaseStatement.about(line.metadata, line.digest)
        is_ordered = logged is not None
        judgement = judge(release, shown, owners, signers_of, is_ordered=is_ordered)
        return replace(shown, level=judgement.level, reason=judgement.failure)

    def _distrusted(self, line: IndexLine, owners: NamespaceOwners | None) -> str | None:
        """Why nothing can be said for a version; None if it can be judged by the known owners."""
        if owners is None and line.owner is not None:
            why = self._refused.get(line.owner, "its registry did not show them")
            return f"{line.owner} has owners, and {why}"
        return self._known.distrust(line.metadata.node.namespace, owners)
