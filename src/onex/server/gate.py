"""Gate: who asks, and what they may; every refusal is an entry of the log."""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from onex.domain.access_control import EVERYTHING, Action, NamespaceRules, Role, Token
from onex.domain.errors import NodeNotFoundError
from onex.domain.remote_errors import (
    NotAuthenticatedError,
    NotPermittedError,
    TooManyRequestsError,
)
from onex.server.rate_limiter import RateLimiter, RateLimits
from onex.storage.backend import StorageBackend
from onex.trust.tokens import find_token

SCHEME = "bearer "
ANONYMOUS = "anonymous"
MAXIMUM_KNOWN = 10_000


OWNER = Token("owner", "owner", Role.ADMIN, (EVERYTHING,), "")
"""The user who runs a server for themselves; no token of the log."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who makes a request: the token, None without one, and the address it comes from."""

    token: Token | None
    address: str

    @property
    def is_owner(self) -> bool:
        """Whether it is the user whose registry this is, on their own machine."""
        return self.token is OWNER

    @property
    def actor(self) -> str:
        """The caller as the log names them."""
        return f"{self.token.id if self.token else ANONYMOUS}@{self.address}"


class Gate:
    """Decides about requests to one registry. One object serves all threads of a process."""

    def __init__(
        self, rules: NamespaceRules, limits: RateLimits, owner_key: str | None = None
    ) -> None:
        """``owner_key`` is what the owner shows in place of a token; None if there is no owner."""
        self._owner_key = owner_key
        self.rules = rules
        self.tree, self.interface = RateLimiter(limits.tree), RateLimiter(limits.interface)
        self._refusals = RateLimiter(limits.refusals)
        self._lock = threading.Lock()
        self._known: dict[str, tuple[int, Token]] = {}
        self._uses: dict[str, str] = {}
        self._written = 0.0

    def caller(
        self,
        authorization: str | None,
        address: str,
        storage: StorageBackend,
        limiter: RateLimiter,
    ) -> Caller:
        """Who sends these headers; nothing is recorded.

        Args:
            authorization: the header Authorization; None without one.
            address: that of the peer.
            storage: has the tokens.
            limiter: counts the requests of each token.

        Raises:
            NotAuthenticatedError: there is a token, and it is good for nothing.
            TooManyRequestsError: there were too many with this token.
        """
        if not authorization:
            return Caller(None, address)
        token = self._token(authorization, storage)
        if token is not OWNER:
            limiter.require(token.id, "requests with this token")
        return Caller(token, address)

    def is_owner_key(self, text: str) -> bool:
        """Whether a text is what the owner shows in place of a token."""
        key = self._owner_key
        return key is not None and secrets.compare_digest(text.encode(), key.encode())

    def count_refusal(self, caller: Caller) -> None:
        """Count a refusal that is about to be recorded; raises TooManyRequestsError."""
        name = caller.token.id if caller.token else caller.address
        self._refusals.require(name, "requests that were refused")

    def _token(self, authorization: str, storage: StorageBackend) -> Token:
        if authorization[: len(SCHEME)].lower() != SCHEME:
            raise NotAuthenticatedError(
                "the header Authorization has no token", hint="send Authorization: Bearer TOKEN"
            )
        text = authorization[len(SCHEME) :].strip()
        if self.is_owner_key(text):
            return OWNER
        key = hashlib.sha256(text.encode()).hexdigest()
        events = storage.token_events()
        # A token is looked up again as soon as any token was created or revoked.
        last = events[-1].serial if events else 0
        known = self._known.get(key)
        token = known[1] if known and known[0] == last else find_token(events, text)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        refusal = token.refusal(now)
        if refusal is not None:
            raise NotAuthenticatedError(refusal, hint="ask for another: onex token create")
        with self._lock:
            if len(self._known) >= MAXIMUM_KNOWN:
                self._known.clear()
            self._known[key] = (last, token)
            self._uses[token.id] = f"{now[:16]}:00+00:00"
        return token

    def require(
        self,
        caller: Caller,
        action: Action,
        namespace: str | None,
        storage: StorageBackend,
        object_name: str = "",
    ) -> None:
        """Let an action pass, or refuse it and record that.

        Raises:
            NodeNotFoundError: a reader may not know that it is there.
            NotAuthenticatedError, NotPermittedError: it is refused.
            TooManyRequestsError: it is refused, and others were just before.
        """
        decision = self.rules.decide(caller.token, action, namespace)
        if decision.allowed:
            return
        name = object_name or namespace or "registry"
        try:
            self.count_refusal(caller)
        except TooManyRequestsError:
            if decision.is_hidden:
                # Another answer would tell what is hidden from what is not there.
                raise hidden(name) from None
            raise
        record_refusal(storage, caller, action, name, decision.reason)
        if decision.is_hidden:
            raise hidden(name)
        if caller.token is None:
            raise NotAuthenticatedError("this needs a token", hint="see onex login")
        raise NotPermittedError(
            f"the token does not allow to {action} {namespace or 'the whole registry'}",
            hint="an admin of the registry can create another: onex token create",
        )

    def take_uses(self) -> Mapping[str, str]:
        """The uses of tokens to be stored: at most once a minute, and none twice."""
        now = time.monotonic()
        with self._lock:
            if not self._uses or now - self._written < 60:
                return {}
            uses, self._uses, self._written = self._uses, {}, now
        return uses


def record_refusal(
    storage: StorageBackend, caller: Caller, action: str, name: str, reason: str
) -> None:
    """Write to the log that somebody was refused, and why."""
    storage.write(lambda writer: writer.refused(f"access.{action}", name, reason), caller.actor)


def hidden(name: str) -> NodeNotFoundError:
    """The one answer for what is not there, and for what the caller may not know to be there."""
    return NodeNotFoundError(f"no node is called {name!r}", hint="see what there is: /api/v1/nodes")
