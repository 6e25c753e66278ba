"""One call of a tool: what an agent gives is checked, and then run as anything else is."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from onex.agents.session import ARTIFACT_SCHEME, Session
from onex.agents.tool import Tool
from onex.agents.tool_catalog import ToolCatalog
from onex.domain.agent_errors import PathOutsideRootsError, ToolChangedError
from onex.domain.digest import is_digest
from onex.domain.grant import RunAccess
from onex.domain.json_value import ARTIFACT_KEY, JsonObject, JsonValue, as_object
from onex.domain.path_text import is_within
from onex.domain.result import IsolationLevel, RunResult
from onex.execution.cancellation import Cancellation
from onex.execution.events import Observer
from onex.execution.plan import ExecutionPlan
from onex.registry import Registry
from onex.schemas.given_inputs import GivenInputs
from onex.schemas.places import changed_at, named, value_at
from onex.trust.grantable import SYSTEM_FOLDERS
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
    """The tool was run, successfully or not."""

    tool: Tool
    result: RunResult

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
        if self.session.roots is None and any(_paths(plan, values)):
            return NeedsRoots()
        plan = _within_roots(plan, values, roots)
        if plan.pending:
            return NeedsGrants(tool, plan.pending)
        result = acting.run(plan, observer=observer, cancellation=cancellation)
        self.session.end_call(result.seconds)
        return Called(tool, result)

    def _real_roots(self) -> list[str]:
        offered = [*(self.session.roots or ()), *map(os.fspath, self.roots)]
        return list(dict.fromkeys(map(os.path.realpath, offered)))


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


def _within_roots(plan: ExecutionPlan, given: JsonObject, roots: Sequence[str]) -> ExecutionPlan:
    """The plan with real paths, all of which lie in the folders that are offered.

    Raises:
        PathOutsideRootsError: one does not.
    """
    inputs: JsonValue = plan.inputs
    for place in _paths(plan, given):
        text = str(value_at(plan.inputs, place))
        real = os.path.realpath(text)
        if any(is_within(real, folder) for folder in SYSTEM_FOLDERS):
            raise PathOutsideRootsError(
                f"{named(place)} is {text}, which is a folder of the system",
                hint="name a file of the user's",
            )
        if not any(is_within(real, root) for root in roots):
            offered = ", ".join(roots) or "none"
            raise PathOutsideRootsError(
                f"{named(place)} is {text}, which lies in none of the folders that are offered:"
                f" {offered}",
                hint="the user offers folders in the client, by onex mcp --root DIR, or by roots"
                " of [mcp] in onex.toml",
            )
        inputs = changed_at(inputs, [place], _constant(real))
    return replace(plan, inputs=as_object(inputs))


def _constant(value: str) -> Callable[[JsonValue], JsonValue]:
    return lambda _: value
