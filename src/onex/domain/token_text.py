"""The text of a token: a prefix, random characters, and a checksum that scanners can test."""

from __future__ import annotations

import re
import secrets
import zlib

TOKEN_PREFIX = "onex_"

_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_SECRET_CHARACTERS, _CHECKSUM_CHARACTERS = 36, 6
TOKEN = re.compile(
    rb"%s[0-9A-Za-z]{%d}" % (TOKEN_PREFIX.encode(), _SECRET_CHARACTERS + _CHECKSUM_CHARACTERS)
)
"""What looks like a token in the bytes of a file."""


def new_token_text() -> str:
    """The text of a new token, with 214 random bits."""
    secret = "".join(secrets.choice(_ALPHABET) for _ in range(_SECRET_CHARACTERS))
    return TOKEN_PREFIX + secret + _checksum(secret)


def is_token_text(text: str) -> bool:
    """Whether a text has the form of a token, with a checksum that fits."""
    if not (text.isascii() and TOKEN.fullmatch(text.encode())):
        return False
    secret = text[len(TOKEN_PREFIX) : -_CHECKSUM_CHARACTERS]
    return text.endswith(_checksum(secret))


def _checksum(secret: str) -> str:
    number, digits = zlib.crc32(secret.encode()), []
    for _ in range(_CHECKSUM_CHARACTERS):
        number, digit = divmod(number, len(_ALPHABET))
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits))
