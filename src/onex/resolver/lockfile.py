"""Lockfile: a resolution written down, so that it is found again elsewhere and later.

The text is TOML, sorted and one fact to a line, so that differences read well.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from onex.domain.constraint import VersionConstraint
from onex.domain.errors import (
    ConfigurationError,
    DigestMismatchError,
    OnexError,
    OutdatedLockError,
)
from onex.domain.json_value import JsonObject, JsonValue, as_list, as_object, as_text, as_texts
from onex.domain.metadata import RegisteredNode
from onex.domain.reference import NodeId, NodeRef
from onex.domain.version import Version

LOCKFILE = "onex.lock"
LOCK_FORMAT = 2
_CONFLICT = re.compile(r"^(?:<{7}|={7}|>{7})(?: |$)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class LockedNode:
    """One chosen version: its digest, its source, and the chosen versions it needs."""

    version: Version
    digest: str
    source: str
    dependencies: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LockedRequest:
    """What one workflow asked when it was locked, and what was chosen for it.

    ``workflow`` is its path from the folder of the lock, empty for references that were
    given by hand. ``names`` gives for each name, as it was written, the node it meant; a
    lock of format 1 has none. ``requirements`` and ``nodes`` go by full name.
    """

    workflow: str = ""
    names: Mapping[str, str] = field(default_factory=dict)
    requirements: Mapping[str, VersionConstraint] = field(default_factory=dict)
    nodes: Mapping[str, LockedNode] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        workflow: str,
        names: Mapping[str, str],
        requirements: Mapping[str, VersionConstraint],
        selected: Mapping[NodeId, RegisteredNode],
        needs: Mapping[str, Iterable[str]],
    ) -> LockedRequest:
        """The lock of one resolution; ``needs`` names for each node those it needs."""
        versions = {str(node): str(chosen.metadata.version) for node, chosen in selected.items()}
        nodes = {
            str(node): LockedNode(
                chosen.metadata.version,
                chosen.digest,
                _portable_source(chosen.source),
                tuple(f"{n}@{versions[n]}" for n in sorted(needs[str(node)])),
            )
            for node, chosen in selected.items()
        }
        return cls(workflow, dict(names), dict(requirements), nodes)

    def naming_sources_of(self, other: LockedRequest) -> LockedRequest:
        """The same, but equal files keep the source that another lock names for them.

        Which of several sources gives equal files is no difference between locks.
        """
        nodes = dict(self.nodes)
        for name, node in self.nodes.items():
            known = other.nodes.get(name)
            if known is not None and (known.version, known.digest) == (node.version, node.digest):
                nodes[name] = replace(node, source=known.source)
        return replace(self, nodes=nodes)

    def held(self, references: Iterable[NodeRef], forced: Collection[str] = ()) -> list[NodeRef]:
        """The references, each held to the node that its name meant when it was locked.

        ``forced`` are names that an override gives a meaning of its own.

        Raises:
            OutdatedLockError: a name was not locked.
        """
        if not self.names:
            return list(references)
        found = []
        for reference in references:
            name = reference.without_constraint()
            if name in forced or name in self.nodes:
                found.append(reference)
                continue
            if name not in self.names:
                raise OutdatedLockError(
                    f"{name} of {self.workflow or 'the request'} is not in {LOCKFILE}",
                    hint="run onex lock, and look at the difference",
                )
            node = NodeId.parse(self.names[name])
            found.append(NodeRef(node.type, node.namespace, reference.constraint))
        return found

    def meets(self, reference: NodeRef) -> bool:
        """Whether a reference means a node that is locked here in a version that it allows."""
        name = reference.without_constraint()
        locked = self.nodes.get(self.names.get(name, name))
        return locked is not None and reference.constraint.admits(locked.version)

    def without(self, names: Iterable[str]) -> LockedRequest:
        """The same with some nodes free to move."""
        free = set(names)
        return replace(self, nodes={n: node for n, node in self.nodes.items() if n not in free})

    def require(self, selected: Mapping[NodeId, RegisteredNode]) -> None:
        """Hold a resolution to the lock.

        Raises:
            DigestMismatchError: a chosen version has another digest than the lock.
            OutdatedLockError: a chosen version is not the locked one, or not locked.
        """
        departures = list(self._departures(selected))
        if departures:
            raise OutdatedLockError("; ".join(departures), hint="run onex lock")
        for node, chosen in selected.items():
            if self.nodes[str(node)].digest != chosen.digest:
                raise DigestMismatchError(
                    f"the files of {chosen.metadata.node_version} are not those in {LOCKFILE}",
                    hint="look at the change, then run onex lock, or onex run --relock, to"
                    " accept it",
                    details={
                        "node": str(node),
                        "expected": self.nodes[str(node)].digest,
                        "found": chosen.digest,
                    },
                )

    def _departures(self, selected: Mapping[NodeId, RegisteredNode]) -> Iterator[str]:
        """How a resolution differs from the lock, in words."""
        for node, chosen in selected.items():
            locked = self.nodes.get(str(node))
            version = chosen.metadata.version
            if locked is None:
                yield f"{node}@{version} is not in {LOCKFILE}"
            elif locked.version != version:
                yield f"{node} is {locked.version} in {LOCKFILE}, and must be {version}"


@dataclass(frozen=True, slots=True)
class Lockfile:
    """The requests of a project, each with what was chosen for it."""

    requests: tuple[LockedRequest, ...] = ()

    @property
    def nodes(self) -> Mapping[str, LockedNode]:
        """The highest locked version of each node."""
        found: dict[str, LockedNode] = {}
        for request in self.requests:
            for name, node in request.nodes.items():
                if name not in found or found[name].version < node.version:
                    found[name] = node
        return found

    def request_of(self, workflow: str) -> LockedRequest | None:
        """What was locked for a workflow, or by a lock of format 1 for all; None for nothing."""
        fallback = None
        for request in self.requests:
            if request.workflow == workflow:
                return request
            if not request.names and not request.workflow:
                fallback = request
        return fallback

    def request_for(self, workflow: str, references: Sequence[NodeRef]) -> LockedRequest:
        """The request that a run is held to.

        Args:
            workflow: its path from the folder of the lock; empty for a node by itself, which
                runs as it is locked for any workflow.
            references: what is asked for.

        Raises:
            OutdatedLockError: the lock does not know the workflow, or the node.
        """
        found = self.request_of(workflow)
        if found is not None and (workflow or not found.names):
            return found
        if workflow:
            raise OutdatedLockError(
                f"{workflow} is not in {LOCKFILE}", hint="run onex lock to lock it too"
            )
        for request in self.requests:
            if all(request.meets(reference) for reference in references):
                return request
        asked = ", ".join(map(str, references))
        raise OutdatedLockError(
            f"{asked} is not in {LOCKFILE}",
            hint="run onex lock with it, or leave the lock out with --lock FILE of another",
        )

    @classmethod
    def parse(cls, text: str) -> Lockfile:
        """Read a lockfile of this format or of format 1.

        Raises:
            ConfigurationError: the text is not a lockfile.
        """
        marker = _CONFLICT.search(text)
        if marker is not None:
            raise ConfigurationError(
                f"{LOCKFILE} has conflict markers, the first in line"
                f" {text.count(chr(10), 0, marker.start()) + 1}",
                hint="resolve the merge, or run onex lock to write it anew",
            )
        try:
            body = as_object(tomllib.loads(text.removeprefix("\ufeff")))
            return _read_first_format(body) if body.get("format") == 1 else _read(body)
        except (ValueError, TypeError, KeyError, RecursionError, OnexError) as error:
            raise ConfigurationError(
                f"{LOCKFILE} cannot be read: {str(error) or type(error).__name__}",
                hint="run onex lock to write it anew",
            ) from error

    def changes_to(self, after: Lockfile) -> list[str]:
        """How another lock differs from this one, each change once, in words."""
        return _changes(self, after)

    def to_toml(self) -> str:
        """The text of the lockfile; the same lock always gives the same text."""
        lines = ["# Written by onex lock.", f"format = {LOCK_FORMAT}"]
        nodes: dict[tuple[str, str], LockedNode] = {}
        for request in sorted(self.requests, key=lambda r: r.workflow):
            chosen = sorted(request.nodes.items())
            nodes |= {(name, str(node.version)): node for name, node in chosen}
            lines += ["", "[[request]]", f"workflow = {_quote(request.workflow)}"]
            lines += _list_lines("nodes", (f"{name}@{node.version}" for name, node in chosen))
            lines += _table_lines("request.names", request.names)
            asked = {name: str(constraint) for name, constraint in request.requirements.items()}
            lines += _table_lines("request.requirements", asked)
        for (name, version), node in sorted(nodes.items()):
            lines += [
                "",
                "[[node]]",
                f"node = {_quote(name)}",
                f"version = {_quote(version)}",
                f"digest = {_quote(node.digest)}",
                f"source = {_quote(node.source)}",
                *_list_lines("dependencies", node.dependencies),
            ]
        return "\n".join(lines) + "\n"

    def to_json(self) -> dict[str, JsonValue]:
        """The lock in the shape that ``lock`` prints."""
        nodes = {
            (name, str(node.version)): node
            for request in self.requests
            for name, node in request.nodes.items()
        }
        asked: dict[str, dict[str, None]] = {}
        for request in self.requests:
            for name, constraint in request.requirements.items():
                asked.setdefault(name, {})[str(constraint)] = None
        return {
            "requirements": {name: ", ".join(texts) for name, texts in sorted(asked.items())},
            "workflows": [
                {
                    "workflow": request.workflow,
                    "names": dict(request.names),
                    "nodes": [f"{name}@{node.version}" for name, node in request.nodes.items()],
                }
                for request in self.requests
            ],
            "nodes": [
                {
                    "node": name,
                    "version": version,
                    "digest": node.digest,
                    "source": node.source,
                    "dependencies": list(node.dependencies),
                }
                for (name, version), node in sorted(nodes.items())
            ],
        }

    def to_resolved_versions(self) -> dict[str, JsonValue]:
        """The highest chosen version of each node by full name, for other ONEX tools."""
        return {name: str(node.version) for name, node in self.nodes.items()}


def _read(body: JsonObject) -> Lockfile:
    if body.get("format") != LOCK_FORMAT:
        raise ValueError(f"its format is {body.get('format')}, not {LOCK_FORMAT}")
    nodes: dict[str, tuple[str, LockedNode]] = {}
    for entry in map(as_object, as_list(body.get("node", []))):
        name = str(NodeId.parse(as_text(entry["node"])))
        locked = _locked(entry)
        nodes[f"{name}@{locked.version}"] = name, locked
    requests = []
    for entry in map(as_object, as_list(body.get("request", []))):
        names = {n: as_text(v) for n, v in as_object(entry.get("names", {})).items()}
        for meant in names.values():
            NodeId.parse(meant)
        requests.append(
            LockedRequest(
                as_text(entry["workflow"]),
                names,
                _constraints(entry),
                dict(nodes[label] for label in as_texts(entry["nodes"])),
            )
        )
    return Lockfile(tuple(requests))


def _read_first_format(body: JsonObject) -> Lockfile:
    """A lock of format 1: one request for all workflows, without the names they used."""
    entries = [as_object(entry) for entry in as_list(body.get("node", []))]
    nodes = {str(NodeId.parse(as_text(e["node"]))): _locked(e) for e in entries}
    return Lockfile((LockedRequest("", {}, _constraints(body), nodes),))


def _constraints(body: JsonObject) -> dict[str, VersionConstraint]:
    asked = as_object(body.get("requirements", {}))
    return {name: VersionConstraint.parse(as_text(text)) for name, text in asked.items()}


def _list_lines(name: str, texts: Iterable[str]) -> list[str]:
    return [f"{name} = [", *(f"    {_quote(text)}," for text in texts), "]"]


def _table_lines(name: str, table: Mapping[str, str]) -> list[str]:
    return [f"[{name}]", *(f"{_quote(key)} = {_quote(table[key])}" for key in sorted(table))]


def _portable_source(source: str) -> str:
    """The name of a source; none for a folder that was scanned by its path on this machine."""
    return "" if source.startswith("/") or source[1:3] in (":\\", ":/") else source


def _locked(entry: Mapping[str, JsonValue]) -> LockedNode:
    return LockedNode(
        Version.parse(as_text(entry["version"])),
        as_text(entry["digest"]),
        as_text(entry["source"]),
        as_texts(entry.get("dependencies", [])),
    )


def _quote(text: str) -> str:
    """A TOML basic string."""
    escaped = "".join(
        f"\\{c}" if c in '"\\' else c if c.isprintable() else f"\\U{ord(c):08X}" for c in text
    )
    return f'"{escaped}"'


def _changes(before: Lockfile, after: Lockfile) -> list[str]:
    """How two locks differ, each change once."""
    old, new = ({r.workflow: r for r in lock.requests} for lock in (before, after))
    changes: dict[str, None] = {}
    for workflow in sorted({*old, *new}):
        first = old.get(workflow) or before.request_of(workflow) or LockedRequest()
        second = new.get(workflow, LockedRequest())
        if not workflow and workflow not in new:
            continue
        changes |= dict.fromkeys(_changes_of_nodes(first.nodes, second.nodes))
        for name in sorted(first.names.keys() & second.names.keys()):
            if first.names[name] != second.names[name]:
                meant = f"{first.names[name]}, now {second.names[name]}"
                changes[f"{name} meant {meant}"] = None
    return list(changes)


def _changes_of_nodes(
    before: Mapping[str, LockedNode], after: Mapping[str, LockedNode]
) -> Iterator[str]:
    for name in sorted({*before, *after}):
        old, new = before.get(name), after.get(name)
        if old is None and new is not None:
            yield f"add {name} {new.version}"
        elif new is None and old is not None:
            yield f"drop {name} {old.version}"
        elif old is not None and new is not None and old.version != new.version:
            yield f"move {name} from {old.version} to {new.version}"
        elif old is not None and new is not None and old.digest != new.digest:
            yield f"accept new files of {name} {new.version}"
