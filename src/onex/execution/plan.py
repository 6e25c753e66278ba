"""ExecutionPlan: a workflow with every reference to a node replaced by one version of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from onex.configuration.settings import Configuration
from onex.domain.errors import (
    DigestMismatchError,
    LimitRefusedError,
    NodeNotFoundError,
    WorkflowInputError,
)
from onex.domain.grant import RunAccess
from onex.domain.graph import execution_order
from onex.domain.json_value import (
    JsonObject,
    JsonValue,
    ValuePath,
    as_object,
    as_optional_text,
    as_text,
    as_texts,
    find_unwritable,
    sha256_of,
)
from onex.domain.limits import Limits
from onex.domain.metadata import RegisteredNode
from onex.domain.permission import Permission
from onex.domain.reference import NodeRef
from onex.domain.result import IsolationLevel
from onex.domain.workflow import Step, Workflow
from onex.history.journal import RunRecord
from onex.manifests.override import OVERRIDE_SOURCE, read_override
from onex.resolver.dependency_resolver import DependencyResolution
from onex.resolver.lockfile import LockedRequest, Lockfile
from onex.sandbox.availability import why_not_strict
from onex.schemas.absolute_paths import with_absolute_paths
from onex.schemas.given_inputs import GivenInputs
from onex.schemas.node_schemas import complete_inputs
from onex.schemas.object_schema import declared_inputs
from onex.schemas.places import value_at
from onex.trust.access import AccessDecisions, NodeAccess, with_real_paths
from onex.trust.grants import Grants, PendingGrant
from onex.trust.security_validator import SecurityValidator

FindNode = Callable[[NodeRef], RegisteredNode]
"""Finds the node that a reference means; raises NodeNotFoundError if there is none."""


@dataclass(frozen=True, slots=True)
class PlannedNode:
    """The version that was chosen for a step, how it may run, and within which limits."""

    node: RegisteredNode
    access: NodeAccess
    limits: Limits

    @property
    def isolation(self) -> IsolationLevel:
        """The level at which it is isolated."""
        return self.access.isolation

    @property
    def permissions(self) -> tuple[Permission, ...]:
        """What it is granted."""
        return self.access.permissions

    @property
    def key(self) -> tuple[str, IsolationLevel, tuple[Permission, ...], Limits]:
        """Equal for steps that share everything about their node."""
        return (self.node.digest, self.isolation, self.permissions, self.limits)


@dataclass(frozen=True, slots=True)
class PlanPolicy:
    """How the nodes of a plan may run.

    ``limits`` are those of steps that set none, ``ceilings`` those that no step may go beyond.
    """

    access: RunAccess
    decisions: AccessDecisions
    limits: Limits
    ceilings: Mapping[str, int]

    @classmethod
    def of(
        cls,
        configuration: Configuration,
        grants: Grants,
        validator: SecurityValidator,
        access: RunAccess,
    ) -> PlanPolicy:
        """The policy of a project, with what the user of a run says."""
        access = with_real_paths(access)
        decisions = AccessDecisions(
            grants, validator, access, configuration.isolation, why_not_strict
        )
        return cls(access, decisions, configuration.limits, configuration.ceilings)

    def limits_of(self, step: Step) -> Limits:
        """The limits of a step; raises LimitRefusedError if the policy does not allow them."""
        limits = self.limits.with_table(step.limits)
        beyond = limits.above(self.ceilings)
        if beyond is not None:
            raise LimitRefusedError(
                f"the step {step.id} has the limit {beyond}",
                hint="lower it, or raise limits of [policy] in onex.toml",
            )
        return limits


@dataclass(frozen=True, slots=True)
class ExecutionPlan:
    """What a run will do; ``nodes`` gives for each step the node that was chosen.

    ``lock_digest`` is the SHA-256 of the lock that chose the versions, None without one.
    ``path_inputs`` are the places among the inputs that hold paths, ``authored_paths`` those paths
    that nobody gave: of the workflow and its defaults. If there are ``offered_folders`` nothing but
    what lies in them, or in authored paths, may be handed over. ``actor`` is in whose name the plan
    is executed, None for the user of the process.
    """

    workflow: Workflow
    nodes: Mapping[str, PlannedNode]
    inputs: JsonObject
    warnings: tuple[str, ...] = ()
    lock_digest: str | None = None
    access: RunAccess = field(default_factory=RunAccess)
    path_inputs: frozenset[ValuePath] = frozenset()
    authored_paths: frozenset[str] = frozenset()
    offered_folders: tuple[str, ...] | None = None
    actor: str | None = None

    @property
    def pending(self) -> tuple[PendingGrant, ...]:
        """The nodes that ask for more than they are granted, so that the plan cannot run yet."""
        found = {p.key: p.access.pending for p in self.nodes.values() if p.access.pending}
        return tuple(pending for pending in found.values() if pending is not None)

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
                    "validation": planned.access.validation.to_json(),
                    "trusted": planned.access.is_trusted,
                    "limits": planned.limits.to_json(),
                    "cacheable": node.metadata.idempotent,
                }
            steps[name] = of_nodes[planned.key] | {"needs": sorted(needs[name])}
        return {
            "workflow": self.workflow.name,
            "inputs": self.inputs,
            "steps": steps,
            "warnings": list(self.warnings),
            "lock_digest": self.lock_digest,
            "access": self.access.to_json(),
            "actor": self.actor,
        }


def plan_workflow(
    workflow: Workflow,
    given: GivenInputs,
    resolution: DependencyResolution,
    lock: LockedRequest | None,
    policy: PlanPolicy,
) -> ExecutionPlan:
    """The plan of a workflow whose references were resolved, one for each of its steps.

    Raises:
        OutdatedLockError: the lock does not fit the workflow any more.
        DigestMismatchError: a node's files are not those that were locked.
        WorkflowInputError: the inputs are not what the workflow asks for.
        LimitRefusedError: a step has a higher limit than the policy allows.
        IsolationUnavailableError, GrantRefusedError: as ``AccessDecisions.decide``.
    """
    if lock is not None:
        lock.require(
            {n: v for n, v in resolution.selected.items() if n not in resolution.overrides}
        )
    nodes = {
        name: resolution.selected[root]
        for name, root in zip(workflow.steps, resolution.roots, strict=True)
    }
    declared = {name: list(declared_inputs(node)) for name, node in nodes.items()}
    inputs = given.read(workflow, declared)
    complete = complete_inputs(workflow.inputs, inputs)
    folders = {name: given.folders.get(name, Path.cwd()) for name in inputs}
    workflow, complete, paths = with_absolute_paths(workflow, declared, complete, folders)
    unwritable = find_unwritable([complete, workflow.to_json()])
    if unwritable is not None:
        raise WorkflowInputError(
            f"a path among the inputs is not UTF-8: {unwritable}",
            hint="name it through a link whose path is UTF-8",
        )
    access = {n.digest: policy.decisions.decide(n) for n in nodes.values()}
    policy.decisions.check_names()
    return ExecutionPlan(
        workflow=workflow,
        nodes={
            name: PlannedNode(node, access[node.digest], policy.limits_of(workflow.steps[name]))
            for name, node in nodes.items()
        },
        inputs=complete,
        warnings=(*resolution.warnings, *policy.decisions.warnings),
        access=policy.access,
        path_inputs=paths.inputs,
        authored_paths=paths.written | frozenset(_defaults_at(paths.inputs, complete, inputs)),
        lock_digest=None if lock is None else sha256_of(Lockfile((lock,)).to_toml()),
    )


def _defaults_at(
    places: Iterable[ValuePath], complete: JsonObject, given: JsonObject
) -> Iterator[str]:
    """The paths among the inputs that were not given."""
    for place in places:
        text = value_at(complete, place)
        if place[0] not in given and isinstance(text, str):
            yield text


def recorded_plan(
    record: RunRecord,
    workflow: Workflow,
    find: FindNode,
    policy: PlanPolicy,
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
    said = as_object(record.plan.get("access") or {})
    denied = [Permission.parse(text) for text in as_texts(said.get("denied", ()))]
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
        access = policy.decisions.decide(node, level)
        before = set(as_texts(planned["permissions"]))
        # What was denied to the run, or not known then, is not had by going on with it.
        kept = tuple(
            p
            for p in access.permissions
            if (str(p) in before or is_free) and not any(p.overlaps(d) for d in denied)
        )
        if step_id in settled:
            access = replace(access, pending=None)
        nodes[step_id] = PlannedNode(
            node, replace(access, permissions=kept), policy.limits_of(workflow.steps[step_id])
        )
    policy.decisions.check_names()
    return ExecutionPlan(
        workflow,
        nodes,
        record.inputs,
        lock_digest=as_optional_text(record.plan.get("lock_digest")),
        actor=as_optional_text(record.plan.get("actor")),
        # What was denied once stays denied however often the run goes on.
        access=policy.access.denying(denied),
    )


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
