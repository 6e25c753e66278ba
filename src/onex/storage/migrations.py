"""Numbered migrations: the steps by which a database gets the schema that this onex knows."""

from __future__ import annotations

import re
from importlib import resources

_MIGRATION = re.compile(r"(\d{4})_\w+\.sql")


def read_migrations(package: str, name: str) -> dict[int, str]:
    """The scripts in the folder ``migrations/name`` of a package, by their numbers."""
    folder = resources.files(package) / "migrations" / name
    found = {}
    for entry in folder.iterdir():
        match = _MIGRATION.fullmatch(entry.name)
        if match:
            found[int(match[1])] = entry.read_text(encoding="utf-8")
    return found
