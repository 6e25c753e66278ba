"""PreparedPlan: a plan whose nodes are loaded, verified, checked against each other and granted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from onex.domain.errors import NodeLoadError, StepMismatchError
from onex.domain.json_value import JsonObject, JsonValue, canonical_json, sha256_of
from onex.domain.metadata import NodeMetadata, RegisteredNode
from onex.engines.engine import Engine, LoadedNode
from onex.execution.cache_key import node_key
from onex.execution.context_factory import ExecutionContextFactory, NodeGrants
from onex.execution.environment import (
    declared_variables,
    host_environment,
    library_versions,
    system_variables,
)
from onex.execution.node_loader import NodeLoader
from onex.execution.plan import ExecutionPlan
from onex.schemas.node_schemas import NodeSchemas, object_schema
from onex.schemas.places import PATH, WRITE_ONLY, MarkingSchemas
from onex.schemas.state_contract import read_state_contract
from onex.schemas.step_types import check_step_types


@dataclass(frozen=True, slots=True)
class PreparedNode:
    """All that the calls of one node have in common.

    ``paths`` say which inputs are paths, ``unrecorded`` which parts of results are not
    recorded; ``key`` is that part of their cache keys; ``libraries`` are the installed versions of
    those it declares.
    """

    registered: RegisteredNode
    identity: str
    loaded: LoadedNode
    engine: Engine
    schemas: NodeSchemas
    grants: NodeGrants
    paths: MarkingSchemas
    unrecorded: MarkingSchemas
    key: str
    libraries: Mapping[str, str]


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
    engines: Mapping[str, Engine],
    contexts: ExecutionContextFactory,
    environment: Mapping[str, str],
) -> PreparedPlan:
    """Load and verify every node of a plan, and check that its steps fit together.

    Args:
        plan: what to prepare.
        loader: brings the nodes' files.
        engines: what executes nodes, by the type of their entry points.
        contexts: grants permissions and secrets.
        environment: where the variables come from that nodes declare.

    Raises:
        NodeLoadError: a node has no code that can be run.
        DigestMismatchError: a node's files are not those that were registered.
        LibraryMissingError: a Python library that a node declares is not there.
        SecretsNotPrivateError: the file of secrets is open to others.
        SchemaMismatchError: a node's schemas are not valid.
        StepMismatchError: what goes into a step can never be what its node declares.
    """
    prepared: dict[str, PreparedNode] = {}
    warnings: dict[str, None] = {}
    # What must not be recorded of one result may be in the inputs of any other call.
    shows_values = not any(
        MarkingSchemas.of(WRITE_ONLY, node.metadata.outputs, _inline_contract(node.metadata))
        for node in plan.nodes.values()
    )

    def prepare_node(node: RegisteredNode) -> PreparedNode:
        metadata = node.metadata
        variables = declared_variables(metadata, environment)
        libraries = library_versions(metadata)
        loaded = loader.load_node(node, variables)
        if loaded.kind not in engines:
            raise NodeLoadError(
                f"nothing here executes entry points of type {loaded.kind}",
                hint="choose another engine",
            )
        grants = contexts.grants_of(metadata)
        contract = read_state_contract(metadata, loaded.folder)
        if contract.warning:
            warnings[contract.warning] = None
        return PreparedNode(
            node,
            loaded.identity,
            loaded,
            engines[loaded.kind],
            NodeSchemas(metadata, contract, shows_values=shows_values),
            grants,
            MarkingSchemas.of(PATH, object_schema(metadata.inputs), contract.inputs),
            MarkingSchemas.of(WRITE_ONLY, object_schema(metadata.outputs), contract.output),
            node_key(
                node.digest,
                metadata,
                {
                    "libraries": libraries,
                    "variables": variables,
                    "configuration": contexts.config,
                    "system": system_variables(environment),
                    "secrets": {name: sha256_of(value) for name, value in grants.secrets.items()},
                },
            ),
            libraries,
        )

    for node in plan.nodes.values():
        if node.digest not in prepared:
            prepared[node.digest] = prepare_node(node)
    problems = check_step_types(
        plan.workflow, {name: node.metadata for name, node in plan.nodes.items()}
    )
    if problems:
        raise StepMismatchError(f"the workflow cannot run: {problems[0].message}", problems)
    return PreparedPlan(
        plan,
        {name: prepared[node.digest] for name, node in plan.nodes.items()},
        contexts.config,
        tuple(warnings),
        plan.workflow.dependents(),
    )


def _inline_contract(metadata: NodeMetadata) -> JsonObject | None:
    contract = metadata.extra.get("state_contract")
    return contract if isinstance(contract, Mapping) else None
