"""KnownOwners: the owners of namespaces that a reader has seen, and the keys that its user pinned.

What was seen once is not given up. A registry that shows other owners is refused, until the
user forgets those that were known.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from onex.domain.access_control import covers
from onex.domain.event import ALLOWED, Event
from onex.domain.json_value import as_list, as_text
from onex.domain.namespace_owners import (
    KEY_PINNED,
    KEY_UNPINNED,
    OWNERS_SEEN,
    NamespaceOwners,
    Verifier,
    covering,
    overlapping,
    read_owners,
)
from onex.domain.public_key import PublicKey
from onex.domain.trust_errors import OwnersRefusedError


class KnownOwners:
    """What one reader knows. ``pinned`` gives keys by namespace, of which its owners had one."""

    def __init__(
        self,
        seen: Iterable[NamespaceOwners] = (),
        pinned: Mapping[str, frozenset[PublicKey]] | None = None,
    ) -> None:
        self._seen = {owners.namespace: owners for owners in seen}
        self.pinned = dict(pinned or {})

    @classmethod
    def after(cls, events: Iterable[Event], verify: Verifier) -> KnownOwners:
        """What is known after these entries of the reader's own log."""
        links: dict[str, NamespaceOwners] = {}
        pinned: dict[str, frozenset[PublicKey]] = {}
        for event in events:
            name, facts = event.object, event.facts
            if event.outcome != ALLOWED:
                continue
            if event.action == OWNERS_SEEN:
                links.pop(name, None)
                if facts["links"]:
                    links[name] = read_owners(as_list(facts["links"]), verify)
            elif event.action == KEY_PINNED:
                key = PublicKey.parse(as_text(facts["key"]))
                pinned[name] = pinned.get(name, frozenset()) | {key}
            elif event.action == KEY_UNPINNED:
                pinned.pop(name, None)
        return cls(links.values(), pinned)

    def all(self) -> list[NamespaceOwners]:
        """The owners that were seen, in the order of their namespaces."""
        return [owners for _, owners in sorted(self._seen.items())]

    def of(self, namespace: str) -> NamespaceOwners | None:
        """The owners of exactly this namespace."""
        return self._seen.get(namespace)

    def covering(self, namespace: str) -> NamespaceOwners | None:
        """The owners of a namespace or of one above it."""
        return covering(self._seen.values(), namespace)

    def accept(self, shown: NamespaceOwners) -> bool:
        """Take over owners that a registry shows; returns whether something in them is new.

        Raises:
            OwnersRefusedError: they are others than were seen, overlap with others, or never had
                a key that the user pinned.
        """
        name = shown.namespace
        self._require_pinned(shown)
        other = overlapping((o for o in self._seen.values() if o.namespace != name), name)
        if other is not None:
            raise OwnersRefusedError(
                f"{name} is shown with owners of its own, and {other.namespace} has others",
                hint="ask those who run the registry, and the owners that you know",
            )
        known = self._seen.get(name)
        if known is None or (shown.continues(known) and len(shown.links) > len(known.links)):
            self._seen[name] = shown
            return True
        # An older copy of the same is no news, and no lie.
        if shown.continues(known) or known.continues(shown):
            return False
        raise OwnersRefusedError(
            f"{name} has other owners than it had, and the former ones did not appoint them",
            hint=f"ask the former owners; if it is right all the same: onex trust forget {name}",
        )

    def _require_pinned(self, shown: NamespaceOwners) -> None:
        held = {key for link in shown.links for key in link.statement.public_keys}
        for space, keys in self.pinned.items():
            is_about = covers(space, shown.namespace) or covers(shown.namespace, space)
            if is_about and not held & keys:
                raise OwnersRefusedError(
                    f"none of the keys of {shown.namespace} is one that is pinned for {space}",
                    hint=f"ask its owners; if it is right all the same: onex trust remove {space}",
                )
