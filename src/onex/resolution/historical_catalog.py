"""HistoricalCatalog: what was registered at a moment of the past, read from the log."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, time
from itertools import takewhile

from onex.domain.errors import UsageError
from onex.domain.event import Event
from onex.domain.metadata import RegisteredNode
from onex.domain.projection import Projection
from onex.domain.reference import NodeId


def parse_moment(text: str) -> datetime:
    """Read an RFC 3339 date or date and time.

    A date alone is the end of that day; without an offset the time is in UTC.

    Raises:
        UsageError: the text is neither.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(
            f"{text!r} is not a date or a time",
            hint="write 2026-05-01 or 2026-05-01T12:30:00Z",
        ) from error
    if len(text) <= 10:
        moment = datetime.combine(moment, time.max)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


class HistoricalCatalog:
    """A NodeCatalog of the nodes that the log up to a moment describes.

    The past is always a prefix of the log: an entry that was written while the clock was
    set back counts as late as the entries before it.
    """

    def __init__(self, events: Iterable[Event], moment: datetime) -> None:
        past = takewhile(lambda event: datetime.fromisoformat(event.time) <= moment, events)
        self._nodes: dict[NodeId, list[RegisteredNode]] = {}
        for registered in Projection(past).registered().values():
            self._nodes.setdefault(registered.metadata.node, []).append(registered)

    def versions(self, node: NodeId) -> Sequence[RegisteredNode]:
        return sorted(self._nodes.get(node, ()), key=lambda found: found.metadata.version)

    def find_nodes(self, name: str) -> Sequence[NodeId]:
        nodes = sorted(self._nodes, key=lambda node: (node.namespace, node.type))
        exact = [node for node in nodes if node.namespace == name]
        return exact or [
            node
            for node in nodes
            if any(name in (v.metadata.name, v.metadata.uuid) for v in self._nodes[node])
        ]

    def close_names(self, name: str, count: int) -> Sequence[NodeId]:
        by_name = {n: node for node in self._nodes for n in (node.namespace, str(node))}
        found = difflib.get_close_matches(name, by_name, count)
        return list(dict.fromkeys(by_name[close] for close in found))

    def count(self) -> int:
        return sum(map(len, self._nodes.values()))
