"""GivenInputs: the inputs that a user gives to a run, before their schemas are known."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from onex.domain.errors import WorkflowInputError
from onex.domain.json_value import JsonObject, JsonValue, NotFiniteError, parse_json
from onex.domain.template import whole_reference
from onex.domain.workflow import Workflow
from onex.schemas.object_schema import object_schema

MAXIMUM_DEPTH = 20

Inputs: TypeAlias = "Mapping[str, JsonValue | Path] | GivenInputs"
"""Inputs as a program gives them, by name."""


@dataclass(frozen=True, slots=True)
class GivenInputs:
    """Inputs as values, and as texts that are read by what is declared for them.

    ``folders`` says for an input what a relative path in it is relative to; the working
    folder if it says nothing.
    """

    values: JsonObject = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)
    folders: Mapping[str, Path] = field(default_factory=dict)

    @classmethod
    def of(cls, inputs: Inputs | None) -> GivenInputs:
        """Inputs as a program gives them; paths are given on as texts.

        Raises:
            WorkflowInputError: a value is of a type that JSON cannot hold.
        """
        if isinstance(inputs, GivenInputs):
            return inputs
        return cls({name: _plain(name, value) for name, value in (inputs or {}).items()})

    @property
    def names(self) -> Sequence[str]:
        """The names of all that is given."""
        return [*self.values, *self.texts]

    def read(self, workflow: Workflow, declared: Mapping[str, Sequence[JsonObject]]) -> JsonObject:
        """All inputs as values.

        Args:
            workflow: what they are for.
            declared: by step, the schemas of all inputs together that its node declares.

        Raises:
            WorkflowInputError: a number is not one that JSON can hold.
        """
        read = {
            name: _read(name, text, *_schema_of(name, workflow, declared))
            for name, text in self.texts.items()
        }
        return {**self.values, **read}


def _plain(name: str, value: object) -> JsonValue:
    """A value of a program as JSON."""
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, Path):
        return os.fspath(value)
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {key: _plain(name, member) for key, member in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(name, member) for member in value]
    raise WorkflowInputError(
        f"the input {name} holds a value of type {type(value).__name__}, which JSON cannot hold",
        hint="give texts, numbers, lists and mappings with texts as keys",
    )


def _schema_of(
    name: str, workflow: Workflow, declared: Mapping[str, Sequence[JsonObject]]
) -> tuple[JsonObject, JsonObject]:
    """What is declared for an input, by the workflow or else by the node that it goes into.

    Beside it stands the schema that its references are about.
    """
    own = workflow.inputs.get(name, {})
    if own:
        return own, object_schema(workflow.inputs)
    for step in workflow.steps.values():
        for argument, template in step.arguments.items():
            reference = whole_reference(template)
            if reference is None or reference.parts != ("inputs", name):
                continue
            for schema in declared[step.id]:
                members = schema.get("properties")
                member = members.get(argument) if isinstance(members, Mapping) else None
                if isinstance(member, Mapping) and member:
                    return member, schema
    return {}, {}


def _read(name: str, text: str, schema: JsonObject, root: JsonObject) -> JsonValue:
    """A text as what its schema asks for: text if that will do, unless it is JSON of another type.

    An untyped text is never read as a number: a date or a version would lose its zeros.
    """
    types, choices = _types(schema, root, 0), _choices(schema, root)
    if text in choices or types == {"string"}:
        return text
    try:
        value: JsonValue = parse_json(text)
    except NotFiniteError as error:
        if types and "string" not in types:
            raise WorkflowInputError(
                f"the input {name} is {text}, which is not a finite number",
                hint="give a number that JSON can hold",
            ) from error
        return text
    except ValueError:
        return text
    if any(value == choice and _type_of(value) & _type_of(choice) for choice in choices):
        return value
    if not types:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return text if is_number or choices else value
    if _type_of(value) & (types - {"string"}):
        return value
    return text if "string" in types else value


def _types(schema: JsonValue, root: JsonObject, depth: int) -> set[str]:
    """The JSON types that a schema allows; nothing if it does not say."""
    if not isinstance(schema, Mapping) or depth > MAXIMUM_DEPTH:
        return set()
    declared = schema.get("type")
    if isinstance(declared, str):
        return {declared}
    if isinstance(declared, Sequence):
        return {str(name) for name in declared}
    found: set[str] = set()
    for other in _others(schema, root):
        found |= _types(other, root, depth + 1)
    return found


def _others(schema: JsonObject, root: JsonObject) -> Iterator[JsonValue]:
    for key in ("anyOf", "oneOf", "allOf"):
        members = schema.get(key)
        if isinstance(members, Sequence) and not isinstance(members, str):
            yield from members
    reference = schema.get("$ref")
    if isinstance(reference, str) and reference.startswith("#/"):
        found: JsonValue = root
        for part in reference[2:].split("/"):
            found = found.get(part) if isinstance(found, Mapping) else None
        yield found


def _choices(schema: JsonValue, root: JsonObject, depth: int = 0) -> list[JsonValue]:
    """The values that a schema or one of its alternatives names."""
    if not isinstance(schema, Mapping) or depth > MAXIMUM_DEPTH:
        return []
    choices = schema.get("enum")
    found = list(choices) if isinstance(choices, Sequence) and not isinstance(choices, str) else []
    found += [schema["const"]] if "const" in schema else []
    for other in _others(schema, root):
        found += _choices(other, root, depth + 1)
    return found


def _type_of(value: JsonValue) -> set[str]:
    if value is None:
        return {"null"}
    if isinstance(value, bool):
        return {"boolean"}
    if isinstance(value, int | float):
        return {"number", "integer"} if value == int(value) else {"number"}
    if isinstance(value, str):
        return {"string"}
    return {"object"} if isinstance(value, Mapping) else {"array"}
