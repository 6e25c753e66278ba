"""Whose outputs meet whose inputs, by their JSON Schemas; and workflows that follow from it.

Pure functions of manifests. A fit is an offer, not a proof: ``onex run`` checks every value.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from onex.domain.json_value import JsonObject, JsonValue
from onex.domain.metadata import NodeMetadata
from onex.domain.template import INPUT_NAME
from onex.schemas.object_schema import is_required, object_schema
from onex.schemas.step_types import conflict

_NO_SCHEMA: JsonObject = {}
_PREFIX = "steps."
_SAME_NAME, _SAME_TYPE, _SAME_FORMAT = 4, 2, 1


@dataclass(frozen=True, slots=True)
class Link:
    """One input that one value can meet.

    ``value`` is where the value comes from, as a reference of a workflow names it.
    ``strength`` is larger the more speaks for it; ``reason`` says what that is.
    """

    input: str
    value: str
    strength: int
    reason: str


@dataclass(frozen=True, slots=True)
class ContractFit:
    """How far the outputs of one node meet the inputs of another.

    ``foreach`` is the list over which the other would be called, None for a single call;
    ``missing`` are the required inputs that nothing meets.
    """

    source: NodeMetadata
    links: Sequence[Link]
    missing: Sequence[str]
    foreach: str | None = None

    @property
    def score(self) -> float:
        """From 0 to 1: how many of the inputs are met, and how much speaks for it."""
        needed = len(self.links) + len(self.missing)
        best = _SAME_NAME + _SAME_TYPE + _SAME_FORMAT
        return (
            round(sum(link.strength for link in self.links) / (best * needed), 2) if needed else 0.0
        )

    def to_json(self) -> dict[str, JsonValue]:
        """The fit in the shape that ``fit`` prints."""
        return {
            "node": str(self.source.node_version),
            "score": self.score,
            "foreach": self.foreach,
            "links": [
                {"input": link.input, "from": link.value, "reason": link.reason}
                for link in self.links
            ],
            "missing": list(self.missing),
        }


def rank_fits(target: NodeMetadata, sources: Iterable[NodeMetadata]) -> list[ContractFit]:
    """The nodes whose outputs meet inputs of the target, the best first; others are left out."""
    fits = (
        fit_of(_Given(source, f"{_PREFIX}{source.name}", _result_of(source)), target)
        for source in sources
        if source.node != target.node and source.outputs
    )
    return sorted(
        (fit for fit in fits if fit.links), key=lambda f: (-f.score, str(f.source.node_version))
    )


@dataclass(frozen=True, slots=True)
class _Given:
    """A result that may be referred to: whose it is, by which reference, and its schema."""

    source: NodeMetadata
    reference: str
    schema: JsonObject


def _result_of(node: NodeMetadata) -> JsonObject:
    return object_schema(node.outputs) if node.outputs else _NO_SCHEMA


def fit_of(given: _Given, target: NodeMetadata) -> ContractFit:
    """How one result meets the inputs of a node: in one call, or in one for each member of a list.

    The list is taken if it meets more of what is required.
    """
    direct = _fit(given, target, list(_values(given)), None)
    best = direct
    for reference, schema in _values(given):
        items = schema.get("items")
        if schema.get("type") != "array" or not isinstance(items, Mapping) or not items:
            continue
        item = _Given(given.source, "item", items)
        found = _fit(given, target, list(_values(item)), reference)
        if (len(found.missing), -found.score) < (len(best.missing), -best.score):
            best = found
    return best


def _fit(
    given: _Given,
    target: NodeMetadata,
    values: Sequence[tuple[str, JsonObject]],
    foreach: str | None,
) -> ContractFit:
    links, missing = [], []
    for name, schema in target.inputs.items():
        wanted = schema if isinstance(schema, Mapping) else _NO_SCHEMA
        link = _best_link(name, wanted, values)
        # What may be left out is linked only to what is meant for it, by its name.
        is_needed = is_required(wanted)
        if link is not None and (is_needed or link.strength > _SAME_NAME):
            links.append(link)
        elif is_needed:
            missing.append(name)
    return ContractFit(given.source, links, missing, foreach)


def _best_link(
    name: str, wanted: JsonObject, values: Sequence[tuple[str, JsonObject]]
) -> Link | None:
    links = [
        Link(name, reference, strength, reason)
        for reference, schema in values
        if (found := _strength(name, wanted, reference, schema)) is not None
        for strength, reason in [found]
    ]
    return max(links, key=lambda link: link.strength, default=None)


def _strength(
    name: str, wanted: JsonObject, reference: str, given: JsonObject
) -> tuple[int, str] | None:
    """How much speaks for a value as an input, and in words; None if nothing does."""
    if conflict(given, wanted) is not None:
        return None
    has_name = reference.rpartition(".")[2] == name
    kind = given.get("type")
    has_type = bool(kind) and kind == wanted.get("type")
    is_path = given.get("format") == "path"
    if wanted.get("format") == "path" and not (has_name or is_path):
        # Any text could be a path; only a name or a format says that it is meant as one.
        return None
    if has_name:
        has_format = has_type and given.get("format") == wanted.get("format")
        strength = _SAME_NAME + _SAME_TYPE * has_type + _SAME_FORMAT * has_format
        return strength, "the same name" + (f" and type, {kind}" if has_type else "")
    if is_path and wanted.get("format") == "path":
        return _SAME_TYPE + _SAME_FORMAT, "both are files"
    shared = sorted(_members_of(given) & _members_of(wanted))
    if has_type and shared:
        return _SAME_TYPE + _SAME_FORMAT, f"both are of type {kind} with {', '.join(shared)}"
    if has_type and kind == "array":
        # Plain values of one type are too many for the type alone to say anything.
        return _SAME_FORMAT, "a guess: both are lists, and nothing else speaks for it"
    return None


def _members_of(schema: JsonObject) -> set[str]:
    """The members that an object, or each item of a list, is said to have."""
    items = schema.get("items")
    properties = (items if isinstance(items, Mapping) else schema).get("properties")
    return set(properties) if isinstance(properties, Mapping) else set()


def _values(given: _Given) -> Iterator[tuple[str, JsonObject]]:
    """A result and its members, by the references that name them."""
    yield given.reference, given.schema
    properties = given.schema.get("properties")
    if isinstance(properties, Mapping):
        for name, schema in properties.items():
            if not INPUT_NAME.fullmatch(name):
                # No reference of a workflow can name it.
                continue
            yield f"{given.reference}.{name}", schema if isinstance(schema, Mapping) else _NO_SCHEMA


# A workflow of nodes


@dataclass(frozen=True, slots=True)
class ProposedStep:
    """One step of a proposed workflow; ``arguments`` are references by input, with reasons."""

    id: str
    node: NodeMetadata
    foreach: str | None
    arguments: Mapping[str, Link]


@dataclass(frozen=True, slots=True)
class ProposedWorkflow:
    """Steps in the order of their nodes; ``inputs`` are those of the workflow, with schemas."""

    steps: Sequence[ProposedStep]
    inputs: Mapping[str, JsonObject] = field(default_factory=dict)

    @property
    def unconnected(self) -> list[str]:
        """The steps after the first that use nothing of the steps before them."""
        return [
            step.id
            for step in self.steps[1:]
            if step.foreach is None
            and not any("steps." in link.value for link in step.arguments.values())
        ]

    @property
    def unused(self) -> list[str]:
        """The steps before the last whose results no step uses."""
        values = [step.foreach or "" for step in self.steps]
        values += [link.value for step in self.steps for link in step.arguments.values()]
        return [
            step.id
            for step in self.steps[:-1]
            if not any(f"{value}.".startswith(f"steps.{step.id}.") for value in values)
        ]


def propose_workflow(nodes: Sequence[NodeMetadata]) -> ProposedWorkflow:
    """Join nodes: what a step needs comes from the steps before it, the nearest that fits best.

    Required inputs that no step meets become inputs of the workflow.
    """
    names = _step_names(nodes)
    given: list[_Given] = []
    steps: list[ProposedStep] = []
    inputs: dict[str, JsonObject] = {}
    for name, node in zip(names, nodes, strict=True):
        links: dict[str, Link] = {}
        foreach = None
        for result in reversed(given):
            fit = fit_of(result, node)
            if fit.foreach is not None and (foreach is not None or links):
                fit = _fit(result, node, list(_values(result)), None)
            if fit.foreach is not None:
                foreach = fit.foreach
            for link in fit.links:
                if link.input not in links or link.strength > links[link.input].strength:
                    links[link.input] = link
        for wanted, schema in node.inputs.items():
            body = schema if isinstance(schema, Mapping) else _NO_SCHEMA
            if wanted in links or not (is_required(body) or "default" in body):
                continue
            plain = _plain_name(wanted)
            known = plain if inputs.get(plain, body) == body else f"{name}_{plain}"
            inputs[known] = body
            told = "no step before gives it" if is_required(body) else "it has a default"
            links[wanted] = Link(wanted, f"inputs.{known}", 0, told)
        ordered = {wanted: links[wanted] for wanted in node.inputs if wanted in links}
        steps.append(ProposedStep(name, node, foreach, ordered))
        schema = _result_of(node)
        if foreach is not None:
            schema = {"type": "array", "items": schema} if schema else {"type": "array"}
        given.append(_Given(node, f"steps.{name}", schema))
    return ProposedWorkflow(steps, inputs)


def _plain_name(name: str) -> str:
    """A name that references can use, like the given one."""
    plain = "".join(c if c.isascii() and (c.isalnum() or c in "_-") else "_" for c in name)
    return plain if INPUT_NAME.fullmatch(plain) else f"_{plain}"


def _step_names(nodes: Sequence[NodeMetadata]) -> list[str]:
    found: list[str] = []
    for node in nodes:
        base = _plain_name(node.name)
        name, number = base, 2
        while name in found:
            name, number = f"{base}_{number}", number + 1
        found.append(name)
    return found
