"""Projection of the log: what is registered now, or was at any moment of the past."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from onex.domain.event import ALLOWED, Event
from onex.domain.evidence import Evidence
from onex.domain.json_value import (
    JsonObject,
    as_object,
    as_optional_text,
    as_text,
    canonical_json,
    canonical_object,
)
from onex.domain.metadata import (
    NO_DECISION,
    AbsentDecision,
    NodeMetadata,
    Origin,
    RegisteredNode,
    SourceId,
    VersionState,
    decided,
)
from onex.domain.path_text import read_path
from onex.domain.reference import NodeId, NodeVersion

SOURCE_ADOPTED = "source.adopted"


def node_state(
    metadata: str,
    digest: str,
    *,
    yanked: bool,
    decision: str,
    yank_reason: str | None = None,
    evidence: str = "",
) -> str:
    """The state of a node version as an entry of the log holds it, before or after a change.

    Takes the metadata, what was decided of its lifecycle and what speaks for it, if anything
    does, and returns the state, all as canonical JSON.
    """
    members = {
        "decision": decision,
        "digest": canonical_json(digest),
        "metadata": metadata,
        "yanked": "true" if yanked else "false",
    }
    if yank_reason is not None:
        members["yank_reason"] = canonical_json(yank_reason)
    if evidence:
        members["evidence"] = evidence
    return canonical_object(members)


def adoption(former: SourceId, source: SourceId) -> dict[str, str]:
    """The body of the entry by which a workspace takes over a source of another, as members."""
    return {
        "before": canonical_json(former.workspace),
        "after": canonical_json(source.workspace),
    }


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
    """What the log says of one node version: its manifest, and what was decided since.

    ``origins`` are in the order in which they were added.
    """

    metadata: NodeMetadata
    digest: str
    yanked: bool
    yank_reason: str | None
    decision: JsonObject | None
    registered_at: str
    origins: tuple[Origin, ...]
    evidence: Evidence | None = None

    @property
    def state(self) -> VersionState:
        """What was decided of the version."""
        return VersionState(self.yanked, self.yank_reason, self.decision)

    def registered(self) -> RegisteredNode:
        """The node version as the registry shows it."""
        return RegisteredNode(
            decided(self.metadata, self.decision),
            self.digest,
            self.origins,
            self.registered_at,
            self.yanked,
            self.yank_reason,
            self.evidence,
        )

    def when_absent(self) -> AbsentDecision | None:
        """What is remembered of the version when nothing offers it; None for nothing."""
        if not self.yanked and self.decision is None:
            return None
        return AbsentDecision(
            self.metadata.lifecycle.value,
            self.yanked,
            self.yank_reason,
            NO_DECISION if self.decision is None else canonical_json(self.decision),
        )


class Projection:
    """The state of a registry after the entries of its log that were applied, in their order.

    One place offers one version: an entry that gives an origin to a version takes it from
    every other.
    """

    def __init__(self, events: Iterable[Event] = ()) -> None:
        self._states: dict[NodeVersion, NodeState] = {}
        self._offered: dict[Origin, NodeVersion] = {}
        self.absent: dict[NodeVersion, AbsentDecision] = {}
        for event in events:
            self.apply(event)

    @property
    def states(self) -> dict[NodeVersion, NodeState]:
        """The registered versions, with manifests and decisions apart."""
        return {node: state for node, state in self._states.items() if state.origins}

    def registered(self) -> dict[NodeVersion, RegisteredNode]:
        """The registered versions as the registry shows them."""
        return {node: state.registered() for node, state in self.states.items()}

    def apply(self, event: Event) -> None:
        """Take in the next entry; refusals and entries about other things change nothing."""
        if event.outcome != ALLOWED:
            return
        if event.action == SOURCE_ADOPTED:
            former = SourceId(read_path(event.object), as_text(event.facts["before"]))
            self._adopt(former, as_text(event.facts["after"]))
        if not event.action.startswith("node."):
            return
        node = NodeVersion.parse(event.object)
        facts = event.facts
        match event.action:
            case "node.removed":
                self._remove(node)
            case "node.origin_added":
                self._add_origin(node, Origin.from_json(as_object(facts["origin"])))
            case "node.origin_removed":
                self._drop_origin(node, Origin.from_json(as_object(facts["origin"])))
            case _:
                before = self._states.get(node)
                self.absent.pop(node, None)
                self._states[node] = _changed(
                    event, facts, before if before and before.origins else None
                )
                if "origin" in facts:
                    self._add_origin(node, Origin.from_json(as_object(facts["origin"])))

    def _remove(self, node: NodeVersion) -> None:
        removed = self._states.pop(node, None)
        if removed is None:
            return
        for origin in removed.origins:
            self._offered.pop(origin, None)
        left = removed.when_absent()
        if left is not None:
            self.absent[node] = left

    def _add_origin(self, node: NodeVersion, origin: Origin) -> None:
        holder = self._offered.get(origin)
        if holder is not None:
            self._drop_origin(holder, origin)
        state = self._states[node]
        self._states[node] = replace(state, origins=(*state.origins, origin))
        self._offered[origin] = node

    def _adopt(self, former: SourceId, workspace: str) -> None:
        """Make the origins of a source those of another workspace, each at its place."""
        taken = {o: replace(o, workspace=workspace)
                 for o in self._offered if o.source_id == former}  # fmt: skip
        for node in {self._offered[origin] for origin in taken}:
            state = self._states[node]
            kept = tuple(taken.get(origin, origin) for origin in state.origins)
            self._states[node] = replace(state, origins=kept)
        for origin, renamed in taken.items():
            self._offered[renamed] = self._offered.pop(origin)

    def _drop_origin(self, node: NodeVersion, origin: Origin) -> None:
        state = self._states.get(node)
        if state is not None:
            kept = tuple(other for other in state.origins if other != origin)
            self._states[node] = replace(state, origins=kept)
            self._offered.pop(origin, None)


def _changed(event: Event, facts: JsonObject, before: NodeState | None) -> NodeState:
    state = as_object(facts["after"])
    decision, yanked = state["decision"], bool(state["yanked"])
    reason = as_optional_text(state.get("yank_reason"))
    if reason is None and yanked:
        # Logs of earlier versions name the reason in the entry of the yank alone.
        reason = before.yank_reason if before else None
        if event.action == "node.yanked":
            reason = as_optional_text(facts.get("reason"))
    return NodeState(
        metadata=NodeMetadata.from_json(as_object(state["metadata"])),
        digest=as_text(state["digest"]),
        yanked=yanked,
        yank_reason=reason,
        decision=None if decision is None else as_object(decision),
        registered_at=before.registered_at if before else event.time,
        origins=before.origins if before else (),
        evidence=Evidence.from_json(state["evidence"]) if state.get("evidence") else None,
    )
