"""ExposePattern: which nodes and workflows are offered to agents as tools."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from onex.domain.access_control import covers, is_pattern
from onex.domain.metadata import NodeMetadata
from onex.domain.reference import NODE_TYPE

_TAG = "tag:"
_WORKFLOW_ENDINGS = (".yaml", ".yml")


@dataclass(frozen=True, slots=True)
class TagPattern:
    """The nodes that have a tag."""

    tag: str

    def fits(self, metadata: NodeMetadata) -> bool:
        """Whether it is about a node."""
        return self.tag in metadata.tags

    def __str__(self) -> str:
        return f"{_TAG}{self.tag}"


@dataclass(frozen=True, slots=True)
class NamespacePattern:
    """The nodes of a type in a namespace and all below it; ``*`` is every namespace."""

    type: str
    namespace: str

    def fits(self, metadata: NodeMetadata) -> bool:
        """Whether it is about a node."""
        node = metadata.node
        return node.type == self.type and covers(self.namespace, node.namespace)

    def __str__(self) -> str:
        return f"{self.type}://{self.namespace}"


@dataclass(frozen=True, slots=True)
class WorkflowPattern:
    """The workflow files that a glob means, from the folder of the project."""

    glob: str

    def __str__(self) -> str:
        return self.glob


NodePattern: TypeAlias = TagPattern | NamespacePattern
ExposePattern: TypeAlias = NodePattern | WorkflowPattern


def parse_expose_pattern(text: str) -> ExposePattern:
    """Read ``tag:NAME``, ``type://namespace``, ``type://namespace.*`` or a glob of workflow files.

    Raises:
        ValueError: it is none of them; the message is the rest of a sentence.
    """
    if text.startswith(_TAG) and text != _TAG:
        return TagPattern(text.removeprefix(_TAG))
    node_type, separator, namespace = text.partition("://")
    if separator and NODE_TYPE.fullmatch(node_type) and is_pattern(namespace):
        return NamespacePattern(node_type, namespace)
    parts = text.split("/")
    if text.endswith(_WORKFLOW_ENDINGS) and not separator and ".." not in parts and parts[0]:
        return WorkflowPattern(text)
    raise ValueError(
        f"{text!r} means no nodes and no workflows; write tag:NAME, tool://acme.* or"
        " a glob below the project such as *.workflow.yaml"
    )
