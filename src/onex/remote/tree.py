"""The tree of files that a registry is over the wire: the same over HTTP, in a folder, on a stick.

::

    config.json                        what the registry is, and how far its log goes
    index/TYPE/NAME/SPACE.jsonl        the versions of TYPE://NAME.SPACE, a line each
    names/NAME.jsonl                   the nodes that go by a short name, a UUID or a namespace
    owners/SPACE.jsonl                 whose keys speak for a namespace, a statement each line
    blobs/sha256/AB/ABCD...            archives, by their own digests
    log/...                            the Merkle tree of the log, and its signed head
    metadata/...                       what the registry signed of all this, if it signs its index
    changes                            which node changed with which entry of the log
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, Self

from onex.domain.errors import InvalidReferenceError, SourceError
from onex.domain.json_value import (
    JsonValue,
    as_count,
    as_object,
    as_optional_text,
    as_text,
    canonical_json,
    find_unwritable,
    parse_json,
)
from onex.domain.merkle import TILE_WIDTH
from onex.domain.reference import NAMESPACE, NodeId
from onex.domain.remote_errors import RemoteProtocolError

PROTOCOL = "onex-index"
PROTOCOL_VERSION = 1

CONFIG_PATH = "config.json"
CHANGES_PATH = "changes"
SERIAL_HEADER = "onex-at-least-serial"
"""The header with the serial that an answer must not be older than."""

LINES_SUFFIX = ".jsonl"
MAXIMUM_PART_BYTES = 200

MAXIMUM_CONFIG_BYTES = 64 * 1024
MAXIMUM_INDEX_BYTES = 32 * 1024 * 1024
MAXIMUM_LINES = 50_000
MAXIMUM_IDENTITY = 200
MAXIMUM_NAMES_BYTES = 1024 * 1024
MAXIMUM_CHANGES_BYTES = 64 * 1024 * 1024


def index_path(node: NodeId) -> str:
    """The path of the index file of a node."""
    return f"index/{node.type}/{node.namespace.replace('.', '/')}{LINES_SUFFIX}"


def node_of_path(path: str) -> NodeId | None:
    """The node whose index file has a path; None for any other path."""
    start, _, rest = path.partition("/")
    node_type, _, name = rest.partition("/")
    if start != "index" or not name.endswith(LINES_SUFFIX) or "." in name[: -len(LINES_SUFFIX)]:
        return None
    try:
        return NodeId.parse(f"{node_type}://{name[: -len(LINES_SUFFIX)].replace('/', '.')}")
    except InvalidReferenceError:
        return None


def names_path(name: str) -> str:
    """The path of the file that says which nodes go by a name."""
    return f"names/{name.replace('.', '/')}{LINES_SUFFIX}"


def name_of_path(path: str) -> str | None:
    """The name that a file of names is about; None for any other path."""
    name = path.removeprefix("names/").removesuffix(LINES_SUFFIX).replace("/", ".")
    return name if NAMESPACE.fullmatch(name) and path == names_path(name) else None


def owners_path(namespace: str) -> str:
    """The path of the file that says who owns a namespace."""
    return f"owners/{namespace.replace('.', '/')}{LINES_SUFFIX}"


def owned_of_path(path: str) -> str | None:
    """The namespace whose owners a file is about; None for any other path."""
    name = path.removeprefix("owners/").removesuffix(LINES_SUFFIX).replace("/", ".")
    return name if NAMESPACE.fullmatch(name) and path == owners_path(name) else None


LOG_HEAD_PATH = "log/head.json"
MAXIMUM_TILE_BYTES = TILE_WIDTH * 32
_TILE = re.compile(r"log/tile/(\d)/(0|[1-9]\d{0,12})")


def tile_path(level: int, index: int) -> str:
    """The path of a tile of the log's Merkle tree."""
    return f"log/tile/{level}/{index}"


