"""What the log says is registered: the present, or any moment of the past, from its entries."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from onex.domain.decision import decided
from onex.domain.event import Event
from onex.domain.json_value import (
    JsonObject,
    as_object,
    as_text,
    canonical_json,
    canonical_object,
)
from onex.domain.metadata import NodeMetadata, Origin, RegisteredNode
from onex.domain.reference import NodeId, NodeVersion


def node_state(metadata: str, digest: str, *, yanked: bool, decision: str) -> str:
    """All that an entry of the log says of a node version before or after a change.

    Takes the metadata and what was decided of its lifecycle, and returns the state, all
    as canonical JSON.
    """
    return canonical_object(
        {
            "decision": decision,
            "digest": canonical_json(digest),
            "metadata": metadata,
            "yanked": "true" if yanked else "false",
        }
    )


def changed_names(object_name: str, body: str) -> Iterator[str]:
    """Every name of the node that an entry of the log is about."""
    node = object_name.partition("@")[0]
    yield node
    yield NodeId.parse(node).namespace
    facts = json.loads(body)
    for state in (facts.get("before"), facts.get("after")):
        if state:
            yield state["metadata"]["name"]
            if state["metadata"]["uuid"]:
                yield state["metadata"]["uuid"]


@dataclass(frozen=True, slots=True)
class NodeState:
    """What the log says of one node version: its manifest, and what was decided since."""

    metadata: NodeMetadata
    digest: str
    yanked: bool
    decision: JsonObject | None
    registered_at: str
    origins: tuple[Origin, ...]

    def registered(self) -> RegisteredNode:
        """The node version as the registry shows it."""
        return RegisteredNode(
            decided(self.metadata, self.decision),
            self.digest,
            self.origins,
            self.registered_at,
            self.yanked,
        )


def project(events: Iterable[Event]) -> dict[NodeVersion, RegisteredNode]:
    """The node versions that are registered after the given entries, from the first on."""
    return {node: state.registered() for node, state in project_states(events).items()}


def project_states(events: Iterable[Event]) -> dict[NodeVersion, NodeState]:
    """As ``project``, with manifests and decisions apart."""
    nodes: dict[NodeVersion, NodeState] = {}
    for event in events:
        if not event.action.startswith("node."):
            continue
        node = NodeVersion.parse(event.object)
        facts = event.facts
        match event.action:
            case "node.removed":
                del nodes[node]
            case "node.origin_added":
                origin = Origin.from_json(as_object(facts["origin"]))
                others = [o for o in nodes[node].origins if o != origin]
                nodes[node] = _with_origins(nodes[node], [*others, origin])
            case "node.origin_removed":
                origin = Origin.from_json(as_object(facts["origin"]))
                others = [o for o in nodes[node].origins if o != origin]
                nodes[node] = _with_origins(nodes[node], others)
            case _:
                nodes[node] = _changed(event, facts, nodes.get(node))
    return nodes


def _changed(event: Event, facts: JsonObject, before: NodeState | None) -> NodeState:
    state = as_object(facts["after"])
    decision = state["decision"]
    return NodeState(
        NodeMetadata.from_json(as_object(state["metadata"])),
        as_text(state["digest"]),
        bool(state["yanked"]),
        None if decision is None else as_object(decision),
        before.registered_at if before else event.time,
        before.origins if before else (Origin.from_json(as_object(facts["origin"])),),
    )


def _with_origins(node: NodeState, origins: list[Origin]) -> NodeState:
    ordered = sorted(origins, key=lambda origin: (origin.source, origin.path))
    return replace(node, origins=tuple(ordered))
