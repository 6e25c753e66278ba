"""Evidence: what a registry shows for a release, and the level of trust that a reader gave it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from onex.domain.envelope import Envelope
from onex.domain.json_value import (
    JsonObject,
    JsonValue,
    as_count,
    as_list,
    as_object,
    as_optional_text,
    as_text,
)

MAXIMUM_STATEMENTS = 8
_YET_TO_COME = 2**62
"""Stands for an entry of the log that is yet to come."""


class TrustLevel(StrEnum):
    """What speaks for a node version, from nothing to its owners.

    ``REFUSED`` is what must not be used, ``LOCAL`` what lies in a folder on this machine.
    """

    REFUSED = "refused"
    UNVERIFIED = "unverified"
    SIGNED = "signed"
    VERIFIED = "verified"
    LOCAL = "local"

    def reaches(self, other: TrustLevel) -> bool:
        """Whether it is this level or a higher one."""
        order = list(TrustLevel)
        return order.index(self) >= order.index(other)


@dataclass(frozen=True, slots=True)
class SignedStatement:
    """A statement about a release, and the entry of the registry's log that has it.

    ``time`` is an RFC 3339 timestamp in UTC, ``entry`` the hash of the entry.
    """

    envelope: Envelope
    serial: int
    time: str
    entry: str = ""

    def to_json(self) -> JsonObject:
        return {
            "envelope": self.envelope.to_json(),
            "serial": self.serial,
            "time": self.time,
            "entry": self.entry,
        }

    @classmethod
    def from_json(cls, value: JsonValue) -> Self:
        """Read what ``to_json`` wrote, which may be hostile.

        Raises:
            KeyError, TypeError, ValueError: it is none.
        """
        body = as_object(value)
        return cls(
            Envelope.from_json(body["envelope"]),
            as_count(body["serial"]),
            as_text(body["time"]),
            as_text(body.get("entry", "")),
        )


def read_statements(value: JsonValue) -> tuple[SignedStatement, ...]:
    """The statements of a release; raises KeyError, TypeError, ValueError."""
    found = as_list(value)
    if len(found) > MAXIMUM_STATEMENTS:
        raise ValueError(f"there are more than {MAXIMUM_STATEMENTS} statements about a release")
    return tuple(map(SignedStatement.from_json, found))


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a registry shows for a release, and the level that a reader found it to have.

    ``published_at`` is an RFC 3339 timestamp in UTC; ``serial`` is the entry of that registry's
    log by which it was published; ``reason`` is why it is refused, if it is.
    ``logged`` is the size of the log under whose signed head it was proved to be in the log, and
    ``registry`` identifies the registry.
    """

    published_at: str
    serial: int
    statements: tuple[SignedStatement, ...] = ()
    level: TrustLevel = TrustLevel.UNVERIFIED
    reason: str | None = None
    logged: int | None = None
    registry: str = ""

    def to_json(self) -> JsonObject:
        return {
            "published_at": self.published_at,
            "serial": self.serial,
            "statements": [one.to_json() for one in self.statements],
            "level": self.level.value,
            "reason": self.reason,
            "logged": self.logged,
            "registry": self.registry,
        }

    @classmethod
    def of_unpublished(cls, envelope: Envelope | None, now: str) -> Self:
        """What there is for a release that no log has yet: at most one statement about it."""
        statements = () if envelope is None else (SignedStatement(envelope, _YET_TO_COME, now),)
        return cls(now, _YET_TO_COME, statements)

    @classmethod
    def from_json(cls, value: JsonValue) -> Self:
        """Read what ``to_json`` wrote; raises KeyError, TypeError, ValueError."""
        body = as_object(value)
        return cls(
            as_text(body["published_at"]),
            as_count(body["serial"]),
            read_statements(body["statements"]),
            TrustLevel(as_text(body["level"])),
            as_optional_text(body["reason"]),
            None if body["logged"] is None else as_count(body["logged"]),
            as_text(body["registry"]),
        )
