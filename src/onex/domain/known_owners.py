"""KnownOwners: the owners of namespaces that a reader has seen, and the keys that its user pinned.

What was seen once is not given up. A registry that shows other owners is refused, until the
user forgets those that were known.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from onex.domain.access_control import covers, enclosing_namespaces
from onex.domain.event import ALLOWED, Event
from onex.domain.json_value import as_list, as_text
from onex.domain.namespace_owners import (
    KEY_PINNED,
    KEY_UNPINNED,
    OWNERS_SEEN,
    NamespaceOwners,
    Verifier,
    overlapping,
    read_owners,
)
from onex.domain.public_key import PublicKey
from onex.domain.trust_errors import OwnersRefusedError


class KnownOwners:
    """What one reader knows: the owners by registry and namespace, and the pinned keys.

    ``pinned`` gives keys by namespace, one of which must have signed who owns it; ``forgotten`` is
    the last entry of the reader's log by which something was forgotten or pinned.
    """

    def __init__(
        self,
        seen: Mapping[tuple[str, str], NamespaceOwners] | None = None,
        pinned: Mapping[str, frozenset[PublicKey]] | None = None,
        forgotten: int = 0,
    ) -> None:
        self._seen = dict(seen or {})
        self.pinned = dict(pinned or {})
        self.forgotten = forgotten

    @classmethod
    def after(cls, events: Iterable[Event], verify: Verifier) -> KnownOwners:
        """What is known after these entries of the reader's own log."""
        seen: dict[tuple[str, str], NamespaceOwners] = {}
        pinned: dict[str, frozenset[PublicKey]] = {}
        forgotten = 0
        for event in events:
            name, facts = event.object, event.facts
            if event.outcome != ALLOWED:
                continue
            if event.action == OWNERS_SEEN:
                if facts["links"]:
                    owners = read_owners(as_list(facts["links"]), verify)
                    seen[as_text(facts["registry"]), name] = owners
                    continue
                seen = {key: owners for key, owners in seen.items() if key[1] != name}
            elif event.action == KEY_PINNED:
                key = PublicKey.parse(as_text(facts["key"]))
                pinned[name] = pinned.get(name, frozenset()) | {key}
            elif event.action == KEY_UNPINNED:
                pinned.pop(name, None)
            else:
                continue
            forgotten = event.serial
        return cls(seen, pinned, forgotten)

    def all(self) -> list[NamespaceOwners]:
        """The owners that were seen, in the order of their namespaces."""
        return [owners for _, owners in sorted(self._seen.items(), key=lambda item: item[0][1])]

    def of(self, namespace: str, registry: str | None = None) -> NamespaceOwners | None:
        """The owners of exactly this namespace, in a registry or in any."""
        if registry is not None:
            return self._seen.get((registry, namespace))
        found = (owners for (_, name), owners in self._seen.items() if name == namespace)
        return next(found, None)

    def covering(self, namespace: str, registry: str | None = None) -> NamespaceOwners | None:
        """The owners of a namespace or of one above it, in a registry or in any."""
        found = (self.of(name, registry) for name in enclosing_namespaces(namespace))
        return next(filter(None, found), None)

    def distrust(self, namespace: str, owners: NamespaceOwners | None) -> str | None:
        """Why the pinned keys speak against owners of a namespace; None if they do not."""
        pinned = next((name for name in self.pinned if covers(name, namespace)), None)
        if pinned is None:
            return None
        if owners is None:
            return f"a key is pinned for {pinned}, and its registry shows no owners of it"
        return self._unmet(pinned, owners)

    def accept(self, shown: NamespaceOwners, registry: str) -> bool:
        """Take over owners that a registry shows; returns whether something in them is new.

        Raises:
            OwnersRefusedError: they are others than were seen there or elsewhere, overlap with
                others, or none of the keys that the user pinned signed for them.
        """
        name = shown.namespace
        self._require_pinned(shown)
        own = [o for (r, space), o in self._seen.items() if r == registry and space != name]
        other = overlapping(own, name)
        if other is not None:
            raise OwnersRefusedError(
                f"{name} is shown with owners of its own, and {other.namespace} has others",
                hint="ask those who run the registry, and the owners that you know",
            )
        for (_, space), known in self._seen.items():
            # An older copy of the same is no news, and no lie.
            is_same = shown.continues(known) or known.continues(shown)
            if space == name and not is_same:
                raise OwnersRefusedError(
                    f"{name} has other owners than it had, and the former ones did not appoint"
                    " them",
                    hint="ask the former owners; if it is right all the same: onex trust forget"
                    f" {name}",
                )
        before = self._seen.get((registry, name))
        if before is not None and len(before.links) >= len(shown.links):
            return False
        self._seen[registry, name] = shown
        return True

    def _require_pinned(self, shown: NamespaceOwners) -> None:
        for space in self.pinned:
            if not covers(space, shown.namespace) and not covers(shown.namespace, space):
                continue
            reason = self._unmet(space, shown)
            if reason is not None:
                raise OwnersRefusedError(
                    reason,
                    hint=f"ask its owners; if it is right all the same: onex trust remove {space}",
                )

    def _unmet(self, space: str, owners: NamespaceOwners) -> str | None:
        """Why owners are not those that the keys pinned for a namespace speak for."""
        # To be named proves nothing: whoever made the statement chose whom to name.
        if owners.signers & self.pinned[space]:
            return None
        names = ", ".join(sorted(key.short_id for key in owners.signers))
        return f"no key that is pinned for {space} signed who owns {owners.namespace}: {names} did"
