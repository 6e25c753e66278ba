"""Access control: who may do what with the nodes of a registry that is served.

Specification: Access Control. A pure function decides from the token, the action, and the
namespace; every refusal has a reason, which is for the log and not for the one who asked.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum, StrEnum

from onex.domain.json_value import JsonObject


class Role(IntEnum):
    """What a token allows; each role allows all that those before it do."""

    READER = 1
    PUBLISHER = 2
    MAINTAINER = 3
    ADMIN = 4

    @classmethod
    def of(cls, name: str) -> Role:
        """A role by its name in lower case; raises KeyError."""
        return cls[name.upper()]

    def __str__(self) -> str:
        return self.name.lower()


class Action(StrEnum):
    """What somebody asks to do."""

    READ = "read"
    PUBLISH = "publish"
    RUN = "run"
    DECIDE = "decide"
    ADMINISTER = "administer"


NEEDED_ROLE = {
    Action.READ: Role.READER,
    Action.PUBLISH: Role.PUBLISHER,
    Action.RUN: Role.PUBLISHER,
    Action.DECIDE: Role.MAINTAINER,
    Action.ADMINISTER: Role.ADMIN,
}
"""The role for each action; yanking and changes of the lifecycle are decisions."""

EVERYTHING = "*"

TOKEN_CREATED, TOKEN_REVOKED = "token.created", "token.revoked"
"""The actions of the log that tokens follow from."""


@dataclass(frozen=True, slots=True)
class Token:
    """A token without its secret.

    ``namespaces`` are patterns as ``covers`` takes them; ``expires_at`` and ``created_at`` are
    RFC 3339 timestamps in UTC, the first None for a token that does not expire.
    """

    id: str
    name: str
    role: Role
    namespaces: tuple[str, ...]
    created_at: str
    expires_at: str | None = None
    revoked_at: str | None = None

    def to_json(self, last_used_at: str | None = None) -> JsonObject:
        """The token in the shape that ``token list`` prints."""
        return {
            "id": self.id,
            "name": self.name,
            "role": str(self.role),
            "namespaces": list(self.namespaces),
            "created": self.created_at,
            "expires": self.expires_at,
            "revoked": self.revoked_at,
            "last_used": last_used_at,
        }

    def refusal(self, now: str) -> str | None:
        """Why the token is good for nothing any more; None while it is good."""
        if self.revoked_at is not None:
            return f"the token {self.id} was revoked"
        if self.expires_at is not None and self.expires_at <= now:
            return f"the token {self.id} has expired"
        return None


@dataclass(frozen=True, slots=True)
class AccessDecision:
    """Whether an action is allowed, and why it is not.

    ``is_hidden`` says that the answer must be the one for something that is not there.
    """

    allowed: bool
    reason: str = ""
    is_hidden: bool = False


@dataclass(frozen=True, slots=True)
class NamespaceRules:
    """``private`` are the patterns of the namespaces that need a token to be read."""

    private: tuple[str, ...] = ()

    def is_private(self, namespace: str) -> bool:
        """Whether a namespace is shown only to those who have a token for it."""
        return any(covers(pattern, namespace) for pattern in self.private)

    def decide(self, token: Token | None, action: Action, namespace: str | None) -> AccessDecision:
        """Decide on an action; the token is good, and ``namespace`` is None for all of them."""
        is_hidden = action is Action.READ and namespace is not None and self.is_private(namespace)
        if action is Action.READ and not is_hidden:
            return AccessDecision(allowed=True)
        if token is None:
            return AccessDecision(allowed=False, reason="it needs a token", is_hidden=is_hidden)
        if token.role < NEEDED_ROLE[action]:
            reason = f"the token {token.id} is that of a {token.role}"
            return AccessDecision(allowed=False, reason=reason, is_hidden=is_hidden)
        wanted = EVERYTHING if namespace is None else namespace
        if not any(covers(pattern, wanted) for pattern in token.namespaces):
            reason = f"the token {token.id} is not for {namespace or 'the whole registry'}"
            return AccessDecision(allowed=False, reason=reason, is_hidden=is_hidden)
        return AccessDecision(allowed=True)

    def hidden_from(self, token: Token | None) -> HiddenNamespaces:
        """What a reader may not see."""
        shown = () if token is None else token.namespaces
        roots = (pattern.removesuffix(".*") for pattern in self.private)
        private = tuple(root for root in roots if not _covers_pattern(shown, root))
        return HiddenNamespaces(private, shown if private else ())


@dataclass(frozen=True, slots=True)
class HiddenNamespaces:
    """Namespaces that are left out with all below them, but for those that are shown all the same.

    Both are patterns; ``*`` is everything.
    """

    private: tuple[str, ...] = ()
    shown: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Whether anything is left out."""
        return bool(self.private)

    def hides(self, namespace: str) -> bool:
        """Whether a namespace is left out."""
        return any(covers(pattern, namespace) for pattern in self.private) and not any(
            covers(pattern, namespace) for pattern in self.shown
        )


NOTHING_HIDDEN = HiddenNamespaces()


def covers(pattern: str, namespace: str) -> bool:
    """Whether a pattern is about a namespace.

    ``*`` is about all of them, ``acme`` and ``acme.*`` about acme and everything below it.
    """
    if pattern == EVERYTHING:
        return True
    root = pattern.removesuffix(".*")
    return namespace == root or namespace.startswith(f"{root}.")


def is_pattern(text: str) -> bool:
    """Whether ``covers`` can find it to be about anything."""
    root = text.removesuffix(".*")
    return text == EVERYTHING or (bool(root) and "*" not in root and root == root.strip(". "))


def enclosing_namespaces(namespace: str) -> list[str]:
    """The namespaces that a namespace lies in, and itself, the widest first: acme, acme.tools."""
    parts = namespace.split(".")
    return [".".join(parts[:length]) for length in range(1, len(parts) + 1)]


def _covers_pattern(held: Iterable[str], root: str) -> bool:
    return any(one == EVERYTHING or (root != EVERYTHING and covers(one, root)) for one in held)
