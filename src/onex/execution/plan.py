"""ExecutionPlan: a workflow with every reference to a node replaced by one version of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from onex.domain.errors import (
    DigestMismatchError,
    NodeNotFoundError,
    WorkflowInputError,
)
from onex.domain.graph import execution_order
from onex.domain.json_value import (
    JsonObject,
    JsonValue,
    as_object,
    as_optional_text,
    as_text,
    find_unwritable,
    sha256_of,
)
from onex.domain.metadata import RegisteredNode
from onex.domain.permission import Permission
from onex.domain.reference import NodeRef
from onex.domain.result import IsolationLevel
from onex.domain.workflow import Workflow
from onex.history.journal import RunRecord
from onex.manifests.override import OVERRIDE_SOURCE, read_override
from onex.resolver.dependency_resolver import DependencyResolution
from onex.resolver.lockfile import LockedRequest, Lockfile
from onex.schemas.absolute_paths import with_absolute_paths
from onex.schemas.given_inputs import GivenInputs
from onex.schemas.node_schemas import complete_inputs, object_schema
from onex.schemas.state_contract import read_state_contract

FindNode = Callable[[NodeRef], RegisteredNode]
"""Finds the node that a reference means; raises NodeNotFoundError if there is none."""


@dataclass(frozen=True, slots=True)
class PlannedNode:
    """The version that was chosen for a step, the level at which it is isolated, and the
    permissions that it is granted."""

    node: RegisteredNode
    isolation: IsolationLevel
    permissions: tuple[Permission, ...]

    @property
    def key(self) -> tuple[str, IsolationLevel, tuple[Permission, ...]]:
        """Equal for steps that share everything about their node."""
        return (self.node.digest, self.isolation, self.permissions)

    @classmethod
    def as_declared(cls, node: RegisteredNode, isolation: IsolationLevel) -> PlannedNode:
        """A node with every permission that its manifest declares."""
        return cls(node, isolation, node.metadata.permissions)


@dataclass(frozen=True, slots=True)
class ExecutionPlan:
    """What a run will do; ``nodes`` gives for each step the node that was chosen.

    ``lock_digest`` is the SHA-256 of the lock that chose the versions, None without one.
    """

    workflow: Workflow
    nodes: Mapping[str, PlannedNode]
    inputs: JsonObject
    warnings: tuple[str, ...] = ()
    lock_digest: str | None = None

    def isolated_at(self, level: IsolationLevel | None) -> ExecutionPlan:
        """The same plan with every node at an isolation level; as it is for None."""
        if level is None:
            return self
        planned = {id(node): replace(node, isolation=level) for node in self.nodes.values()}
        return replace(self, nodes={name: planned[id(node)] for name, node in self.nodes.items()})

    def to_json(self) -> dict[str, JsonValue]:
        """The plan in the shape that ``run --dry-run`` prints and the history keeps."""
        needs = {step.id: step.needs for step in self.workflow.steps.values()}
        steps: dict[str, JsonValue] = {}
        of_nodes: dict[object, dict[str, JsonValue]] = {}
        for name in execution_order(needs):
            planned = self.nodes[name]
            node = planned.node
            if planned.key not in of_nodes:
                is_override = node.source == OVERRIDE_SOURCE
                of_nodes[planned.key] = {
                    "node": str(node.metadata.node_version),
                    "digest": node.digest,
                    "override": node.origins[0].path if is_override else None,
                    "permissions": [str(permission) for permission in planned.permissions],
                    "isolation": planned.isolation.value,
                    "cacheable": node.metadata.idempotent,
                }
            steps[name] = of_nodes[planned.key] | {"needs": sorted(needs[name])}
        return {
            "workflow": self.workflow.name,
            "inputs": self.inputs,
            "steps": steps,
            "warnings": list(self.warnings),
            "lock_digest": self.lock_digest,
        }


def plan_workflow(
    workflow: Workflow,
    given: GivenInputs,
    resolution: DependencyResolution,
    lock: LockedRequest | None,
    isolation: IsolationLevel,
) -> ExecutionPlan:
    """The plan of a workflow whose references were resolved, one for each of its steps.

    Every node is planned at one isolation level, and granted what its manifest declares.

    Raises:
        OutdatedLockError: the lock does not fit the workflow any more.
        DigestMismatchError: a node's files are not those that were locked.
        WorkflowInputError: the inputs are not what the workflow asks for.
    """
    if lock is not None:
        lock.require(
            {n: v for n, v in resolution.selected.items() if n not in resolution.overrides}
        )
    nodes = {
        name: resolution.selected[root]
        for name, root in zip(workflow.steps, resolution.roots, strict=True)
    }
    declared = {name: list(_declared(node)) for name, node in nodes.items()}
    inputs = given.read(workflow, declared)
    complete = complete_inputs(workflow.inputs, inputs)
    folders = {name: given.folders.get(name, Path.cwd()) for name in inputs}
    workflow, complete = with_absolute_paths(workflow, declared, complete, folders)
    unwritable = find_unwritable([complete, workflow.to_json()])
    if unwritable is not None:
        raise WorkflowInputError(
            f"a path among the inputs is not UTF-8: {unwritable}",
            hint="name it through a link whose path is UTF-8",
        )
    planned = {n.digest: PlannedNode.as_declared(n, isolation) for n in nodes.values()}
    return ExecutionPlan(
        workflow=workflow,
        nodes={name: planned[node.digest] for name, node in nodes.items()},
        inputs=complete,
        warnings=tuple(resolution.warnings),
        lock_digest=None if lock is None else sha256_of(Lockfile((lock,)).to_toml()),
    )


def recorded_plan(
    record: RunRecord,
    workflow: Workflow,
    find: FindNode,
    *,
    held: bool,
    accepted: frozenset[str] = frozenset(),
    settled: frozenset[str] = frozenset(),
) -> ExecutionPlan:
    """The plan of a run, with the same versions, and if it is ``held`` with the same files.

    A node that was overridden by a folder is read from there again. Steps that are ``settled``
    do not run, whatever became of their nodes; those that are ``accepted`` may have changed.

    Raises:
        NodeNotFoundError: a node is not registered any more.
        DigestMismatchError: the files of a node are not what they were.
    """
    nodes = {}
    for step_id, step in as_object(record.plan["steps"]).items():
        planned = as_object(step)
        node = _recorded_node(planned, workflow, step_id, find, is_accepted=step_id in accepted)
        is_free = step_id in accepted or step_id in settled
        if held and not is_free and node.digest != planned["digest"]:
            raise DigestMismatchError(
                f"the files of {node.metadata.node_version} changed since the run began",
                hint=f"bring them back, or go on with them: --accept-changed {step_id}",
            )
        level = IsolationLevel(as_text(planned.get("isolation", IsolationLevel.PROCESS)))
        nodes[step_id] = PlannedNode.as_declared(node, level)
    lock_digest = as_optional_text(record.plan.get("lock_digest"))
    return ExecutionPlan(workflow, nodes, record.inputs, lock_digest=lock_digest)


def _recorded_node(
    planned: JsonObject, workflow: Workflow, step_id: str, find: FindNode, *, is_accepted: bool
) -> RegisteredNode:
    override = as_optional_text(planned.get("override"))
    if override is not None:
        return read_override(Path(override))
    try:
        return find(NodeRef.parse(as_text(planned["node"])))
    except NodeNotFoundError:
        if not is_accepted:
            raise
        return find(workflow.steps[step_id].node)


def _declared(node: RegisteredNode) -> Iterator[JsonObject]:
    """The schemas of a node's inputs: of its manifest, and of its contract as it lies there."""
    metadata = node.metadata
    if metadata.inputs:
        yield object_schema(metadata.inputs)
    contract = read_state_contract(metadata, Path(node.origins[0].path).parent)
    if contract.inputs is not None:
        yield contract.inputs
