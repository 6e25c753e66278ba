"""Advisories of a registry: those published to it, and those that remotes showed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from onex.domain.advisory import (
    ADVISORY_PUBLISHED,
    ADVISORY_SEEN,
    Advisory,
    AdvisoryKey,
    Rating,
    advisories_after,
)
from onex.domain.json_value import as_object, parse_json
from onex.domain.metadata import RegisteredNode
from onex.domain.reference import NodeId, NodeVersion
from onex.storage.backend import StorageBackend, StorageWriter


class Advisories:
    """What is known here to be wrong with versions of nodes."""

    def __init__(self, storage: StorageBackend, actor: str | None = None) -> None:
        """``actor`` is who publishes, as the log names them."""
        self._storage = storage
        self._actor = actor
        self._known: tuple[int, Mapping[NodeId, Mapping[AdvisoryKey, Advisory]]] = (-1, {})

    def serial(self) -> int:
        """The last entry of the log about an advisory; 0 if there is none."""
        return self._storage.advisory_serial()

    def known(self) -> Mapping[NodeId, Mapping[AdvisoryKey, Advisory]]:
        """The advisories about each node, by where they were seen and their ids."""
        last = self._storage.advisory_serial()
        if self._known[0] != last:
            self._known = (last, advisories_after(self._storage.advisory_events()))
        return self._known[1]

    def affecting(self, node: NodeVersion) -> Sequence[Advisory]:
        """The advisories about a version, the worst first."""
        known = self.known().get(node.node, {}).values()
        found = {advisory.id: advisory for advisory in known if advisory.affects(node)}
        order = list(Rating)
        return sorted(found.values(), key=lambda a: order.index(a.rating), reverse=True)

    def warnings(self, nodes: Iterable[RegisteredNode]) -> list[str]:
        """What the advisories say of nodes, each in a sentence."""
        if not self.known():
            return []
        versions = [node.metadata.node_version for node in nodes]
        return [a.in_words(version) for version in versions for a in self.affecting(version)]

    def published(self, node: NodeId) -> Sequence[Advisory]:
        """The advisories about a node that were published here, in the order of their ids."""
        events = [
            event
            for event in self._storage.events_about(str(node))
            if event.action == ADVISORY_PUBLISHED
        ]
        return [advisory for _, advisory in sorted(advisories_after(events).get(node, {}).items())]

    def publish(self, advisory: Advisory) -> int:
        """Publish an advisory, or another state of it; returns a serial that has it."""

        def store(writer: StorageWriter) -> None:
            for node in advisory.nodes:
                body = {"advisory": as_object(parse_json(advisory.body))}
                writer.note(ADVISORY_PUBLISHED, str(node), body)

        self._storage.write(store, self._actor)
        return self._storage.serial()


def note_seen_advisories(
    writer: StorageWriter, node: NodeId, advisories: Iterable[Advisory], source: str
) -> None:
    """Remember advisories about a node that a source showed."""
    bodies = [as_object(parse_json(advisory.body)) for advisory in advisories]
    writer.note(ADVISORY_SEEN, str(node), {"advisories": bodies, "source": source})
