"""Checks the inputs of each step against its node's schemas, before anything runs.

Nothing is refused that could work: a mismatch is reported only if no value at all
would meet both schemas. Pure functions of the workflow and of what nodes declare.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence

from onex.domain.errors import Location, Problem, Severity, StepMismatchError
from onex.domain.json_value import ARTIFACT_KEY, JsonObject, JsonValue
from onex.domain.metadata import NodeMetadata
from onex.domain.template import Reference, references_in, whole_reference
from onex.domain.workflow import Step, Workflow
from onex.schemas.node_schemas import first_problem_of
from onex.schemas.object_schema import is_required, object_schema

_UNKNOWN: JsonObject = {}
_ALL_TYPES = frozenset({"null", "boolean", "number", "string", "array", "object"})


def check_step_types(workflow: Workflow, nodes: Mapping[str, NodeMetadata]) -> list[Problem]:
    """Every step whose inputs can never be what its node declares.

    Args:
        workflow: the steps.
        nodes: by step, the manifest of the node that was chosen for it.
    """
    types = _Types(workflow, nodes)
    return [
        Problem(
            StepMismatchError.code,
            Severity.ERROR,
            f"step {step.id}: {message}",
            Location(f"steps.{step.id}"),
            hint,
        )
        for step in workflow.steps.values()
        for message, hint in (*types.unknown_parts(step.references()), *types.mismatches(step))
    ] + [
        Problem(
            StepMismatchError.code, Severity.ERROR, f"outputs: {message}", Location("outputs"), hint
        )
        for message, hint in types.unknown_parts(references_in(workflow.outputs))
    ]


class _Types:
    def __init__(self, workflow: Workflow, nodes: Mapping[str, NodeMetadata]) -> None:
        self._workflow = workflow
        self._nodes = nodes

    def unknown_parts(self, references: Iterable[Reference]) -> Iterator[tuple[str, str]]:
        """References to parts of results that their nodes do not declare."""
        for reference in dict.fromkeys(references):
            if reference.root != "steps" or len(reference.parts) < 3:
                continue
            step = self._workflow.steps[str(reference.parts[1])]
            node, part = self._nodes[step.id], reference.parts[2]
            if step.is_fan_out:
                if isinstance(part, str):
                    yield (
                        f"{reference} names {part!r} of a list: {step.id} has foreach",
                        f"refer to all results, steps.{step.id}, or to one, steps.{step.id}[0]",
                    )
                    continue
                part = reference.parts[3] if len(reference.parts) > 3 else 0
            if node.outputs and isinstance(part, str) and part not in node.outputs:
                close = difflib.get_close_matches(part, node.outputs, 1)
                meant = f"did you mean {close[0]}? " if close else ""
                declared = ", ".join(node.outputs)
                yield (
                    f"{reference} names {part!r}, which {node.node_version} does not declare",
                    f"{meant}it declares the outputs {declared}",
                )

    def mismatches(self, step: Step) -> Iterator[tuple[str, str]]:
        """What is wrong with a step, and what to do about it."""
        node = self._nodes[step.id]
        items = self._of(step.foreach, _UNKNOWN) if step.is_fan_out else _UNKNOWN
        if step.is_fan_out and "array" not in _types(items):
            yield f"foreach goes over {_named(items)}, which is not a list", "refer to a list"
        declared = node.inputs
        if not declared:
            return
        hint = f"{node.node_version} declares the inputs {', '.join(declared)}"
        item = _member(items, "items")
        for name, template in step.arguments.items():
            if name not in declared:
                yield f"{node.node_version} has no input {name!r}", hint
                continue
            schema = _as_schema(declared[name])
            problem = self._mismatch(template, item, schema)
            if problem is not None:
                yield f"the input {name} {problem}", hint
        for name, member in declared.items():
            if name not in step.arguments and is_required(_as_schema(member)):
                remedy = f"add {name} to with"
                if self._workflow.is_single_call:
                    remedy = f"give it: --input {name}=VALUE, or inputs={{'{name}': ...}} in Python"
                yield f"the input {name} of {node.node_version} is not given", remedy

    def _mismatch(self, template: JsonValue, item: JsonObject, wanted: JsonObject) -> str | None:
        reference = whole_reference(template)
        if reference is not None:
            return conflict(self._of_reference(reference, item), wanted)
        if any(references_in(template)):
            return conflict(self._of(template, item), wanted)
        return first_problem_of(wanted, template)

    def _of(self, template: JsonValue, item: JsonObject) -> JsonObject:
        """The schema of what a template becomes."""
        reference = whole_reference(template)
        if reference is not None:
            return self._of_reference(reference, item)
        if isinstance(template, str):
            return {"type": "string"}
        if isinstance(template, Mapping):
            return {"type": "object"}
        if isinstance(template, Sequence):
            members = [self._of(member, item) for member in template]
            is_uniform = bool(members) and all(member == members[0] for member in members)
            return {"type": "array", "items": members[0]} if is_uniform else {"type": "array"}
        return {"const": template}

    def _of_reference(self, reference: Reference, item: JsonObject) -> JsonObject:
        match reference.root:
            case "inputs":
                schema = _as_schema(self._workflow.inputs.get(str(reference.parts[1]), _UNKNOWN))
                return _descend(schema, reference.parts[2:])
            case "steps":
                name = str(reference.parts[1])
                return _descend(self._of_result(self._workflow.steps[name]), reference.parts[2:])
            case "item":
                return _descend(item, reference.parts[1:])
            case _:
                return _UNKNOWN

    def _of_result(self, step: Step) -> JsonObject:
        outputs = self._nodes[step.id].outputs
        result = object_schema(outputs) if outputs else _UNKNOWN
        return {"type": "array", "items": result} if step.is_fan_out else result


def conflict(given: JsonObject, wanted: JsonObject) -> str | None:
    """Why no value that meets the first schema can meet the second; None if one may."""
    if "const" in given:
        return first_problem_of(wanted, given["const"])
    choices = given.get("enum")
    if isinstance(choices, Sequence) and not isinstance(choices, str) and choices:
        problems = [first_problem_of(wanted, choice) for choice in choices]
        return problems[0] if all(problem is not None for problem in problems) else None
    if not _types(given) & _types(wanted):
        return f"must be {_named(wanted)}, and gets {_named(given)}"
    if _types(given) == {"array"}:
        inner = conflict(_member(given, "items"), _member(wanted, "items"))
        is_filled = isinstance(given.get("minItems"), int) and given["minItems"] != 0
        return f"is a list whose items do not fit: each {inner}" if inner and is_filled else None
    return None


def _descend(schema: JsonObject, parts: Sequence[str | int]) -> JsonObject:
    for part in parts:
        if isinstance(part, int):
            schema = _member(schema, "items")
        else:
            properties = schema.get("properties")
            members = properties if isinstance(properties, Mapping) else _UNKNOWN
            schema = _member(members, part)
    return schema


def _types(schema: JsonObject) -> frozenset[str]:
    """The JSON types that a schema may allow; an integer is a number here."""
    if schema.get("format") == "path" or ARTIFACT_KEY in schema:
        # A file that a node hands over reaches the next one as its path.
        return frozenset({"string", "object"})
    declared = schema.get("type")
    names = [declared] if isinstance(declared, str) else declared
    if not isinstance(names, Sequence):
        return _ALL_TYPES
    found = {"number" if name == "integer" else str(name) for name in names}
    if "object" in found:
        # An artifact's record is an object, and the node receives its path.
        found.add("string")
    return frozenset(found) & _ALL_TYPES or _ALL_TYPES


def _member(schema: JsonObject, key: str) -> JsonObject:
    return _as_schema(schema.get(key, _UNKNOWN))


def _as_schema(value: JsonValue) -> JsonObject:
    return value if isinstance(value, Mapping) else _UNKNOWN


def _named(schema: JsonObject) -> str:
    declared = schema.get("type")
    if isinstance(declared, str):
        return f"of type {declared}"
    return "of type " + " or ".join(sorted(_types(schema)))
