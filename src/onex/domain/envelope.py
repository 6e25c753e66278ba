"""Envelope: bytes with signatures over them, by the rules of DSSE.

Source: Dead Simple Signing Envelope, version 1.0 (protocol and envelope). What is signed is not the
payload alone but its type too, so that a signature of one kind of statement is good for no other.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Self

from onex.domain.json_value import (
    JsonObject,
    JsonValue,
    as_list,
    as_object,
    as_text,
    canonical_json,
    parse_json,
)

MAXIMUM_PAYLOAD_BYTES = 64 * 1024
MAXIMUM_SIGNATURES = 16
MAXIMUM_ENVELOPE_BYTES = 128 * 1024
_MAXIMUM_TEXT = 200


@dataclass(frozen=True, slots=True)
class EnvelopeSignature:
    """A signature, and the identifier of the key that is said to have made it."""

    key_id: str
    signature: bytes


@dataclass(frozen=True, slots=True)
class Envelope:
    """A payload of some type, with the signatures over both."""

    payload_type: str
    payload: bytes
    signatures: tuple[EnvelopeSignature, ...] = ()

    @property
    def signed_bytes(self) -> bytes:
        """What is signed: DSSE's pre-authentication encoding of type and payload."""
        kind = self.payload_type.encode()
        return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(self.payload), self.payload)

    def to_json(self) -> JsonObject:
        return {
            "payloadType": self.payload_type,
            "payload": base64.b64encode(self.payload).decode(),
            "signatures": [
                {"keyid": one.key_id, "sig": base64.b64encode(one.signature).decode()}
                for one in self.signatures
            ],
        }

    def __str__(self) -> str:
        return canonical_json(self.to_json())

    @classmethod
    def from_json(cls, value: JsonValue) -> Self:
        """Read an envelope, which may be hostile; raises ValueError if it is none."""
        try:
            body = as_object(value)
            kind, payload = as_text(body["payloadType"]), as_text(body["payload"])
            listed = as_list(body["signatures"])
            if len(listed) > MAXIMUM_SIGNATURES:
                raise ValueError(f"it has more than {MAXIMUM_SIGNATURES} signatures")
            if len(kind) > _MAXIMUM_TEXT or len(payload) > MAXIMUM_PAYLOAD_BYTES * 4 // 3 + 4:
                raise ValueError("its payload is too large")
            signatures = tuple(
                EnvelopeSignature(
                    as_text(one["keyid"])[:_MAXIMUM_TEXT],
                    base64.b64decode(as_text(one["sig"])[:_MAXIMUM_TEXT], validate=True),
                )
                for one in map(as_object, listed)
            )
            return cls(kind, base64.b64decode(payload, validate=True), signatures)
        except (KeyError, TypeError, binascii.Error) as error:
            raise ValueError(f"it is no signed envelope: {error}"[:200]) from error

    @classmethod
    def parse(cls, text: str | bytes) -> Self:
        """Read the text of an envelope; raises ValueError if it is none."""
        if len(text) > MAXIMUM_ENVELOPE_BYTES:
            raise ValueError(f"it has more than {MAXIMUM_ENVELOPE_BYTES} bytes")
        return cls.from_json(parse_json(text))