def tile_of_path(path: str) -> tuple[int, int] | None:
    """The level and the index of a tile that has a path; None for any other path."""
    match = _TILE.fullmatch(path)
    return None if match is None else (int(match[1]), int(match[2]))


def blob_path(sha256: str) -> str:
    """The path of a blob, by its SHA-256 in hexadecimal."""
    return f"blobs/sha256/{sha256[:2]}/{sha256}"


@dataclass(frozen=True, slots=True)
class TreeConfig:
    """What ``config.json`` says.

    ``registry`` identifies the registry, wherever its tree is; ``serial`` is that of the last
    entry of its log; ``has_interface`` says that ``/api/v1`` takes publications and searches.
    """

    registry: str
    serial: int
    has_interface: bool = False

    def to_json(self) -> dict[str, JsonValue]:
        return {
            "protocol": PROTOCOL,
            "version": PROTOCOL_VERSION,
            "registry": self.registry,
            "serial": self.serial,
            "api": "api/v1" if self.has_interface else None,
        }

    def content(self) -> bytes:
        """The bytes of ``config.json``."""
        return (canonical_json(self.to_json()) + "\n").encode()

    @classmethod
    def parse(cls, content: bytes, place: str) -> Self:
        """Read ``config.json``; raises RemoteProtocolError if it is none."""
        try:
            body = as_object(parse_json(content))
            if body["protocol"] != PROTOCOL:
                raise ValueError(f"its protocol is {body['protocol']!r}")  # noqa: TRY301
            version = as_count(body["version"])
            registry = as_text(body["registry"])
            if find_unwritable(registry) is not None or not 0 < len(registry) <= MAXIMUM_IDENTITY:
                raise ValueError("the identity of its registry cannot be one")  # noqa: TRY301
            found = cls(
                registry,
                as_count(body["serial"]),
                as_optional_text(body.get("api")) is not None,
            )
        except (KeyError, TypeError, ValueError) as error:
            raise RemoteProtocolError(
                f"{place} is not a registry: its {CONFIG_PATH} cannot be used: {error}"[:500],
                hint="check the URL; a proxy or a network that asks for a login may have answered",
            ) from error
        if version != PROTOCOL_VERSION:
            raise RemoteProtocolError(
                f"{place} speaks version {version} of the protocol, and this onex"
                f" {PROTOCOL_VERSION}",
                hint="install a newer onex",
            )
        return found


@dataclass(frozen=True, slots=True)
class Change:
    """An entry of the log as the feed tells it.

    ``node`` is None if it changes no node, or one that the reader may not see; ``owners`` is the
    namespace whose owners it changes, if it does.
    """

    serial: int
    node: NodeId | None = None
    version: str | None = None
    action: str | None = None
    time: str | None = None
    owners: str | None = None

    @property
    def path(self) -> str | None:
        """The file of the tree that it changes beside those of names; None if it changes none."""
        if self.owners is not None:
            return owners_path(self.owners)
        return None if self.node is None else index_path(self.node)

    def to_json(self) -> dict[str, JsonValue]:
        if self.owners is not None:
            return {
                "serial": self.serial,
                "owners": self.owners,
                "action": self.action,
                "time": self.time,
            }
        if self.node is None:
            return {"serial": self.serial}
        return {
            "serial": self.serial,
            "node": str(self.node),
            "version": self.version,
            "action": self.action,
            "time": self.time,
        }


def write_lines(lines: Iterable[object]) -> bytes:
    """Texts as the lines of a file."""
    return "".join(f"{line}\n" for line in lines).encode()


def read_lines(content: bytes) -> Iterator[str]:
    """The lines of a file of the tree; raises RemoteProtocolError for what is not UTF-8."""
    if content.count(b"\n") > MAXIMUM_LINES:
        raise RemoteProtocolError(
            f"a file of the index has more than {MAXIMUM_LINES} lines",
            hint="tell those who run the registry",
        )
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise RemoteProtocolError(
            "a file of the index is not UTF-8", hint="tell those who run the registry"
        ) from error
    return (line for line in text.split("\n") if line)


