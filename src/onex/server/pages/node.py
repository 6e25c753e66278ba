"""The page of a node: what it does, how it is run, what it asks for, and why to trust it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response

from onex.domain.access_control import Action
from onex.domain.advisory import Advisory
from onex.domain.json_value import JsonObject, JsonValue
from onex.domain.metadata import NodeMetadata, RegisteredNode
from onex.domain.reference import NodeId, NodeRef, NodeVersion
from onex.domain.version import Version
from onex.registry import Registry
from onex.schemas.object_schema import is_required
from onex.schemas.release_check import added_permissions, breaking_changes
from onex.server.gate import Caller
from onex.server.pages.charts import sparkline
from onex.server.pages.readme import readme_of, rendered
from onex.server.pages.site import Site, whole_number
from onex.telemetry import metric_catalog as catalog
from onex.telemetry.measurements import Distribution

SHOWN_VERSIONS = 20
SHOWN_OTHERS = 40
SHOWN_CHANGES = 6
SHOWN_EXAMPLES = 10


@dataclass(frozen=True, slots=True)
class Member:
    """One input or output."""

    name: str
    type: str
    is_required: bool
    default: str
    description: str
    example: str


@dataclass(frozen=True, slots=True)
class ShownExample:
    """A call of the manifest: how it is made on the command line, and what comes of it."""

    name: str
    command: str
    result: str


@dataclass(frozen=True, slots=True)
class VersionRow:
    """One version in the list: what became of it, and what it changed for callers."""

    node: RegisteredNode
    advisories: Sequence[Advisory]
    breaks: Sequence[str]
    asks: Sequence[str]
    adds: Sequence[str]
    is_first: bool


@dataclass(frozen=True, slots=True)
class Statistics:
    """What is known of the calls of a node: how many, how many failed, and how long they took."""

    calls: int
    failures: int
    cached: int
    median: float | None
    slow: float | None
    chart: Markup


def node_page(site: Site, request: Request) -> Response:
    """The page of one version; without a version, of the one that ``latest`` means."""
    path = request.path_params
    identity = NodeId.parse(f"{path['type']}://{path['namespace']}")
    caller = site.caller(request)
    site.api.require_readable(caller, identity)
    registry = site.registry(caller)
    storage = registry.storage
    if "version" in path:
        wanted = NodeVersion.parse(f"{identity}@{path['version']}")
        node = site.api.existing(caller, wanted).storage.node(wanted)
    else:
        node = registry.node(NodeRef.parse(str(identity)))
    if node is None:
        raise LookupError(f"{identity} has no version")
    numbers = list(reversed(storage.version_numbers(identity)))
    first = whole_number(request.query_params.get("from", ""), 0)
    metadata = node.metadata
    dependents = [d for d in storage.dependents(identity) if site.api.visible(caller).shows(d.node)]
    readme = readme_of(registry, node)
    validation = registry.validator.validate(node)
    return site.page(
        request, "node.html", caller,
        node=node, metadata=metadata, numbers=len(numbers),
        versions=_rows(registry, identity, numbers, first),
        earlier=first + SHOWN_VERSIONS if first + SHOWN_VERSIONS < len(numbers) else None,
        command=_command(metadata), inputs=_members(metadata.inputs),
        outputs=_members(metadata.outputs), examples=_examples(metadata),
        permissions=[(str(p), p.in_words()) for p in metadata.requests],
        advisories=registry.advisories.affecting(metadata.node_version),
        dependencies=metadata.dependencies,
        dependents=dependents[:SHOWN_OTHERS], more_dependents=len(dependents) - SHOWN_OTHERS,
        readme=None if readme is None else rendered(*readme),
        validation=validation, signatures=_signatures(node),
        statistics=_statistics(site, registry, caller, node),
        is_here=site.may(caller, Action.DECIDE),
        places=[o.path for o in node.origins] if site.may(caller, Action.DECIDE) else [],
    )  # fmt: skip


def _examples(metadata: NodeMetadata) -> list[ShownExample]:
    """The first examples, as somebody would try them."""
    shown = []
    for example in metadata.examples[:SHOWN_EXAMPLES]:
        command = example.command(str(metadata.node_version))
        if example.error is not None:
            result = f"ends with {example.error}"
        elif example.has_output:
            result = json.dumps(example.output, indent=2, ensure_ascii=False)
        else:
            result = json.dumps(example.output_schema, indent=2, ensure_ascii=False)
        shown.append(ShownExample(example.name, command, result))
    return shown


def _rows(
    registry: Registry, identity: NodeId, numbers: Sequence[Version], first: int
) -> list[VersionRow]:
    """The versions of one page of the list, each beside the one before it."""
    storage = registry.storage
    some = [
        storage.node(NodeVersion(identity, version))
        for version in numbers[first : first + SHOWN_VERSIONS + 1]
    ]
    found = [node for node in some if node is not None]
    rows = []
    for place, node in enumerate(found[:SHOWN_VERSIONS]):
        before = found[place + 1].metadata if place + 1 < len(found) else None
        rows.append(
            VersionRow(
                node,
                registry.advisories.affecting(node.metadata.node_version),
                [] if before is None else breaking_changes(before, node.metadata)[:SHOWN_CHANGES],
                [] if before is None else added_permissions(before, node.metadata),
                [] if before is None else _added(before, node.metadata),
                is_first=first + place + 1 == len(numbers),
            )
        )
    return rows


def _added(before: NodeMetadata, after: NodeMetadata) -> list[str]:
    """The inputs and outputs that a version has and the one before had not."""
    pairs = (("input", before.inputs, after.inputs), ("output", before.outputs, after.outputs))
    return [f"{kind} {name}" for kind, old, new in pairs for name in new if name not in old]


def _command(metadata: NodeMetadata) -> str:
    """The line that runs a version, with the inputs that must be given."""
    parts = ["onex", "run", str(metadata.node_version)]
    for name, schema in metadata.inputs.items():
        if isinstance(schema, Mapping) and is_required(schema) and "default" not in schema:
            parts += ["--input", f"{name}={_example(schema) or name.upper()}"]
    return shlex.join(parts)


def _members(members: JsonObject) -> list[Member]:
    rows = []
    for name, schema in members.items():
        body = schema if isinstance(schema, Mapping) else {}
        rows.append(
            Member(
                name=name,
                type=_type(body),
                is_required=is_required(body) and "default" not in body,
                default=_written(body["default"]) if "default" in body else "",
                description=str(body.get("description") or body.get("title") or ""),
                example=_example(body),
            )
        )
    return rows


def _type(schema: Mapping[str, JsonValue]) -> str:
    found = schema.get("type")
    if "enum" in schema and isinstance(schema["enum"], list | tuple):
        return "one of " + ", ".join(map(str, schema["enum"][:8]))
    kind = " or ".join(map(str, found)) if isinstance(found, list | tuple) else str(found or "any")
    items = schema.get("items")
    if kind == "array" and isinstance(items, Mapping) and isinstance(items.get("type"), str):
        kind = f"array of {items['type']}"
    return f"{kind} ({schema['format']})" if isinstance(schema.get("format"), str) else kind


def _example(schema: Mapping[str, JsonValue]) -> str:
    examples = schema.get("examples")
    first = examples[0] if isinstance(examples, list | tuple) and examples else None
    first = schema.get("example", first)
    if first is None:
        return ""
    return first if isinstance(first, str) else _written(first)


def _written(value: JsonValue) -> str:
    return json.dumps(value, ensure_ascii=False)


def _signatures(node: RegisteredNode) -> list[dict[str, object]]:
    """Who signed a version, when, and from which commit."""
    from onex.domain.statement import ReleaseStatement
    from onex.trust.signing import signers_of

    found: list[dict[str, object]] = []
    for one in node.evidence.statements if node.evidence is not None else ():
        try:
            said = ReleaseStatement.parse(one.envelope.payload)
        except ValueError:
            # The validation says what is wrong with it.
            continue
        keys = sorted(key.id for key in signers_of(one.envelope))
        commit = None if said.commit is None else said.commit.to_json()
        found.append({"keys": keys, "commit": commit, "time": one.time, "entry": one.serial})
    return found


def _statistics(
    site: Site, registry: Registry, caller: Caller, node: RegisteredNode
) -> Statistics | None:
    """What the history says of a node, to those who may see runs."""
    if not site.may(caller, Action.DECIDE):
        return None
    name = str(node.metadata.node)
    kept = registry.measurements.read()
    calls = {
        (status, cached): int(number)
        for (own, status, cached), number in kept.numbers.get(catalog.CALLS.name, {}).items()
        if own == name
    }
    if not calls:
        return None
    empty = Distribution([0] * (len(catalog.CALL_SECONDS.buckets) + 1))
    took = kept.distributions.get(catalog.CALL_SECONDS.name, {}).get((name,), empty)
    timings = registry.history.journal.timings([node.digest])[node.digest]
    means = [timing.seconds / timing.calls for timing in reversed(timings) if timing.calls]
    return Statistics(
        calls=sum(calls.values()),
        failures=sum(n for (status, _), n in calls.items() if status == "failed"),
        cached=sum(n for (_, cached), n in calls.items() if cached == "true"),
        median=took.quantile(0.5, catalog.CALL_SECONDS.buckets),
        slow=took.quantile(0.95, catalog.CALL_SECONDS.buckets),
        chart=sparkline(means),
    )
