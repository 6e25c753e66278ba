"""Permissions: what a node asks to touch, as ``kind:resource``."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass

from onex.domain.errors import InvalidPermissionError

PERMISSION_KINDS = (
    "artifact.read",
    "artifact.write",
    "environment.read",
    "file.read",
    "file.write",
    "network.connect",
    "process.execute",
    "registry.read",
    "registry.write",
    "secret.access",
)

_WORDS = {
    "artifact.read": "may read the artifact",
    "artifact.write": "may write the artifact",
    "environment.read": "may read the environment variable",
    "file.read": "may read",
    "file.write": "may read and change",
    "network.connect": "may connect to",
    "process.execute": "may run the program",
    "registry.read": "may ask the registry for",
    "registry.write": "may change in the registry",
    "secret.access": "may use the secret",
}

_TREE_SUFFIX = "/**"
_HOST = re.compile(
    r"(?P<host>(?:\*\.)?[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])"
    r"(?::(?P<port>[0-9]{1,5}))?",
    re.ASCII,
)
_GLOB_CHARACTERS = frozenset("*?[")


@dataclass(frozen=True, slots=True, order=True)
class Permission:
    """One request or grant.

    Resources by kind: files take an exact absolute path, or a tree written
    ``/path/**``; networks take ``host[:port]`` or ``*.host[:port]``; the other
    kinds take a plain name.
    """

    kind: str
    resource: str

    @classmethod
    def parse(cls, text: str) -> Permission:
        """Read ``kind:resource``.

        Raises:
            InvalidPermissionError: the kind is unknown, or the resource has a
                form that could not be enforced exactly as written.
        """
        kind, separator, resource = text.partition(":")
        if not separator:
            raise InvalidPermissionError(
                f"{text!r} is not a permission",
                hint="write kind:resource, such as file.read:/data/**",
            )
        return cls.of(kind, resource)

    @classmethod
    def of(cls, kind: str, resource: str) -> Permission:
        """Check and normalise a kind and a resource; raises as ``parse`` does."""
        if kind not in PERMISSION_KINDS:
            raise InvalidPermissionError(
                f"{kind!r} is not a kind of permission",
                hint="known kinds: " + ", ".join(PERMISSION_KINDS),
            )
        if not resource or "\0" in resource:
            raise InvalidPermissionError(
                f"the permission {kind} names no resource", hint=f"write {kind}:RESOURCE"
            )
        if kind.startswith("file."):
            return cls(kind, _file_resource(resource))
        if kind == "network.connect":
            return cls(kind, _network_resource(resource))
        if _GLOB_CHARACTERS & set(resource):
            raise InvalidPermissionError(
                f"{kind}:{resource} holds a pattern, and {kind} takes exact names",
                hint="ask for each name on its own",
            )
        return cls(kind, resource)

    @staticmethod
    def is_permission(text: str) -> bool:
        """Whether an entry of ``capabilities`` is meant as a permission rather than a word."""
        return text.partition(":")[0] in PERMISSION_KINDS and ":" in text

    def covers(self, other: Permission) -> bool:
        """Whether holding this permission allows what the other asks for."""
        if self.kind != other.kind:
            return False
        if self.resource == other.resource:
            return True
        if self.kind.startswith("file.") and self.resource.endswith(_TREE_SUFFIX):
            root = self.resource.removesuffix(_TREE_SUFFIX)
            wanted = other.resource.removesuffix(_TREE_SUFFIX)
            return wanted == root or wanted.startswith(root + "/")
        if self.kind == "network.connect":
            return _network_covers(self.resource, other.resource)
        return False

    def overlaps(self, other: Permission) -> bool:
        """Whether there is anything that both allow; writing a file allows reading it."""
        if self.kind != other.kind:
            return {self.kind, other.kind} == {"file.read", "file.write"} and self.overlaps(
                Permission(self.kind, other.resource)
            )
        if self.covers(other) or other.covers(self):
            return True
        if self.kind == "process.execute":
            return posixpath.basename(self.resource) == posixpath.basename(other.resource)
        if self.kind != "network.connect":
            return False
        one, two = _HOST.fullmatch(self.resource), _HOST.fullmatch(other.resource)
        if one is None or two is None or not _same_or_none(one["port"], two["port"]):
            return False
        return _network_covers(one["host"], two["host"]) or _network_covers(
            two["host"], one["host"]
        )

    @property
    def path(self) -> str:
        """The file, or the folder of a tree, of ``file.read`` and ``file.write``."""
        return self.resource.removesuffix(_TREE_SUFFIX) or "/"

    def in_words(self) -> str:
        """What the permission allows, as a sentence without its subject."""
        resource = self.resource
        if self.kind.startswith("file.") and resource.endswith(_TREE_SUFFIX):
            resource = f"everything below {resource.removesuffix(_TREE_SUFFIX) or '/'}"
        return f"{_WORDS[self.kind]} {resource}"

    def __str__(self) -> str:
        return f"{self.kind}:{self.resource}"


def _file_resource(resource: str) -> str:
    is_tree = resource.endswith(_TREE_SUFFIX)
    path = resource.removesuffix(_TREE_SUFFIX) if is_tree else resource
    if is_tree and path == "":
        return _TREE_SUFFIX
    if _GLOB_CHARACTERS & set(path):
        raise InvalidPermissionError(
            f"the pattern {resource!r} cannot be enforced exactly",
            hint="name one path, or a whole tree as /path/**",
        )
    if not path.startswith("/") or ".." in path.split("/"):
        raise InvalidPermissionError(
            f"{resource!r} is not an absolute path", hint="write the path from / and without .."
        )
    normal = posixpath.normpath(path)
    return normal + _TREE_SUFFIX if is_tree else normal


def _network_resource(resource: str) -> str:
    match = _HOST.fullmatch(resource)
    if match is None or (match["port"] and not 0 < int(match["port"]) < 65536):
        raise InvalidPermissionError(
            f"{resource!r} is not a host", hint="write host, host:port or *.host:port"
        )
    return resource.lower()


def _same_or_none(one: str | None, other: str | None) -> bool:
    return one is None or other is None or one == other


def _network_covers(granted: str, wanted: str) -> bool:
    granted_match, wanted_match = _HOST.fullmatch(granted), _HOST.fullmatch(wanted)
    if granted_match is None or wanted_match is None:
        return False
    if granted_match["port"] and granted_match["port"] != wanted_match["port"]:
        return False
    host, asked = granted_match["host"], wanted_match["host"]
    return host == asked or (host.startswith("*.") and asked.endswith(host[1:]))
