"""IndexLine: what the index of a registry says of one published version.

The lines of a node follow from the entries of the log about it and from nothing else: what was
published never changes, and of what was decided afterwards the last decision holds.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Self
from uuid import UUID

from onex.domain.access_control import covers
from onex.domain.advisory import Advisory
from onex.domain.archive_place import ArchivePlace
from onex.domain.digest import is_digest
from onex.domain.envelope import Envelope
from onex.domain.errors import OnexError
from onex.domain.event import ALLOWED, Event
from onex.domain.evidence import Evidence, SignedStatement, read_statements
from onex.domain.json_value import (
    JsonObject,
    JsonValue,
    as_count,
    as_object,
    as_optional_text,
    as_text,
    canonical_json,
    find_unwritable,
    is_deeper,
    parse_json,
)
from onex.domain.lifecycle import Lifecycle
from onex.domain.log_leaf import RELEASED
from onex.domain.metadata import NOTHING_DECIDED, NodeMetadata, VersionState
from onex.domain.projection import Projection
from onex.domain.reference import NAMESPACE, NodeId, NodeVersion
from onex.domain.release_trust import SIGNED
from onex.domain.remote_errors import RemoteProtocolError
from onex.remote.archive import MAXIMUM_ARCHIVE_BYTES

LINE_SCHEMA = 1
ADVISORY_SCHEMA = 2
"""The schema of the lines that are advisories about the node."""
# A manifest has at most 32 levels, and stands a few levels deep in a line.
MAXIMUM_DEPTH = 48
MAXIMUM_DEPENDENCIES = 500
# As the reader of manifests has it.
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", re.ASCII)
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:Z|[+-]\d\d:\d\d)")


@dataclass(frozen=True, slots=True)
class IndexLine:
    """One published version.

    ``metadata`` is its manifest as it was published; ``state`` is what was decided of it since;
    ``published_at`` and ``yanked_at`` are RFC 3339 timestamps in UTC; ``override`` is the reason
    that was given for a release that breaks others; ``serial`` is that of the last entry of the
    log that is about the version, ``released`` of the one that published it, and ``entry`` is its
    hash. ``statements`` are those that were signed about it, and ``owner`` is the namespace whose
    owners it had to come from, None if it had none.
    """

    metadata: NodeMetadata
    digest: str
    place: ArchivePlace
    published_at: str
    serial: int
    state: VersionState = NOTHING_DECIDED
    yanked_at: str | None = None
    override: str | None = None
    released: int = 0
    entry: str = ""
    owner: str | None = None
    statements: tuple[SignedStatement, ...] = ()

    @property
    def evidence(self) -> Evidence:
        """What the registry shows for the version, which nobody has judged yet."""
        return Evidence(self.published_at, self.released, self.statements)

    def to_json(self) -> dict[str, JsonValue]:
        """The line as JSON; ``parse`` reads it back unchanged."""
        state = self.state
        return {
            "schema": LINE_SCHEMA,
            "node": str(self.metadata.node),
            "version": str(self.metadata.version),
            "digest": self.digest,
            "archive": {
                "sha256": self.place.sha256,
                "size": self.place.size_bytes,
                "manifest": self.place.manifest,
            },
            "metadata": self.metadata.to_json(),
            "published_at": self.published_at,
            "yanked": {"reason": state.yank_reason, "time": self.yanked_at}
            if state.yanked
            else None,
            "decision": state.decision,
            "override": self.override,
            "serial": self.serial,
            "released": self.released,
            "entry": self.entry,
            "owner": self.owner,
            "statements": [one.to_json() for one in self.statements],
        }

    def __str__(self) -> str:
        return canonical_json(self.to_json())

    @classmethod
    def parse(cls, text: str, node: NodeId) -> Self | None:
        """Read a line of the index file of a node, which may be hostile.

        Returns:
            None if the line has a schema that is newer than this program.

        Raises:
            RemoteProtocolError: it is not a line of this node.
        """
        try:
            body = as_object(parse_json(text))
            if as_count(body["schema"]) != LINE_SCHEMA:
                return None
            line = cls._of_json(body)
            named = (body["node"], body["version"])
            is_own = named == (str(node), str(line.metadata.version))
            if line.metadata.node != node or not is_own:
                raise ValueError("it is about another node or version")  # noqa: TRY301
        except (KeyError, TypeError, ValueError, OnexError) as error:
            raise _refused(node, f"{type(error).__name__}: {error}") from error
        return line

    @classmethod
    def _of_json(cls, body: JsonObject) -> Self:
        unwritable = find_unwritable(body)
        if unwritable is not None:
            raise ValueError(unwritable)
        if is_deeper(body, MAXIMUM_DEPTH):
            raise ValueError(f"it is nested in more than {MAXIMUM_DEPTH} levels")
        metadata = NodeMetadata.from_json(as_object(body["metadata"]))
        if not _NAME.fullmatch(metadata.name):
            raise ValueError("its name is none that a manifest may have")
        if metadata.uuid is not None and str(UUID(metadata.uuid)) != metadata.uuid:
            raise ValueError("its UUID is not written as one")
        for member in (*metadata.inputs.values(), *metadata.outputs.values()):
            as_object(member)
        archive, digest = as_object(body["archive"]), as_text(body["digest"])
        size = as_count(archive["size"])
        manifest = as_text(archive["manifest"])
        place = ArchivePlace.parse(f"archive:{as_text(archive['sha256'])}:{size}/{manifest}")
        is_too_many = len(metadata.dependencies) > MAXIMUM_DEPENDENCIES
        if size > MAXIMUM_ARCHIVE_BYTES or is_too_many:
            raise ValueError("its archive or the list of its dependencies is too large")
        if place is None or not is_digest(digest):
            raise ValueError("its digest or its archive is not written as one")
        yank_reason, yanked_at = None, None
        if body["yanked"] is not None:
            yank = as_object(body["yanked"])
            yank_reason, yanked_at = as_optional_text(yank["reason"]), _time(as_text(yank["time"]))
        state = VersionState(yanked_at is not None, yank_reason, _decision(body["decision"]))
        serial = as_count(body["serial"])
        owner = as_optional_text(body.get("owner"))
        is_name = owner is None or NAMESPACE.fullmatch(owner)
        if owner is not None and not (is_name and covers(owner, metadata.node.namespace)):
            raise ValueError("the owner that it names is not that of its namespace")
        statements = read_statements(body.get("statements", []))
        for one in statements:
            _time(one.time)
        return cls(
            metadata=metadata,
            digest=digest,
            place=place,
            published_at=_time(as_text(body["published_at"])),
            serial=serial,
            released=as_count(body.get("released", serial)),
            entry=as_text(body.get("entry", "")),
            owner=owner,
            statements=statements,
            state=state,
            yanked_at=yanked_at,
            override=as_optional_text(body["override"]),
        )


def advisory_line(advisory: Advisory) -> str:
    """An advisory as a line of the index file of a node."""
    body = as_object(parse_json(advisory.body))
    return canonical_json({"schema": ADVISORY_SCHEMA, "advisory": body})


def parse_advisory(text: str, node: NodeId) -> Advisory | None:
    """Read the line of an advisory about a node; None for a line of another kind.

    Raises:
        RemoteProtocolError: it is no advisory about the node.
    """
    if '"advisory"' not in text:
        return None
    try:
        body = as_object(parse_json(text))
        if body.get("schema") != ADVISORY_SCHEMA:
            return None
        advisory = Advisory.from_json(body["advisory"])
        if node not in advisory.nodes:
            raise ValueError("it is about other nodes")  # noqa: TRY301
    except (KeyError, TypeError, ValueError) as error:
        raise _refused(node, f"an advisory: {error}") from error
    return advisory


def index_lines(events: Iterable[Event]) -> list[IndexLine]:
    """The lines of a node, oldest version first, after the entries of the log about it."""
    projection = Projection()
    lines: dict[NodeVersion, IndexLine] = {}
    for event in events:
        projection.apply(event)
        if event.outcome != ALLOWED:
            continue
        version = NodeVersion.parse(event.object)
        registered = projection.states.get(version)
        if event.action == RELEASED and registered is not None:
            facts = event.facts
            place = ArchivePlace.parse(as_text(facts["place"]))
            if place is not None and version not in lines:
                lines[version] = IndexLine(
                    metadata=registered.metadata,
                    digest=as_text(facts["digest"]),
                    place=place,
                    published_at=event.time,
                    serial=event.serial,
                    override=as_optional_text(facts["override"]),
                    released=event.serial,
                    entry=event.hash,
                    owner=as_optional_text(facts.get("owner")),
                    statements=_statements(facts, event),
                )
        if event.action == SIGNED and version in lines:
            found = (*lines[version].statements, *_statements(event.facts, event))
            owner = as_optional_text(event.facts.get("owner")) or lines[version].owner
            lines[version] = replace(
                lines[version], statements=found, owner=owner, serial=event.serial
            )
        line = lines.get(version)
        if line is not None and registered is not None:
            lines[version] = _decided(line, registered.state, event)
    return [lines[version] for version in sorted(lines, key=lambda v: v.version)]


def _statements(facts: JsonObject, event: Event) -> tuple[SignedStatement, ...]:
    statement = facts.get("statement")
    if statement is None:
        return ()
    envelope = Envelope.from_json(statement)
    return (SignedStatement(envelope, event.serial, event.time, event.hash),)


def _decided(line: IndexLine, state: VersionState, event: Event) -> IndexLine:
    if line.state == state:
        return line
    at = line.yanked_at if line.state.yanked else event.time
    return replace(line, state=state, yanked_at=at if state.yanked else None, serial=event.serial)


def _decision(value: JsonValue) -> JsonObject | None:
    """A decision about the lifecycle, with the members that ``write_decision`` gives it."""
    if value is None:
        return None
    found = as_object(value)
    return {
        "lifecycle": Lifecycle(as_text(found["lifecycle"])).value,
        "deprecated_by": as_optional_text(found["deprecated_by"]),
        "archived_reason": as_optional_text(found["archived_reason"]),
    }


def _time(text: str) -> str:
    if not _TIME.fullmatch(text):
        raise ValueError(f"{text[:40]!r} is not a time")
    datetime.fromisoformat(text)
    return text


def _refused(node: NodeId, reason: str) -> RemoteProtocolError:
    return RemoteProtocolError(
        f"the index has a line for {node} that cannot be used: {reason}"[:500],
        hint="tell those who run the registry; its other nodes can be used",
    )
