"""Private files: what nobody means to publish, such as keys that lie beside the code."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase

from onex.domain.token_text import TOKEN, is_token_text

_PATTERNS = (
    ".env", ".env.*", "*.env", ".netrc", ".npmrc", ".pypirc", ".git-credentials", ".htpasswd",
    "id_rsa", "id_dsa", "id_ecdsa", "id_ed25519", "*.pem", "*.key", "*.p12", "*.pfx", "*.jks",
    "*.keystore", "*.kdbx", "credentials.json", "secrets.toml", "secrets.yaml", "secrets.yml",
)  # fmt: skip
_HARMLESS = ("*.example", "*.sample", "*.template")
# RFC 7468, section 10, and what other tools write in its form.
_PRIVATE_KEY = re.compile(rb"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----")


def private_files(contents: Mapping[str, bytes]) -> Iterator[tuple[str, str]]:
    """The files that look like secrets, each with why."""
    for path, content in sorted(contents.items()):
        name = path.rpartition("/")[2].lower()
        if any(fnmatchcase(name, pattern) for pattern in _HARMLESS):
            continue
        if any(fnmatchcase(name, pattern) for pattern in _PATTERNS):
            yield path, "files of this name hold secrets"
        elif _PRIVATE_KEY.search(content):
            yield path, "it holds a private key"
        elif any(is_token_text(found.decode("ascii")) for found in TOKEN.findall(content)):
            yield path, "it holds a token of a registry"
