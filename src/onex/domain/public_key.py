"""PublicKey: an Ed25519 key (RFC 8032) by which signatures are checked."""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass
from typing import Self

KEY_BYTES = 32
_PREFIX = "ed25519:"
_SSH_TYPE = "ssh-ed25519"
# The wire format of RFC 8709, section 4: the name of the type, then the key, each after its length.
_SSH_START = b"\x00\x00\x00\x0bssh-ed25519\x00\x00\x00\x20"


@dataclass(frozen=True, slots=True, order=True)
class PublicKey:
    """The 32 bytes of the key."""

    content: bytes

    def __post_init__(self) -> None:
        if len(self.content) != KEY_BYTES:
            raise ValueError(f"an Ed25519 key has {KEY_BYTES} bytes, not {len(self.content)}")

    @property
    def id(self) -> str:
        """The SHA-256 of the key in hexadecimal, by which signatures name it."""
        return hashlib.sha256(self.content).hexdigest()

    @property
    def short_id(self) -> str:
        """As much of the identifier as people read."""
        return self.id[:16]

    def __str__(self) -> str:
        return _PREFIX + base64.b64encode(self.content).decode()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``ed25519:BASE64``, or a line of an OpenSSH public key file.

        Raises:
            ValueError: the text is neither.
        """
        words = text.split()
        try:
            if len(words) == 1 and words[0].startswith(_PREFIX):
                return cls(base64.b64decode(words[0].removeprefix(_PREFIX), validate=True))
            if len(words) >= 2 and words[0] == _SSH_TYPE:
                content = base64.b64decode(words[1], validate=True)
                if content.startswith(_SSH_START):
                    return cls(content.removeprefix(_SSH_START))
        except binascii.Error:
            pass
        raise ValueError("it is no Ed25519 public key: write ed25519:BASE64, or ssh-ed25519 BASE64")
