"""NodeRecord: a node version as a storage keeps it, made once from its metadata."""

from __future__ import annotations

import re
import string
from collections.abc import Iterable
from typing import NamedTuple

from onex.domain.json_value import canonical_json
from onex.domain.lifecycle import preference
from onex.domain.metadata import NodeMetadata
from onex.domain.reference import NodeId, NodeVersion
from onex.domain.version import Version

MAXIMUM_WORD_LENGTH = 64
MAXIMUM_WORDS = 2_000

_WORD = re.compile(r"[^\W_]+", re.UNICODE)
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def words_of(text: str) -> list[str]:
    """The words of a text in lower case; ``parseFile_v2`` gives parse, file and v2."""
    found = _WORD.findall(_CAMEL.sub(" ", text).lower())
    return [word[:MAXIMUM_WORD_LENGTH] for word in found[:MAXIMUM_WORDS]]


def joined(texts: Iterable[str]) -> str:
    """The words of several texts in one."""
    return " ".join(word for text in texts for word in words_of(text))


def neighbours_of(word: str) -> set[str]:
    """The words at Damerau-Levenshtein distance one, and the word itself.

    A slip leaves a character out, adds one, takes another one, or swaps two
    (F. J. Damerau, "A technique for computer detection and correction of spelling errors",
    1964). Characters are those of the word, the letters of English and the digits.
    """
    characters = sorted({*string.ascii_lowercase, *string.digits, *word})
    splits = [(word[:i], word[i:]) for i in range(len(word) + 1)]
    found = {word}
    found.update(start + end[1:] for start, end in splits if end)
    found.update(start + end[1] + end[0] + end[2:] for start, end in splits if len(end) > 1)
    found.update(start + c + end[1:] for start, end in splits if end for c in characters)
    found.update(start + c + end for start, end in splits for c in characters)
    return found - {""}


MAXIMUM_README_CHARACTERS = 8_192
# The members of metadata from which labels are made.
LABELLED_MEMBERS = ("tags", "capabilities", "permissions", "dependencies")


class NodeRecord(NamedTuple):
    """What is stored of one node version.

    ``body`` is the metadata as canonical JSON; the other texts are for queries and
    follow from it. ``labels`` pair a kind (``tag``, ``capability``, ``permission``,
    ``needs``) with a word; ``search`` holds the words of names, tags, description
    and README; ``sort_key`` orders listings.
    """

    type: str
    namespace: str
    version: str
    version_order: str
    sort_key: str
    preference: int
    name: str
    uuid: str | None
    lifecycle: str
    author: str
    description: str
    digest: str
    body: str
    label: str
    labels: list[tuple[str, str]]
    search: tuple[str, str, str, str]

    @classmethod
    def of(cls, metadata: NodeMetadata, digest: str, readme: str = "") -> NodeRecord:
        """The record of metadata, the digest of the node's files, and its README's text."""
        node = metadata.node
        labels = [("tag", storable(tag)) for tag in metadata.tags]
        labels += [("capability", storable(word)) for word in metadata.capabilities]
        labels += [("permission", storable(str(permission))) for permission in metadata.permissions]
        labels += [
            ("needs", str(dependency.reference.node or dependency.reference.name))
            for dependency in metadata.dependencies
        ]
        order = version_order(metadata.version)
        return cls(
            type=node.type,
            namespace=node.namespace,
            version=stored_version(metadata.version),
            version_order=order,
            sort_key=f"{node.namespace}\x01{node.type}\x01{order}",
            preference=preference(metadata.version, metadata.lifecycle),
            name=metadata.name,
            uuid=metadata.uuid,
            lifecycle=metadata.lifecycle.value,
            author=storable(metadata.author),
            description=storable(metadata.description),
            digest=digest,
            body=canonical_json(metadata.to_json()),
            label=str(metadata.node_version),
            labels=labels,
            search=(
                joined([metadata.name, node.namespace, node.type]),
                joined([*metadata.tags, *metadata.capabilities]),
                joined([metadata.description]),
                joined([readme[:MAXIMUM_README_CHARACTERS]]),
            ),
        )

    @property
    def columns(self) -> tuple[str | int | None, ...]:
        """The values of the table of nodes, in the order of ``COLUMNS``."""
        return (
            self.type, self.namespace, self.version, self.version_order, self.sort_key,
            self.preference, self.name, self.uuid, self.lifecycle, self.author,
            self.description, self.digest, self.body,
        )  # fmt: skip

    @property
    def node_version(self) -> NodeVersion:
        """The identity of the version."""
        return NodeVersion(NodeId(self.type, self.namespace), Version.parse(self.version))


COLUMNS = NodeRecord._fields[: NodeRecord._fields.index("body") + 1]


def storable(text: str) -> str:
    """A text as every database can hold it: without NUL and halves of pairs of surrogates."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()


def version_order(version: Version) -> str:
    """A text whose binary order is the precedence of versions."""
    numbers = "".join(f"{len(digits):03}{digits}" for digits in map(str, version.triple))
    if not version.prerelease:
        return f"{numbers}~"
    parts = [
        f"0{len(str(part)):03}{part}" if isinstance(part, int) else f"1{part}"
        for part in version.prerelease
    ]
    return f"{numbers}!" + "".join(f"{part}\x01" for part in parts)


def stored_version(version: Version) -> str:
    """The version without build metadata, which does not distinguish versions."""
    return str(version).partition("+")[0]
