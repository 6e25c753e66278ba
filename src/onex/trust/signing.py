"""Signing and checking with Ed25519 (RFC 8032), and the files that private keys are kept in."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from onex.domain.envelope import Envelope, EnvelopeSignature
from onex.domain.errors import Location
from onex.domain.public_key import PublicKey
from onex.domain.trust_errors import KeyUnusableError
from onex.local_machine import make_folder

if TYPE_CHECKING:
    # It takes 15 ms to import, which commands without signatures do not pay for.
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (
        Ed25519PrivateKey,
        Ed25519PublicKey,
    )

PASSPHRASE_VARIABLE = "ONEX_KEY_PASSPHRASE"
PUBLIC_SUFFIX = ".pub"
MAXIMUM_KEY_BYTES = 64 * 1024
_SSH_MARK = b"-----BEGIN OPENSSH PRIVATE KEY-----"

Passphrase = Callable[[Path], str | None]
"""Is asked for the passphrase of a key file; None if nobody can say it."""


class SigningKey:
    """A private key. Its bytes are in no message."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        self.private = key
        raw = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.public = PublicKey(raw)

    @classmethod
    def generate(cls) -> SigningKey:
        """A new key, from the random numbers of the operating system."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def read(cls, file: Path, passphrase: Passphrase) -> SigningKey:
        """Read a key file: PEM (PKCS 8), or OpenSSH's.

        Raises:
            KeyUnusableError: it is not there, others can read it, it is no Ed25519 key, or its
                passphrase is another one.
        """
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import (
            load_pem_private_key,
            load_ssh_private_key,
        )

        content = _private_content(file)
        load = load_ssh_private_key if _SSH_MARK in content else load_pem_private_key
        try:
            try:
                key = load(content, None)
            except TypeError:
                words = passphrase(file)
                if words is None:
                    raise KeyUnusableError(
                        f"the key in {file} needs a passphrase",
                        hint=f"set {PASSPHRASE_VARIABLE}, or sign at a terminal",
                        location=Location(str(file)),
                    ) from None
                key = load(content, words.encode())
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise KeyUnusableError(
                f"{file} is no private key, or its passphrase is another one",
                hint="make one with onex trust keygen, or name an Ed25519 key of OpenSSH",
                location=Location(str(file)),
            ) from error
        if not isinstance(key, Ed25519PrivateKey):
            raise KeyUnusableError(
                f"{file} holds a key of another kind than Ed25519",
                hint="make one with onex trust keygen, or ssh-keygen -t ed25519",
                location=Location(str(file)),
            )
        return cls(key)

    def write(self, file: Path, passphrase: str | None = None) -> None:
        """Write a new key file that only its owner can read, and the public key beside it (.pub).

        Raises:
            KeyUnusableError: there is a file, which is left alone.
            OSError: it cannot be written.
        """
        from cryptography.hazmat.primitives.serialization import (
            BestAvailableEncryption,
            Encoding,
            NoEncryption,
            PrivateFormat,
        )

        secret = BestAvailableEncryption(passphrase.encode()) if passphrase else NoEncryption()
        content = self.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, secret)
        public = file.with_name(file.name + PUBLIC_SUFFIX)
        if file.suffix == PUBLIC_SUFFIX or public.exists():
            named = file if file.suffix == PUBLIC_SUFFIX else public
            raise KeyUnusableError(
                f"{named} is, or is named as, a public key, and was left alone",
                hint="name another file, or move it away",
                location=Location(str(named)),
            )
        if not file.parent.is_dir():
            make_folder(file.parent)
        try:
            descriptor = os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        except FileExistsError as error:
            raise KeyUnusableError(
                f"{file} is there already, and was left alone",
                hint="name another file, or move it away",
                location=Location(str(file)),
            ) from error
        try:
            with os.fdopen(descriptor, "wb") as opened:
                opened.write(content)
                opened.flush()
                os.fsync(opened.fileno())
            public.write_text(f"{self.public}\n", encoding="ascii")
        except BaseException:
            # A half of a key is worse than none.
            file.unlink(missing_ok=True)
            raise

    def sign_bytes(self, content: bytes) -> bytes:
        """The signature over bytes."""
        return self.private.sign(content)

    def sign(self, envelope: Envelope) -> Envelope:
        """An envelope with this key's signature, beside those of others."""
        others = tuple(s for s in envelope.signatures if s.key_id != str(self.public))
        own = EnvelopeSignature(str(self.public), self.sign_bytes(envelope.signed_bytes))
        return Envelope(envelope.payload_type, envelope.payload, (*others, own))


def claimed_signers(envelope: Envelope) -> frozenset[PublicKey]:
    """The keys that an envelope names, for envelopes whose signatures were checked before."""
    found = set()
    for one in envelope.signatures:
        with contextlib.suppress(ValueError):
            found.add(PublicKey.parse(one.key_id))
    return frozenset(found)


def with_true_signatures(envelope: Envelope) -> Envelope:
    """The same envelope, without signatures that are not true of it."""
    true = {str(key) for key in signers_of(envelope)}
    kept = tuple(one for one in envelope.signatures if one.key_id in true)
    return Envelope(envelope.payload_type, envelope.payload, kept)


def signers_of(envelope: Envelope) -> frozenset[PublicKey]:
    """The keys by which an envelope is truly signed, whosever they are."""
    found = set()
    for one in envelope.signatures:
        try:
            key = PublicKey.parse(one.key_id)
        except ValueError:
            continue
        if is_signed(key, one.signature, envelope.signed_bytes):
            found.add(key)
    return frozenset(found)


def is_signed(key: PublicKey, signature: bytes, content: bytes) -> bool:
    """Whether a key signed bytes."""
    from cryptography.exceptions import InvalidSignature

    try:
        _loaded(key.content).verify(signature, content)
    except InvalidSignature:
        return False
    return True


@lru_cache(maxsize=256)
def _loaded(content: bytes) -> Ed25519PublicKey:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    return Ed25519PublicKey.from_public_bytes(content)


def _private_content(file: Path) -> bytes:
    """The bytes of a key file that nobody else can read; raises KeyUnusableError."""
    try:
        with file.open("rb") as opened:
            status = os.fstat(opened.fileno())
            content = opened.read(MAXIMUM_KEY_BYTES)
    except OSError as error:
        raise KeyUnusableError(
            f"the key {file} cannot be read: {error.strerror}",
            hint="make one with onex trust keygen, or name another with --key",
            location=Location(str(file)),
        ) from error
    if os.name == "posix" and status.st_mode & 0o077:
        raise KeyUnusableError(
            f"others can read the key {file}",
            hint=f"chmod 600 {file}; if somebody may have read it, make another",
            location=Location(str(file)),
        )
    return content
