"""Tokens: proofs of who asks a registry that is served, kept in its log as hashes alone."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from onex.domain.access_control import TOKEN_CREATED, TOKEN_REVOKED, Role, Token
from onex.domain.errors import UsageError
from onex.domain.event import ALLOWED, Event
from onex.domain.json_value import as_optional_text, as_text, as_texts
from onex.domain.reference import NAMESPACE
from onex.domain.remote_errors import NotAuthenticatedError
from onex.domain.token_text import is_token_text, new_token_text
from onex.storage.backend import StorageBackend, StorageWriter


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token with its secret text, which is shown once and stored nowhere."""

    token: Token
    text: str


class Tokens:
    """The tokens of one registry."""

    def __init__(self, storage: StorageBackend, actor: str | None = None) -> None:
        """``actor`` is who creates and revokes, as the log names them."""
        self._storage = storage
        self._actor = actor

    def all(self) -> Sequence[Token]:
        """Every token that was ever created, oldest first."""
        return list(_by_id(self._storage.token_events()).values())

    def last_uses(self) -> Mapping[str, str]:
        """When each token was used last, to the minute, by its identifier."""
        return self._storage.token_uses()

    def create(
        self,
        name: str,
        role: Role,
        namespaces: Sequence[str] = ("*",),
        valid_seconds: float | None = None,
    ) -> NewToken:
        """Create a token.

        Args:
            name: what it is for, or who has it.
            role: what it allows.
            namespaces: patterns of the namespaces in which it does.
            valid_seconds: how long it is good; None for ever.

        Raises:
            UsageError: a pattern is none.
        """
        for pattern in namespaces:
            if pattern != "*" and not NAMESPACE.fullmatch(pattern.removesuffix(".*")):
                raise UsageError(
                    f"{pattern!r} is no pattern of namespaces", hint="write acme, acme.* or *"
                )
        now = datetime.now(UTC)
        expires = None
        if valid_seconds is not None:
            expires = (now + timedelta(seconds=valid_seconds)).isoformat(timespec="seconds")
        token = Token(
            id=f"tok_{secrets.token_hex(6)}",
            name=name,
            role=role,
            namespaces=tuple(namespaces),
            created_at=now.isoformat(timespec="seconds"),
            expires_at=expires,
        )
        text = new_token_text()

        def note(writer: StorageWriter) -> None:
            writer.note(
                TOKEN_CREATED,
                token.id,
                {
                    "name": token.name,
                    "role": str(token.role),
                    "namespaces": list(token.namespaces),
                    "expires_at": token.expires_at,
                    "sha256": _hash(text),
                },
            )

        self._storage.write(note, self._actor)
        return NewToken(token, text)

    def revoke(self, token_id: str) -> Token:
        """Make a token good for nothing from now on; raises UsageError if there is none."""
        found = next((token for token in self.all() if token.id == token_id), None)
        if found is None or found.revoked_at is not None:
            state = "was revoked already" if found else "is not there"
            raise UsageError(f"the token {token_id} {state}", hint="see onex token list")
        self._storage.write(lambda writer: writer.note(TOKEN_REVOKED, token_id, {}), self._actor)
        return next(token for token in self.all() if token.id == token_id)


def find_token(events: Iterable[Event], text: str) -> Token:
    """The token of a text after these entries of the log; raises NotAuthenticatedError."""
    hashed = _hash(text)
    tokens = _by_hash(events)
    token = tokens.get(hashed) if is_token_text(text) else None
    if token is None:
        raise NotAuthenticatedError("the token is not known here", hint="see onex login")
    refusal = token.refusal(datetime.now(UTC).isoformat(timespec="seconds"))
    if refusal is not None:
        raise NotAuthenticatedError(refusal, hint="ask for another: onex token create")
    return token


def _by_hash(events: Iterable[Event]) -> dict[str, Token]:
    found = list(events)
    tokens = _by_id(found)
    return {
        as_text(event.facts["sha256"]): tokens[event.object]
        for event in found
        if event.action == TOKEN_CREATED
    }


def _by_id(events: Iterable[Event]) -> dict[str, Token]:
    tokens: dict[str, Token] = {}
    for event in events:
        if event.outcome != ALLOWED:
            continue
        if event.action == TOKEN_CREATED:
            facts = event.facts
            tokens[event.object] = Token(
                id=event.object,
                name=as_text(facts["name"]),
                role=Role.of(as_text(facts["role"])),
                namespaces=as_texts(facts["namespaces"]),
                created_at=event.time,
                expires_at=as_optional_text(facts["expires_at"]),
            )
        elif event.action == TOKEN_REVOKED and event.object in tokens:
            tokens[event.object] = replace(tokens[event.object], revoked_at=event.time)
    return tokens


def _hash(text: str) -> str:
    # The secret has 214 random bits, so that a slow hash would protect nothing more.
    return hashlib.sha256(text.encode()).hexdigest()
