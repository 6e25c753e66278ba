"""Which permissions can be granted at all."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

from onex.domain.path_text import is_within
from onex.domain.permission import Permission

SYSTEM_FOLDERS = ("/proc", "/sys", "/dev", "/run")
"""Folders through which a process reaches far more than files."""


def refusal_of(permission: Permission, protected: Collection[str]) -> str | None:
    """Why a permission can be granted to nobody, in words; None if it can be.

    Args:
        permission: what is to be granted.
        protected: real paths of files and folders that no node may reach.
    """
    if not permission.kind.startswith("file."):
        return None
    path = permission.path
    real = os.path.realpath(path)
    if Path(path).is_dir() and permission.resource == path:
        return f"it is a folder, so write {permission.kind}:{path}/**"
    if real != path:
        return f"{path} leads through a link to {real}, so name that"
    if path == "/":
        return "it is the whole machine"
    if any(is_within(path, folder) for folder in SYSTEM_FOLDERS):
        return "it is a folder of the system through which other processes can be reached"
    for home in _homes():
        if is_within(home, path):
            return "it is a whole home folder"
    for place in protected:
        if is_within(place, path) or is_within(path, place):
            return f"it would open {place}, which belongs to the registry"
    return None


def _homes() -> list[str]:
    try:
        return [os.path.realpath(Path.home())]
    except (RuntimeError, KeyError):
        return []
