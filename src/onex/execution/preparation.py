"""PreparedPlan: a plan whose nodes are loaded, verified, checked against each other and granted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from onex.domain.errors import StepMismatchError
from onex.domain.json_value import JsonObject, JsonValue, canonical_json, sha256_of
from onex.domain.metadata import NodeMetadata
from onex.domain.result import IsolationLevel
from onex.engines.engine import PROGRAM, Engine, LoadedNode
from onex.engines.environment import (
    granted_variables,
    host_environment,
    library_versions,
    system_variables,
)
from onex.engines.node_loader import NodeLoader
from onex.engines.selection import Engines
from onex.execution.context_factory import ExecutionContextFactory, NodeGrants
from onex.execution.plan import ExecutionPlan, PlannedNode
from onex.execution.run_actions import StepNode
from onex.history.cache_key import node_key
from onex.sandbox.granted_rules import granted_rules
from onex.sandbox.rules import SandboxRules
from onex.schemas.node_schemas import NodeSchemas
from onex.schemas.object_schema import object_schema
from onex.schemas.places import PATH, WRITE_ONLY, WRITTEN_PATH, MarkingSchemas
from onex.schemas.state_contract import read_state_contract
from onex.schemas.step_types import check_step_types


@dataclass(frozen=True, slots=True)
class PreparedNode:
    """Everything that the calls of one node have in common.

    ``facts`` is what the state of a run knows of the node; ``paths`` says which inputs are paths,
    ``written_paths`` which of those may be written to, ``unrecorded`` which parts of results are
    not recorded; ``key`` is the common part of their cache keys; ``libraries`` are the installed
    versions of those it declares; ``folder`` names the folder of their working folders.
    """

    facts: StepNode
    loaded: LoadedNode
    engine: Engine
    schemas: NodeSchemas
    grants: NodeGrants
    paths: MarkingSchemas
    written_paths: MarkingSchemas
    unrecorded: MarkingSchemas
    key: str
    libraries: Mapping[str, str]
    folder: str


@dataclass(frozen=True, slots=True)
class PreparedPlan:
    """A plan and, by step, its prepared nodes."""

    plan: ExecutionPlan
    nodes: Mapping[str, PreparedNode]
    configuration: JsonObject = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    _dependents: Mapping[str, list[str]] = field(default_factory=dict)

    def dependents(self, step_id: str) -> Iterator[PreparedNode]:
        """The nodes of the steps that need a step."""
        return (self.nodes[name] for name in self._dependents.get(step_id, ()))

    def facts(self) -> dict[str, StepNode]:
        """By step, what the state of a run must know of its node."""
        return {name: node.facts for name, node in self.nodes.items()}

    def secrets(self) -> dict[str, str]:
        """All secrets that the nodes of the run are given."""
        return {
            n: value for node in self.nodes.values() for n, value in node.grants.secrets.items()
        }

    def environment(self) -> JsonObject:
        """What the run depends on beside code and inputs; values of variables as digests."""
        libraries: dict[str, JsonValue] = {}
        variables: dict[str, JsonValue] = {}
        for node in self.nodes.values():
            libraries |= node.libraries
            variables |= {k: sha256_of(v) for k, v in node.loaded.variables.items()}
        return host_environment() | {
            "libraries": libraries,
            "variables": variables,
            "configuration": sha256_of(canonical_json(self.configuration)),
        }


def prepare(
    plan: ExecutionPlan,
    loader: NodeLoader,
    engines: Engines,
    contexts: ExecutionContextFactory,
    environment: Mapping[str, str],
    hidden: Sequence[str],
) -> PreparedPlan:
    """Load and verify every node of a plan, and check that its steps fit together.

    Args:
        plan: what to prepare.
        loader: brings the nodes' files.
        engines: what executes nodes.
        contexts: grants permissions and secrets.
        environment: where the variables come from that nodes are granted.
        hidden: folders and files that no node may read.

    Raises:
        NodeLoadError: a node has no code that can be run.
        IsolationUnavailableError: a node cannot be isolated as it is planned.
        DigestMismatchError: a node's files are not those that were registered.
        LibraryMissingError: a Python library that a node declares is not there.
        SecretsNotPrivateError: the file of secrets is open to others.
        SchemaMismatchError: a node's schemas are not valid.
        StepMismatchError: what goes into a step can never be what its node declares.
    """
    prepared: dict[object, PreparedNode] = {}
    warnings: dict[str, None] = {}
    # What must not be recorded of one result may be in the inputs of any other call.
    shows_values = not any(
        MarkingSchemas.of(WRITE_ONLY, metadata.outputs, _inline_contract(metadata))
        for metadata in (planned.node.metadata for planned in plan.nodes.values())
    )

    def prepare_node(planned: PlannedNode) -> PreparedNode:
        node, metadata = planned.node, planned.node.metadata
        variables = granted_variables(planned.permissions, environment)
        libraries = library_versions(metadata)
        loaded = loader.load_node(node)
        engine = engines.engine_for(loaded.kind, planned.isolation)
        grants = contexts.grants_of(metadata.node_version, planned.permissions)
        contract = read_state_contract(metadata, loaded.folder)
        if contract.warning:
            warnings[contract.warning] = None
        declared = (object_schema(metadata.inputs), contract.inputs)
        paths = MarkingSchemas.of(PATH, *declared)
        rules = SandboxRules(limits=planned.limits)
        if planned.isolation is IsolationLevel.STRICT:
            rules = granted_rules(
                planned.permissions,
                loaded.file if loaded.kind == PROGRAM else None,
                hidden,
                planned.limits,
                takes_paths=bool(paths),
            )
        return PreparedNode(
            facts=StepNode(
                identity=loaded.identity,
                digest=node.digest,
                isolation=engine.isolation,
                is_idempotent=metadata.idempotent,
                reads_files=bool(paths),
                is_timed=engine.times_calls,
            ),
            loaded=replace(
                loaded,
                variables=variables,
                rules=rules,
                is_trusted=planned.access.is_trusted,
                isolation=planned.isolation,
                libraries=libraries,
                is_idempotent=metadata.idempotent,
            ),
            engine=engine,
            schemas=NodeSchemas(metadata, contract, shows_values=shows_values),
            grants=grants,
            paths=paths,
            written_paths=MarkingSchemas.of(WRITTEN_PATH, *declared),
            unrecorded=MarkingSchemas.of(
                WRITE_ONLY, object_schema(metadata.outputs), contract.output
            ),
            key=node_key(
                node.digest,
                planned.permissions,
                {
                    "libraries": libraries,
                    "variables": variables,
                    "configuration": contexts.config,
                    "system": system_variables(environment),
                    "secrets": {name: sha256_of(value) for name, value in grants.secrets.items()},
                },
            ),
            libraries=libraries,
            folder=str(len(prepared)),
        )

    for planned in plan.nodes.values():
        if planned.key not in prepared:
            prepared[planned.key] = prepare_node(planned)
    problems = check_step_types(
        plan.workflow, {name: planned.node.metadata for name, planned in plan.nodes.items()}
    )
    if problems:
        raise StepMismatchError(f"the workflow cannot run: {problems[0].message}", problems)
    return PreparedPlan(
        plan,
        {name: prepared[p.key] for name, p in plan.nodes.items()},
        contexts.config,
        tuple(warnings),
        plan.workflow.dependents(),
    )


def _inline_contract(metadata: NodeMetadata) -> JsonObject | None:
    contract = metadata.extra.get("state_contract")
    return contract if isinstance(contract, Mapping) else None
