"""SignedHead: the size and the root of a log, to which its registry is held from then on.

Source: RFC 9162, section 2.1; an envelope of DSSE around the head. A reader remembers the last head
it saw: a registry that shows another history from then on is found out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Self

from onex.domain.envelope import Envelope
from onex.domain.json_value import (
    JsonObject,
    as_count,
    as_object,
    as_text,
    canonical_json,
    parse_json,
)
from onex.domain.public_key import PublicKey
from onex.trust.signing import SigningKey, signers_of

HEAD_TYPE = "application/vnd.onex.log-head+json"
_ROOT = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class SignedHead:
    """The size and the root of a log at some time, which its registry signed.

    ``root`` is in hexadecimal, ``time`` an RFC 3339 timestamp in UTC.
    """

    registry: str
    size: int
    root: str
    time: str
    envelope: Envelope

    @classmethod
    def sign(cls, registry: str, size: int, root: bytes, time: str, key: SigningKey) -> Self:
        """Sign a head."""
        body: JsonObject = {"registry": registry, "size": size, "root": root.hex(), "time": time}
        envelope = key.sign(Envelope(HEAD_TYPE, canonical_json(body).encode()))
        return cls(registry, size, root.hex(), time, envelope)

    @classmethod
    def parse(cls, content: str | bytes) -> Self:
        """Read a head, which may be hostile; raises ValueError if it is none."""
        envelope = Envelope.parse(content)
        if envelope.payload_type != HEAD_TYPE:
            raise ValueError("it is no head of a log")
        try:
            body = as_object(parse_json(envelope.payload))
            root, time = as_text(body["root"]), as_text(body["time"])
            if not _ROOT.fullmatch(root):
                raise ValueError("its root is no hash")
            datetime.fromisoformat(time)
            return cls(as_text(body["registry"]), as_count(body["size"]), root, time, envelope)
        except (KeyError, TypeError) as error:
            raise ValueError(f"it is no head of a log: {error}"[:200]) from error

    def is_signed_by_any(self, keys: Iterable[PublicKey]) -> bool:
        """Whether one of some keys signed it."""
        return not signers_of(self.envelope).isdisjoint(keys)

    def to_json(self) -> JsonObject:
        """The head as commands print it."""
        signature = self.envelope.to_json() if self.envelope.signatures else None
        return {"size": self.size, "root": self.root, "time": self.time, "signature": signature}
