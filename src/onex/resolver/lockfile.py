"""Lockfile: a resolution written down, so that it is found again elsewhere and later.

The text is TOML, sorted and one fact to a line, so that differences read well.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from onex.domain.constraint import VersionConstraint
from onex.domain.errors import (
    ConfigurationError,
    DigestMismatchError,
    OnexError,
    OutdatedLockError,
)
from onex.domain.json_value import JsonObject, JsonValue, as_list, as_object, as_text, as_texts
from onex.domain.metadata import RegisteredNode
from onex.domain.reference import NodeId
from onex.domain.version import Version

LOCKFILE = "onex.lock"
LOCK_FORMAT = 1


@dataclass(frozen=True, slots=True)
class LockedNode:
    """One chosen version: its digest, its source, and the chosen versions it needs."""

    version: Version
    digest: str
    source: str
    dependencies: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Lockfile:
    """What was asked for, and what was chosen, by full name."""

    requirements: Mapping[str, VersionConstraint] = field(default_factory=dict)
    nodes: Mapping[str, LockedNode] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> Lockfile:
        """Read a lockfile.

        Raises:
            ConfigurationError: the text is not a lockfile of this format.
        """
        try:
            body = _known_format(as_object(tomllib.loads(text)))
            requirements = as_object(body.get("requirements", {}))
            entries = [as_object(entry) for entry in as_list(body.get("node", []))]
            return cls(
                {n: VersionConstraint.parse(as_text(c)) for n, c in requirements.items()},
                {str(NodeId.parse(as_text(e["node"]))): _locked(e) for e in entries},
            )
        except (ValueError, TypeError, KeyError, OnexError) as error:
            raise ConfigurationError(
                f"{LOCKFILE} cannot be read: {error}", hint="run onex lock to write it again"
            ) from error

    @classmethod
    def of(
        cls,
        requirements: Mapping[str, VersionConstraint],
        selected: Mapping[NodeId, RegisteredNode],
        needs: Mapping[str, Iterable[str]],
    ) -> Lockfile:
        """The lock of a resolution; ``needs`` names for each node those it needs."""
        versions = {str(node): str(chosen.metadata.version) for node, chosen in selected.items()}
        return cls(
            dict(requirements),
            {
                str(node): LockedNode(
                    chosen.metadata.version,
                    chosen.digest,
                    chosen.source,
                    tuple(f"{n}@{versions[n]}" for n in sorted(needs[str(node)])),
                )
                for node, chosen in selected.items()
            },
        )

    def to_toml(self) -> str:
        """The text of the lockfile; the same lock always gives the same text."""
        lines = ["# Written by onex lock.", f"format = {LOCK_FORMAT}", "", "[requirements]"]
        lines += [f"{_quote(n)} = {_quote(str(c))}" for n, c in sorted(self.requirements.items())]
        for name, node in sorted(self.nodes.items()):
            lines += [
                "",
                "[[node]]",
                f"node = {_quote(name)}",
                f"version = {_quote(str(node.version))}",
                f"digest = {_quote(node.digest)}",
                f"source = {_quote(node.source)}",
                "dependencies = [",
                *(f"    {_quote(dependency)}," for dependency in node.dependencies),
                "]",
            ]
        return "\n".join(lines) + "\n"

    def to_json(self) -> dict[str, JsonValue]:
        """The lock in the shape that ``lock`` prints."""
        return {
            "requirements": {name: str(c) for name, c in sorted(self.requirements.items())},
            "nodes": [
                {
                    "node": name,
                    "version": str(node.version),
                    "digest": node.digest,
                    "source": node.source,
                    "dependencies": list(node.dependencies),
                }
                for name, node in sorted(self.nodes.items())
            ],
        }

    def to_resolved_versions(self) -> dict[str, JsonValue]:
        """The chosen version of each node by full name, for other ONEX tools."""
        return {name: str(node.version) for name, node in self.nodes.items()}

    def without(self, names: Sequence[str]) -> Lockfile:
        """The lock with some nodes free to move."""
        kept = {name: node for name, node in self.nodes.items() if name not in names}
        return Lockfile(self.requirements, kept)

    def require(self, selected: Mapping[NodeId, RegisteredNode]) -> None:
        """Hold a resolution to the lock, if the lock has any of its nodes.

        Raises:
            DigestMismatchError: a chosen version has another digest than the lock.
            OutdatedLockError: a chosen version is not the locked one, or not locked.
        """
        if any(str(node) in self.nodes for node in selected):
            self._check_digests(selected)
            departures = self._departures(selected)
            if departures:
                raise OutdatedLockError("; ".join(departures), hint="run onex lock")

    def _check_digests(self, selected: Mapping[NodeId, RegisteredNode]) -> None:
        for node, chosen in selected.items():
            locked = self.nodes.get(str(node))
            if locked is None or locked.version != chosen.metadata.version:
                continue
            if locked.digest != chosen.digest:
                raise DigestMismatchError(
                    f"the files of {chosen.metadata.node_version} are not those in {LOCKFILE}",
                    hint="look at the change, then run onex lock to accept it",
                    details={"expected": locked.digest, "found": chosen.digest},
                )

    def _departures(self, selected: Mapping[NodeId, RegisteredNode]) -> list[str]:
        """Where a resolution differs from the lock, in words."""
        found = []
        for node, chosen in selected.items():
            locked = self.nodes.get(str(node))
            version = chosen.metadata.version
            if locked is None:
                found.append(f"{node}@{version} is not in {LOCKFILE}")
            elif locked.version != version:
                found.append(f"{node} is {locked.version} in {LOCKFILE}, and must be {version}")
        return found


def _known_format(body: JsonObject) -> JsonObject:
    if body.get("format") != LOCK_FORMAT:
        raise ValueError(f"its format is {body.get('format')}, not {LOCK_FORMAT}")
    return body


def _locked(entry: Mapping[str, JsonValue]) -> LockedNode:
    return LockedNode(
        Version.parse(as_text(entry["version"])),
        as_text(entry["digest"]),
        as_text(entry["source"]),
        as_texts(entry.get("dependencies", [])),
    )


def _quote(text: str) -> str:
    """A TOML basic string."""
    escaped = "".join(
        f"\\{c}" if c in '"\\' else c if c.isprintable() else f"\\U{ord(c):08X}" for c in text
    )
    return f'"{escaped}"'
