"""ToolCatalog: the nodes and workflows that a registry offers to agents, as it is now.

Offered is what ``[mcp] expose`` names, if it is active, may be chosen and run by the policy, and is
in ``onex.lock`` if the project has one. Nothing is remembered: each question is asked of the
registry anew, and reads as few nodes as it needs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from onex.agents.tool import Tool, UnofferableError, tool_of_node, tool_of_workflow
from onex.agents.tool_name import name_of_node, name_of_workflow_file, namespace_glob
from onex.domain.access_control import EVERYTHING
from onex.domain.agent_errors import UnknownToolError
from onex.domain.errors import OnexError
from onex.domain.evidence import TrustLevel
from onex.domain.expose_pattern import (
    NamespacePattern,
    NodePattern,
    TagPattern,
    WorkflowPattern,
)
from onex.domain.lifecycle import Lifecycle
from onex.domain.metadata import RegisteredNode
from onex.domain.reference import NodeId, NodeVersion
from onex.manifests.workflow_file import load_workflow
from onex.registry import Registry
from onex.resolution.run_target import name_of_workflow
from onex.resolver.lockfile import Lockfile
from onex.storage.query import MetadataQuery

_PAGE = 100
_MAXIMUM_CANDIDATES = 10_000


@dataclass(frozen=True, slots=True)
class Withheld:
    """A node or a workflow that ``expose`` names and that is not offered, and why."""

    identity: str
    reason: str


class NotForCallerError(UnofferableError):
    """Whoever asks may not know that it is there."""


Candidate = RegisteredNode | Path


class ToolCatalog:
    """The tools of one registry. One object serves one thread, and one question."""

    def __init__(
        self, registry: Registry, may_run: Callable[[str], bool] = lambda namespace: True
    ) -> None:
        """``may_run`` says whether whoever asks may run the nodes of a namespace."""
        self._registry = registry
        self._may_run = may_run
        self._may_run_all = may_run(EVERYTHING)
        expose = registry.configuration.agents.expose
        self._of_nodes = [p for p in expose if not isinstance(p, WorkflowPattern)]
        self._of_workflows = [p for p in expose if isinstance(p, WorkflowPattern)]
        self._lock: Lockfile | None = registry.read_lock()
        self._validator = registry.validator

    def tools(self, limit: int | None = None) -> Sequence[Tool] | None:
        """Every tool by its name; None if there are more than a limit."""
        found: dict[str, Tool] = {}
        taken: set[str] = set()
        # Hardly more nodes are read than may be listed.
        page = _PAGE if limit is None else min(_PAGE, limit + 2)
        for tool in self._offered(self._candidates(page)):
            if tool.name in found and found[tool.name].identity != tool.identity:
                taken.add(tool.name)
            found[tool.name] = tool
            if limit is not None and len(found) > limit:
                return None
        return [found[name] for name in sorted(found) if name not in taken]

    def withheld(self) -> Sequence[Withheld]:
        """What ``expose`` names and is not offered, each with the reason."""
        refused: dict[str, str] = {}
        for candidate in self._candidates(is_active=False):
            try:
                self._tool(candidate)
            except UnofferableError as error:
                refused[self._identity(candidate)] = str(error)
        return [Withheld(identity, reason) for identity, reason in sorted(refused.items())]

    def find(self, text: str, limit: int) -> Sequence[Tool]:
        """The tools in whose names, tags or descriptions a text is found, the best first."""
        scores: dict[NodeId, tuple[float, RegisteredNode]] = {}
        for pattern in self._of_nodes:
            query = replace(self._query(pattern), limit=_PAGE)
            for hit in self._registry.search(text, query):
                node = hit.node.metadata.node
                if node not in scores or scores[node][0] < hit.score:
                    scores[node] = (hit.score, hit.node)
        ranked = sorted(scores.items(), key=lambda found: (-found[1][0], found[0]))
        nodes = (node for _, (_, node) in ranked)
        found: list[Tool] = []
        words = text.lower().split()
        for tool in self._offered(self._files()):
            told = f"{tool.name} {tool.title} {tool.description}".lower()
            if words and all(word in told for word in words):
                found.append(tool)
        for tool in self._offered(self._held(nodes)):
            if len(found) >= limit:
                break
            found.append(tool)
        return found[:limit]

    def tool(self, name: str) -> Tool:
        """The tool of a name.

        Raises:
            UnknownToolError: nothing that is offered has the name, or several have.
        """
        reasons: list[str] = []
        found: dict[str, Tool] = {}
        for candidate in self._named(name):
            try:
                tool = self._tool(candidate)
            except NotForCallerError:
                continue
            except UnofferableError as error:
                reasons.append(f"{self._identity(candidate)} {error}")
            else:
                found[tool.identity] = tool
        if len(found) == 1:
            return next(iter(found.values()))
        if found:
            raise UnknownToolError(
                f"{name} is the name of several tools: {', '.join(sorted(found))}",
                hint="rename one of them; until then neither is called",
            )
        told = f": {reasons[0]}" if reasons else ""
        raise UnknownToolError(
            f"no tool is called {name[:100]!r}{told}",
            hint="list the tools again",
        )

    def _named(self, name: str) -> Iterator[Candidate]:
        """What may be called so, whether or not it is offered."""
        for file in self._files():
            if name_of_workflow_file(self._path(file)) == name:
                yield file
        glob = namespace_glob(name)
        if "?" in glob or "*" in glob:
            query = MetadataQuery(pattern=glob, limit=_PAGE, with_total=False)
        else:
            # The namespace itself comes first, before what is below it.
            query = MetadataQuery(type="tool", namespace=glob, limit=1, with_total=False)
        nodes = (node for node in self._pages(query) if name_of_node(node.metadata.node) == name)
        yield from self._held(nodes)

    def _candidates(self, page: int = _PAGE, *, is_active: bool = True) -> Iterator[Candidate]:
        yield from self._files()
        seen: set[NodeId] = set()
        if self._lock is not None:
            yield from self._locked_nodes()
            return
        for pattern in self._of_nodes:
            query = self._query(pattern)
            if not is_active:
                query = replace(query, lifecycle=None, among_best=False)
            for node in self._pages(replace(query, limit=page, with_total=False)):
                if node.metadata.node not in seen:
                    seen.add(node.metadata.node)
                    yield node

    def _locked_nodes(self) -> Iterator[RegisteredNode]:
        for name in sorted(self._lock.nodes if self._lock else ()):
            node = self._locked(NodeId.parse(name))
            if node is not None and self._is_named(node):
                yield node

    def _held(self, nodes: Iterable[RegisteredNode]) -> Iterator[RegisteredNode]:
        """Those that ``expose`` names, in the versions that are locked if there is a lock."""
        for node in nodes:
            held = self._locked(node.metadata.node) or node
            # Versions of one node may have different tags.
            if self._is_named(held):
                yield held

    def _is_named(self, node: RegisteredNode) -> bool:
        return any(pattern.fits(node.metadata) for pattern in self._of_nodes)

    def _locked(self, node: NodeId) -> RegisteredNode | None:
        locked = None if self._lock is None else self._lock.nodes.get(str(node))
        if locked is None:
            return None
        return self._registry.storage.node(NodeVersion(node, locked.version))

    def _query(self, pattern: NodePattern) -> MetadataQuery:
        # A lock may hold versions that are no more the best of their nodes.
        lifecycle = Lifecycle.ACTIVE if self._lock is None else None
        query = MetadataQuery(lifecycle=lifecycle, among_best=lifecycle is not None)
        match pattern:
            case TagPattern(tag):
                return replace(query, tags=(tag,))
            case NamespacePattern(node_type, namespace):
                below = None if namespace == "*" else namespace.removesuffix(".*")
                return replace(query, type=node_type, namespace=below)

    def _pages(self, query: MetadataQuery) -> Iterator[RegisteredNode]:
        read, wanted = 0, query
        while True:
            page = self._registry.query(wanted)
            yield from page.nodes
            read += len(page.nodes)
            if page.next is None or query.limit == 1:
                return
            if query.pattern is not None and read >= _MAXIMUM_CANDIDATES:
                return
            wanted = replace(query, after=page.next)

    def _files(self) -> Iterator[Path]:
        project = self._registry.configuration.project
        if project is None:
            return
        seen: set[Path] = set()
        for pattern in self._of_workflows:
            for file in sorted(project.glob(pattern.glob)):
                if file not in seen and file.is_file():
                    seen.add(file)
                    yield file

    def _path(self, file: Path) -> str:
        return file.relative_to(self._registry.configuration.project or Path()).as_posix()

    def _identity(self, candidate: Candidate) -> str:
        if isinstance(candidate, Path):
            return f"workflow:{self._path(candidate)}"
        return str(candidate.metadata.node_version)

    def _offered(self, candidates: Iterable[Candidate]) -> Iterator[Tool]:
        for candidate in candidates:
            try:
                yield self._tool(candidate)
            except UnofferableError:
                continue

    def _tool(self, candidate: Candidate) -> Tool:
        """The tool that something is; raises UnofferableError."""
        if isinstance(candidate, Path):
            return self._workflow_tool(candidate)
        trust = self._require_usable(candidate)
        if self._lock is not None:
            locked = self._lock.nodes.get(str(candidate.metadata.node))
            if locked is None or locked.version != candidate.metadata.version:
                raise UnofferableError("is not in onex.lock; onex lock takes it in")
            if locked.digest != candidate.digest:
                raise UnofferableError("changed since it was locked; onex lock shows how")
        return tool_of_node(candidate, trust)

    def _workflow_tool(self, file: Path) -> Tool:
        project = self._registry.configuration.project or Path()
        if not file.resolve().is_relative_to(project.resolve()):
            raise UnofferableError("leads out of the project through a link")
        try:
            workflow = load_workflow(file)
            held = None
            if self._lock is not None:
                held = self._lock.request_for(
                    name_of_workflow(file, self._registry.lock_path.parent), workflow.references()
                )
            found = self._registry.resolve(workflow.references(), held)
            if held is not None:
                held.require(found.selected)
        except OnexError as error:
            kind = UnofferableError if self._may_run_all else NotForCallerError
            raise kind(f"cannot be run: {error.message}") from error
        nodes = [found.selected[root] for root in found.roots]
        levels = [self._require_usable_step(node) for node in nodes]
        order = list(TrustLevel)
        trust = min(levels, key=order.index, default=TrustLevel.LOCAL)
        return tool_of_workflow(workflow, file, self._path(file), nodes, trust)

    def _require_usable_step(self, node: RegisteredNode) -> TrustLevel:
        try:
            return self._require_usable(node)
        except NotForCallerError:
            raise
        except UnofferableError as error:
            told = f"uses {node.metadata.node_version}, which {error}"
            raise UnofferableError(told) from error

    def _require_usable(self, node: RegisteredNode) -> TrustLevel:
        """How far a version can be trusted that may be offered; raises UnofferableError."""
        metadata = node.metadata
        if not self._may_run(metadata.node.namespace):
            raise NotForCallerError("may not be run with this token")
        if metadata.lifecycle is not Lifecycle.ACTIVE:
            raise UnofferableError(
                f"is {metadata.lifecycle}, and active nodes alone are offered; write lifecycle:"
                " active in its manifest"
            )
        if node.yanked:
            raise UnofferableError("was yanked")
        refusal = self._registry.admission.refusal(node)
        if refusal is not None:
            raise UnofferableError(refusal)
        validation = self._validator.validate(node)
        if validation.failure is not None:
            raise UnofferableError(f"may not be run: {validation.failure.detail}")
        return validation.level
