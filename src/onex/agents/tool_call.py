"""One call of a tool: what an agent gives is checked, and then run as anything else is."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from onex.agents.session import ARTIFACT_SCHEME, Session
from onex.agents.tool import Tool
from onex.agents.tool_catalog import ToolCatalog
from onex.domain.agent_errors import ToolChangedError
from onex.domain.artifact_records import Artifact, artifacts_in
from onex.domain.digest import is_digest
from onex.domain.errors import RunCancelledError
from onex.domain.grant import RunAccess
from onex.domain.json_value import ARTIFACT_KEY, JsonObject, JsonValue, as_object
from onex.domain.result import IsolationLevel, RunResult
from onex.execution.cancellation import Cancellation
from onex.execution.designation import OfferedFolders, real_path
from onex.execution.events import Observer
from onex.execution.plan import ExecutionPlan
from onex.registry import Registry
from onex.schemas.given_inputs import GivenInputs
from onex.schemas.object_schema import declared_inputs
from onex.schemas.places import PATH, MarkingSchemas, changed_at, named, value_at
from onex.trust.grants import PendingGrant

STRICT = RunAccess(IsolationLevel.STRICT)


@dataclass(frozen=True, slots=True)
class NeedsRoots:
    """The call names files, and nobody has said yet which folders the user offers."""


@dataclass(frozen=True, slots=True)
class NeedsGrants:
    """The user has to be asked first whether nodes may have what they ask for."""

    tool: Tool
    pending: Sequence[PendingGrant]


@dataclass(frozen=True, slots=True)
class Called:
    """The tool was run, successfully or not; ``artifacts`` are those of its output by digest."""

    tool: Tool
    result: RunResult
    artifacts: Mapping[str, Artifact]

    @property
    def output(self) -> JsonValue:
        """What came of it; the outputs of a workflow, or the result of a node."""
        if isinstance(self.tool.target, Path):
            return self.result.outputs
        return self.result["node"].output


Outcome = NeedsRoots | NeedsGrants | Called


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call as it was asked for, by whom, and with which folders.

    ``roots`` are the folders that may be handed over beside those of the session's client.
    ``may_run`` is as for ToolCatalog. ``is_again`` says that the call was counted already, and is
    made again since what it needed is there now.
    """

    name: str
    arguments: JsonObject
    size_bytes: int
    session: Session
    roots: tuple[Path, ...]
    may_run: Callable[[str], bool]
    actor: str
    is_again: bool = False

    def make(self, registry: Registry, observer: Observer, cancellation: Cancellation) -> Outcome:
        """Run the tool, or say what is needed first.

        Raises:
            UnknownToolError, ToolChangedError: there is no such tool, or it is another one now.
            ForeignArtifactError, PathOutsideRootsError: it names what it may not have.
            BudgetExhaustedError: the session may call nothing any more.

        Otherwise raises as ``Registry.run``.
        """
        if cancellation.is_requested:
            raise RunCancelledError("the call was cancelled before it began", hint="make it again")
        acting = registry.acting_as(self.actor)
        acting.refresh()
        tool = ToolCatalog(acting, self.may_run).tool(self.name)
        self.session.require_unchanged(tool)
        if not self.is_again:
            self.session.begin_call(tool, self.size_bytes)
        values = _with_artifacts(self.arguments, self.session)
        roots = self._real_roots()
        folder = Path(roots[0]) if roots else Path.cwd()
        given = GivenInputs(values, folders=dict.fromkeys(values, folder))
        plan = acting.plan_of(tool.target, given, access=STRICT)
        _require_listed(tool, plan)
        if self.session.roots is None and values and _takes_paths(plan):
            return NeedsRoots()
        plan = _within(replace(plan, offered_folders=tuple(roots)), values)
        if plan.pending:
            return NeedsGrants(tool, plan.pending)
        with self.session.timing():
            result = acting.run(plan, observer=observer, cancellation=cancellation)
        called = Called(tool, result, {})
        return replace(called, artifacts=_kept_artifacts(acting, called.output))

    def _real_roots(self) -> list[str]:
        offered = [*(self.session.roots or ()), *map(os.fspath, self.roots)]
        return list(dict.fromkeys(map(os.path.realpath, offered)))


def _kept_artifacts(registry: Registry, output: JsonValue) -> dict[str, Artifact]:
    """The artifacts of an output that are where the registry keeps such, and not made up."""
    store = registry.history.artifacts
    found = map(Artifact.of, artifacts_in(output))
    return {a.digest: a for a in found if a.path == str(store.path_of(a.digest, a.name))}


def _with_artifacts(arguments: JsonObject, session: Session) -> dict[str, JsonValue]:
    """The arguments with the session's own artifacts in the place of what stands for them."""
    return {name: _with_artifact(value, session) for name, value in arguments.items()}


def _with_artifact(value: JsonValue, session: Session) -> JsonValue:
    text = value.get(ARTIFACT_KEY) if isinstance(value, Mapping) else value
    is_marked = isinstance(value, Mapping) and ARTIFACT_KEY in value
    if isinstance(text, str) and (
        is_marked
        or (text.startswith(ARTIFACT_SCHEME) and is_digest(text.removeprefix(ARTIFACT_SCHEME)))
    ):
        found = session.artifact(text)
        return {
            ARTIFACT_KEY: found.digest,
            "name": found.name,
            "size_bytes": found.size_bytes,
            "path": found.path,
        }
    if isinstance(value, Mapping):
        return {key: _with_artifact(member, session) for key, member in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_with_artifact(member, session) for member in value]
    return value


def _require_listed(tool: Tool, plan: ExecutionPlan) -> None:
    """Raise ToolChangedError if other files would run than those that the tool was made of."""
    for planned in plan.nodes.values():
        node = planned.node
        expected = tool.digests.get(str(node.metadata.node))
        if node.digest != expected:
            raise ToolChangedError(
                f"{node.metadata.node_version} changed while {tool.name} was being called",
                hint="list the tools again, and have the user look at what changed",
            )


def _paths(plan: ExecutionPlan, given: JsonObject) -> list[tuple[str | int, ...]]:
    """The places of paths that the agent named; defaults are the author's."""
    return [
        place
        for place in sorted(plan.path_inputs, key=str)
        if place[0] in given and isinstance(value_at(plan.inputs, place), str)
    ]


def _within(plan: ExecutionPlan, given: JsonObject) -> ExecutionPlan:
    """The plan with real paths in the place of those that the agent named.

    Paths that are put together while the plan runs are checked when they are handed over.

    Raises:
        PathOutsideRootsError: one lies in none of the folders that are offered.
    """
    offered = OfferedFolders.of(plan)
    inputs: JsonValue = plan.inputs
    for place in _paths(plan, given):
        real = real_path(str(value_at(plan.inputs, place)), named(place))
        if offered is not None:
            offered.require(real, named(place))
        inputs = changed_at(inputs, [place], _constant(real))
    return replace(plan, inputs=as_object(inputs))


def _takes_paths(plan: ExecutionPlan) -> bool:
    """Whether a node of the plan takes a path."""
    nodes = (planned.node for planned in plan.nodes.values())
    return any(MarkingSchemas.of(PATH, *declared_inputs(node)) for node in nodes)


def _constant(value: str) -> Callable[[JsonValue], JsonValue]:
    return lambda _: value
