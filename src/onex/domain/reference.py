"""How nodes are named: ``type://namespace`` and references with a constraint."""

from __future__ import annotations

import re
from dataclasses import dataclass

from onex.domain.constraint import LATEST, VersionConstraint
from onex.domain.errors import InvalidReferenceError, UsageError
from onex.domain.version import Version

MAXIMUM_REFERENCE_LENGTH = 512

NODE_TYPE = re.compile(r"[a-z][a-z0-9_-]{0,63}", re.ASCII)
NAMESPACE = re.compile(
    r"(?=.{1,255}\Z)[A-Za-z0-9_][A-Za-z0-9_-]*(?:\.[A-Za-z0-9_][A-Za-z0-9_-]*)*", re.ASCII
)


@dataclass(frozen=True, slots=True, order=True)
class NodeId:
    """What a node is called in every version: its type and its namespace."""

    type: str
    namespace: str

    @classmethod
    def parse(cls, text: str) -> NodeId:
        """Read ``type://namespace``.

        Raises:
            InvalidReferenceError: a part is missing or holds other characters
                than letters, digits, ``_``, ``-`` and, in namespaces, dots.
        """
        node_type, separator, namespace = text.partition("://")
        if (
            not separator
            or not NODE_TYPE.fullmatch(node_type)
            or not NAMESPACE.fullmatch(namespace)
        ):
            raise _refuse(text)
        return cls(node_type, namespace)

    def __str__(self) -> str:
        return f"{self.type}://{self.namespace}"


@dataclass(frozen=True, slots=True)
class NodeVersion:
    """One version of one node, written ``type://namespace@1.2.3``."""

    node: NodeId
    version: Version

    @classmethod
    def parse(cls, text: str) -> NodeVersion:
        """Read ``type://namespace@1.2.3``; raises InvalidReferenceError or VersionError."""
        node, _, version = text.partition("@")
        return cls(NodeId.parse(node), Version.parse(version))

    def __str__(self) -> str:
        return f"{self.node}@{self.version}"


@dataclass(frozen=True, slots=True)
class NodeRef:
    """A request for a node: a full identity or a name to look up, and a constraint.

    ``type`` is None if the reference gives only a namespace or a short name.
    """

    type: str | None
    name: str
    constraint: VersionConstraint = LATEST

    @classmethod
    def parse(cls, text: str) -> NodeRef:
        """Read ``[type://]name[@constraint]``; without a constraint any version will do.

        Raises:
            InvalidReferenceError: the name is not one that a node can have.
            ConstraintError: the part after ``@`` is not a version constraint.
        """
        if len(text) > MAXIMUM_REFERENCE_LENGTH:
            raise InvalidReferenceError(
                f"a node reference of {len(text)} characters is too long",
                hint=f"references have at most {MAXIMUM_REFERENCE_LENGTH} characters",
            )
        target, separator, constraint_text = text.strip().partition("@")
        constraint = VersionConstraint.parse(constraint_text) if separator else LATEST
        if "://" in target:
            node = NodeId.parse(target)
            return cls(node.type, node.namespace, constraint)
        if not NAMESPACE.fullmatch(target):
            raise _refuse(text)
        return cls(None, target, constraint)

    @property
    def node(self) -> NodeId | None:
        """The node's identity where the reference spells it out."""
        return None if self.type is None else NodeId(self.type, self.name)

    def one_version(self) -> Version:
        """The one version that the reference names; raises UsageError if it does not."""
        version = self.constraint.exact_version
        if version is None:
            raise UsageError(f"{str(self)!r} does not name one version", hint="write REF@1.2.3")
        return version

    def whole_version(self) -> NodeVersion:
        """The version of a node that the reference names in full; raises UsageError if not."""
        node = self.node
        if node is None:
            raise UsageError(
                f"{str(self)!r} does not name a node in full", hint="write type://namespace@1.2.3"
            )
        return NodeVersion(node, self.one_version())

    def without_constraint(self) -> str:
        """The name as it is written, without the constraint."""
        return self.name if self.type is None else f"{self.type}://{self.name}"

    def __str__(self) -> str:
        target = self.without_constraint()
        return target if self.constraint.is_latest else f"{target}@{self.constraint}"


def _refuse(text: str) -> InvalidReferenceError:
    shown = text if len(text) <= 80 else text[:77] + "..."
    return InvalidReferenceError(
        f"{shown!r} does not refer to a node",
        hint="write type://namespace@constraint, for example tool://atlas.python.parse@^1",
    )