def write_changes(changes: Iterable[Change]) -> bytes:
    """Entries of the feed as lines."""
    return write_lines(canonical_json(change.to_json()) for change in changes)


def read_changes(content: bytes, since: int) -> list[Change]:
    """The entries of a feed after a serial.

    Raises:
        RemoteProtocolError: a line cannot be read, or an entry is missing between two.
    """
    changes: list[Change] = []
    for line in filter(None, content.decode("utf-8", "replace").split("\n")):
        change = _read_change(line)
        if changes and change.serial != changes[-1].serial + 1:
            raise RemoteProtocolError(
                f"the feed of changes has a gap before entry {change.serial}",
                hint="tell those who run the registry",
            )
        changes.append(change)
    after = [change for change in changes if change.serial > since]
    if after and changes[0].serial > since + 1:
        raise RemoteProtocolError(
            f"the feed of changes begins at entry {changes[0].serial}, after {since + 1}",
            hint="tell those who run the registry",
        )
    return after


def _read_change(line: str) -> Change:
    try:
        body = as_object(parse_json(line))
        serial = as_count(body["serial"])
        owners = as_optional_text(body.get("owners"))
        if owners is not None and owned_of_path(owners_path(owners)) is None:
            raise ValueError(f"{owners[:80]!r} is no namespace")  # noqa: TRY301
        if body.get("node") is None:
            return Change(serial, owners=owners)
        return Change(
            serial,
            NodeId.parse(as_text(body["node"])),
            as_optional_text(body.get("version")),
            as_optional_text(body.get("action")),
            as_optional_text(body.get("time")),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise RemoteProtocolError(
            f"a line of the feed of changes cannot be read: {error}"[:300],
            hint="tell those who run the registry",
        ) from error


def read_names(content: bytes) -> list[NodeId]:
    """The nodes that a file of names lists; raises RemoteProtocolError."""
    try:
        return [NodeId.parse(line) for line in read_lines(content)]
    except InvalidReferenceError as error:
        raise RemoteProtocolError(
            f"a file of names cannot be read: {error}", hint="tell those who run the registry"
        ) from error


def fits_paths(name: str) -> bool:
    """Whether the parts of a name can be names of files everywhere."""
    return all(len(part) <= MAXIMUM_PART_BYTES for part in name.split("."))


FileAnswer = bytes | SourceError | None
"""The content of a file, why it cannot be used, or None if it is not there."""

Progress = Callable[[int], None]
"""Is told how many further bytes have arrived."""


def read_file(tree: Tree, path: str, maximum_bytes: int) -> bytes | None:
    """One file of a tree, None if it is not there; raises what is wrong with it."""
    (answer,) = tree.read([path], maximum_bytes)
    if isinstance(answer, SourceError):
        raise answer
    return answer


class Tree(Protocol):
    """Reads the files of a tree. Raises RemoteUnavailableError, RemoteProtocolError."""

    @property
    def place(self) -> str:
        """Where the tree is, as messages name it; never with a password."""
        ...

    def allow(self, seconds: float) -> None:
        """Let each of the next reads take so long at most."""
        ...

    def at_least(self, serial: int) -> None:
        """Have the next reads answered from a state that has this entry of the log."""
        ...

    def read(self, paths: Sequence[str], maximum_bytes: int) -> list[FileAnswer]:
        """The content of files, in the order of the paths; one that is bad costs no other one."""
        ...

    def changes(self, since: int) -> list[Change]:
        """The entries of the log after a serial, without a gap."""
        ...

    def blob(self, sha256: str, size_bytes: int, told: Progress) -> bytes:
        """A blob, of which the size and the digest were checked."""
        ...

    def close(self) -> None:
        """Release connections."""
        ...
