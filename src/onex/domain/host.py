"""What a manifest's ``compatibility`` says of the machine that would run the node."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass

from onex.domain.constraint import VersionConstraint
from onex.domain.errors import ConstraintError
from onex.domain.json_value import JsonObject
from onex.domain.version import Version


@dataclass(frozen=True, slots=True)
class HostEnvironment:
    """The machine: its Python's version, and its platform as ``sys.platform`` names it."""

    python: Version
    platform: str

    @classmethod
    def current(cls) -> HostEnvironment:
        """The machine that this runs on."""
        return cls(Version(*sys.version_info[:3]), sys.platform)

    def unavailable_reason(self, manifest_extra: JsonObject) -> str | None:
        """Why a node cannot run here, or None if it can.

        A requirement that is not a version range is taken to ask for nothing.
        """
        compatibility = manifest_extra.get("compatibility")
        if not isinstance(compatibility, Mapping):
            return None
        required = compatibility.get("required_python") or compatibility.get("python")
        if isinstance(required, str) and not self._has_python(required):
            return f"needs Python {required}, and this is {self.python}"
        platforms = compatibility.get("supported_platforms")
        if isinstance(platforms, list) and platforms and self.platform not in platforms:
            named = ", ".join(map(str, platforms))
            return f"runs on {named}, and this is {self.platform}"
        return None

    def _has_python(self, required: str) -> bool:
        try:
            return VersionConstraint.parse(required).allows(self.python)
        except ConstraintError:
            return True
