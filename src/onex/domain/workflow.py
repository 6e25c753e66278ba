"""Workflows: steps that call nodes, and what may refer to what."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter

from onex.domain.errors import Location, Problem, Severity
from onex.domain.json_value import (
    JsonObject,
    JsonValue,
    as_list,
    as_number,
    as_object,
    as_text,
    as_texts,
)
from onex.domain.reference import NodeRef
from onex.domain.retry import DEFAULT_BREAKER, NO_RETRY, BreakerPolicy, RetryPolicy
from onex.domain.template import Reference, TemplateSyntaxError, references_in
from onex.domain.version import Version

STEP_ID = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}", re.ASCII)

DEFAULT_STEP_TIMEOUT_SECONDS = 300.0
FIRST_VERSION = Version(1, 0, 0)
_CALL = "node"
_OUTPUTS_OF_CALL: JsonObject = {"result": f"${{{{ steps.{_CALL} }}}}"}
"""The step and the outputs of a workflow that calls one node once."""


@dataclass(frozen=True, slots=True)
class Step:
    """One call of a node, or one for each item of ``foreach``.

    ``arguments`` are the values under ``with``; they, ``foreach`` and ``when``
    may hold references. ``needs`` are the steps that must succeed first, whether
    named or referred to; ``refers_to_run`` says that what goes in holds facts of the run itself,
    which no other run gives. ``limits`` are those that it sets itself (``domain.limits``). On a
    cluster its calls go to workers that have its ``resources``, those of the highest ``priority``
    first.
    """

    id: str
    node: NodeRef
    arguments: JsonObject = field(default_factory=dict)
    explicit_needs: tuple[str, ...] = ()
    foreach: JsonValue = None
    when: JsonValue = None
    timeout_seconds: float = DEFAULT_STEP_TIMEOUT_SECONDS
    use_cache: bool = True
    retry: RetryPolicy = NO_RETRY
    limits: JsonObject = field(default_factory=dict)
    resources: Mapping[str, float] = field(default_factory=dict)
    priority: int = 0
    needs: frozenset[str] = field(init=False, compare=False, repr=False)
    refers_to_run: bool = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        try:
            references = list(self.references())
        except TemplateSyntaxError:
            # ``check_references`` reports it with its place.
            references = []
        referred = {str(r.parts[1]) for r in references if r.root == "steps"}
        object.__setattr__(self, "needs", frozenset(self.explicit_needs) | referred)
        object.__setattr__(self, "refers_to_run", any(r.root == "run" for r in references))

    def to_json(self) -> JsonObject:
        """The step as JSON; ``from_json`` reads it back unchanged."""
        return {
            "id": self.id,
            "node": str(self.node),
            "with": self.arguments,
            "needs": list(self.explicit_needs),
            "foreach": self.foreach,
            "when": self.when,
            "timeout": self.timeout_seconds,
            "cache": self.use_cache,
            "retry": self.retry.to_json(),
            "limits": self.limits,
            "resources": self.resources,
            "priority": self.priority,
        }

    @classmethod
    def from_json(cls, body: JsonObject) -> Step:
        """Read back what ``to_json`` wrote."""
        return cls(
            id=as_text(body["id"]),
            node=NodeRef.parse(as_text(body["node"])),
            arguments=as_object(body["with"]),
            explicit_needs=as_texts(body["needs"]),
            foreach=body["foreach"],
            when=body["when"],
            timeout_seconds=as_number(body["timeout"]),
            use_cache=bool(body["cache"]),
            retry=RetryPolicy.from_json(as_object(body["retry"])),
            limits=as_object(body.get("limits", {})),
            resources={k: as_number(v) for k, v in as_object(body.get("resources", {})).items()},
            priority=int(as_number(body.get("priority", 0))),
        )

    @property
    def is_fan_out(self) -> bool:
        """Whether the step runs once for each item of a list."""
        return self.foreach is not None

    def references(self) -> Iterator[Reference]:
        """Every reference in the step."""
        yield from references_in(self.arguments)
        yield from references_in(self.foreach)
        yield from references_in(self.when)


@dataclass(frozen=True, slots=True)
class Workflow:
    """A directed acyclic graph of steps.

    ``inputs`` maps each input to its JSON Schema; ``timeout_seconds`` is the time limit of
    a whole run, None for none. ``folder`` is where its file lies, to which its relative paths
    are relative; empty for the working folder.
    """

    name: str
    steps: Mapping[str, Step]
    version: Version = FIRST_VERSION
    description: str = ""
    inputs: Mapping[str, JsonObject] = field(default_factory=dict)
    outputs: JsonObject = field(default_factory=dict)
    fail_fast: bool = True
    timeout_seconds: float | None = None
    breaker: BreakerPolicy = DEFAULT_BREAKER
    folder: str = field(default="", compare=False)

    def to_json(self) -> JsonObject:
        """The workflow as JSON; ``from_json`` reads it back unchanged."""
        return {
            "name": self.name,
            "version": str(self.version),
            "description": self.description,
            "inputs": self.inputs,
            "steps": [step.to_json() for step in self.steps.values()],
            "outputs": self.outputs,
            "fail_fast": self.fail_fast,
            "timeout": self.timeout_seconds,
            "breaker": self.breaker.to_json(),
        }

    @classmethod
    def from_json(cls, body: JsonObject) -> Workflow:
        """Read back what ``to_json`` wrote."""
        steps = [Step.from_json(as_object(step)) for step in as_list(body["steps"])]
        inputs = as_object(body["inputs"])
        return cls(
            name=as_text(body["name"]),
            steps={step.id: step for step in steps},
            version=Version.parse(as_text(body["version"])),
            description=as_text(body["description"]),
            inputs={name: as_object(schema) for name, schema in inputs.items()},
            outputs=as_object(body["outputs"]),
            fail_fast=bool(body["fail_fast"]),
            timeout_seconds=None if body["timeout"] is None else as_number(body["timeout"]),
            breaker=BreakerPolicy.from_json(as_object(body["breaker"])),
        )

    def references(self) -> list[NodeRef]:
        """What each step asks for, in their order."""
        return [step.node for step in self.steps.values()]

    def dependents(self) -> dict[str, list[str]]:
        """For each step that others need, those others in the order of the workflow."""
        found: dict[str, list[str]] = {}
        for step in self.steps.values():
            for needed in step.needs:
                found.setdefault(needed, []).append(step.id)
        return found

    def with_dependents(self, step_ids: Iterable[str]) -> frozenset[str]:
        """Steps, and all steps that depend on one of them."""
        dependents = self.dependents()
        found, pending = set(step_ids), list(step_ids)
        while pending:
            for name in dependents.get(pending.pop(), ()):
                if name not in found:
                    found.add(name)
                    pending.append(name)
        return frozenset(found)

    @property
    def is_single_call(self) -> bool:
        """Whether this is what ``of_node`` makes of a node, so that nobody wrote a file."""
        return self.steps.keys() == {_CALL} and self.outputs == _OUTPUTS_OF_CALL

    @classmethod
    def of_node(cls, node: NodeRef, input_names: Iterable[str]) -> Workflow:
        """The workflow that calls one node once with inputs of these names."""
        names = list(input_names)
        arguments = {name: f"${{{{ inputs.{name} }}}}" for name in names}
        step = Step(_CALL, node, arguments)
        return cls(
            str(node),
            {_CALL: step},
            inputs={name: {} for name in names},
            outputs=_OUTPUTS_OF_CALL,
        )


def check_references(workflow: Workflow) -> list[Problem]:
    """Everything wrong with how the parts of a workflow refer to each other.

    Each problem's location path is the dotted place in the workflow, such as
    ``steps.walk``, for the reader to turn into a line and a column.
    """
    problems: list[Problem] = []
    for step in workflow.steps.values():
        place = f"steps.{step.id}"
        problems += _check_template(
            workflow, step.arguments, f"{place}.with", has_item=step.is_fan_out
        )
        problems += _check_template(workflow, step.foreach, f"{place}.foreach")
        problems += _check_template(workflow, step.when, f"{place}.when")
        problems += [
            _unknown_step(workflow, name, f"{place}.needs")
            for name in step.explicit_needs
            if name not in workflow.steps
        ]
    problems += _check_template(workflow, workflow.outputs, "outputs")
    return problems or _check_cycles(workflow)


def _check_template(
    workflow: Workflow, template: JsonValue, place: str, *, has_item: bool = False
) -> list[Problem]:
    try:
        references = list(references_in(template))
    except TemplateSyntaxError as error:
        return [
            _problem(
                "WFL006", str(error), place, "write ${{ inputs.name }} or ${{ steps.id.part }}"
            )
        ]
    problems = []
    for reference in references:
        if reference.root == "steps" and reference.parts[1] not in workflow.steps:
            problems.append(_unknown_step(workflow, str(reference.parts[1]), place))
        elif reference.root == "inputs" and reference.parts[1] not in workflow.inputs:
            declared = ", ".join(workflow.inputs) or "none"
            problems.append(
                _problem(
                    "WFL005",
                    f"{reference} refers to an input that the workflow does not declare",
                    place,
                    f"declare it under inputs; declared are: {declared}",
                )
            )
        elif reference.root == "item" and not has_item:
            problems.append(
                _problem(
                    "WFL007",
                    f"{reference} is used where there is no item",
                    place,
                    "item exists only under with in a step that has foreach",
                )
            )
    return problems


def _check_cycles(workflow: Workflow) -> list[Problem]:
    graph = {step.id: sorted(step.needs) for step in workflow.steps.values()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        cycle = [str(name) for name in error.args[1]]
        return [
            _problem(
                "WFL008",
                "the steps wait for each other in a circle: " + " -> ".join(reversed(cycle)),
                f"steps.{cycle[0]}",
                "remove one of these needs or references",
            )
        ]
    return []


def _unknown_step(workflow: Workflow, name: str, place: str) -> Problem:
    known = ", ".join(workflow.steps)
    return _problem("WFL004", f"there is no step {name!r}", place, f"the steps are: {known}")


def _problem(code: str, message: str, place: str, hint: str) -> Problem:
    return Problem(code, Severity.ERROR, message, Location(place), hint)


def child_id(step_id: str, index: int) -> str:
    """The name of a child of a fan-out step."""
    return f"{step_id}[{index}]"


def step_of(call_id: str) -> str:
    """The step that a call belongs to."""
    return call_id.partition("[")[0]


def is_child(call_id: str) -> bool:
    """Whether a call is one of several of its step."""
    return "[" in call_id


def index_of(call_id: str) -> int:
    """Which child of its step a call is; -1 if it is the whole step."""
    return int(call_id[call_id.rindex("[") + 1 : -1]) if is_child(call_id) else -1


def calls_among(names: Iterable[str]) -> list[str]:
    """The names without those of fan-out steps, whose children are the calls."""
    listed = list(names)
    fanned_out = {step_of(name) for name in listed if is_child(name)}
    return [name for name in listed if name not in fanned_out]
