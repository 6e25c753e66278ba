"""How the signed index is laid out: roles, names of files and targets, and how long each is good.

Source: The Update Framework, specification 1.0.33, and TAP 15 (succinct hash bin delegations). The
metadata lie below ``metadata/`` in the tree of a registry, with consistent snapshots. A target goes
by the SHA-256 of its path, so that metadata which everybody may read name no private node.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from onex.domain.public_key import PublicKey

METADATA_FOLDER = "metadata"
TIMESTAMP_PATH = f"{METADATA_FOLDER}/timestamp.json"
ROOT, TARGETS, SNAPSHOT, TIMESTAMP = "root", "targets", "snapshot", "timestamp"

LOG_HEAD = "log-head"
"""What the signed head of the log is stored as, beside the metadata."""

BIN_PREFIX = "bin"
BIN_BITS = 10
"""1,024 bins: at 100,000 nodes each has about 17 kB, and the snapshot that lists them 34 kB."""

SERIAL_FIELD = "x-onex-serial"
"""The member of the timestamp that says as of which entry of the log the index was signed."""

LIFETIMES = {
    ROOT: timedelta(days=365),
    TARGETS: timedelta(days=365),
    BIN_PREFIX: timedelta(days=365),
    SNAPSHOT: timedelta(days=30),
    TIMESTAMP: timedelta(days=7),
}
"""How long what is signed is good; a reader refuses it afterwards."""

SIGNED_DAILY = (SNAPSHOT, TIMESTAMP)
"""The roles that are signed again whenever something changes."""

_NAME = re.compile(
    r"(?:(?P<version>[1-9]\d{0,17})\.)?(?P<role>root|targets|snapshot|timestamp|bin-[0-9a-f]{3})\.json"
)


def target_name(path: str) -> str:
    """The name of a file of the tree among the targets."""
    return hashlib.sha256(path.encode()).hexdigest()


def metadata_path(role: str, version: int | None = None) -> str:
    """The path of the metadata of a role in some version; of the timestamp, without one."""
    return (
        f"{METADATA_FOLDER}/{role}.json"
        if version is None
        else (f"{METADATA_FOLDER}/{version}.{role}.json")
    )


def metadata_of_path(path: str) -> tuple[str, int | None] | None:
    """The role and the version that a path names; None for a path of something else."""
    folder, _, name = path.partition("/")
    match = _NAME.fullmatch(name)
    if folder != METADATA_FOLDER or match is None:
        return None
    version = match["version"]
    if (version is None) != (match["role"] == TIMESTAMP):
        return None
    return match["role"], None if version is None else int(version)


def fingerprint_of(root: bytes) -> str:
    """What a root is pinned by: the SHA-256 of its bytes."""
    return "sha256:" + hashlib.sha256(root).hexdigest()


def online_keys_of(root: Mapping[str, Any]) -> list[PublicKey]:
    """The keys that a root trusts for daily signing, which sign heads of the log too."""
    keys = (root["keys"][key_id] for key_id in root["roles"][TIMESTAMP]["keyids"])
    return [
        PublicKey(bytes.fromhex(key["keyval"]["public"]))
        for key in keys
        if key["keytype"] == "ed25519"
    ]
