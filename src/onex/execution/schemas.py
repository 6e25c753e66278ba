"""Checking values against the JSON Schemas of inputs and outputs."""

from __future__ import annotations

from collections.abc import Mapping

import jsonschema_rs

from onex.domain.errors import SchemaMismatchError, WorkflowInputError
from onex.domain.json_value import JsonObject, JsonValue


def complete_inputs(declared: Mapping[str, JsonObject], given: JsonObject) -> JsonObject:
    """The inputs of a workflow: those given, and defaults for the others.

    Raises:
        WorkflowInputError: an input is unknown, missing, or not what its schema asks.
    """
    unknown = [name for name in given if name not in declared]
    if unknown:
        raise WorkflowInputError(
            f"the workflow has no input {unknown[0]!r}",
            hint="its inputs are: " + (", ".join(declared) or "none"),
        )
    complete: dict[str, JsonValue] = {}
    for name, schema in declared.items():
        if name in given:
            complete[name] = given[name]
        elif "default" in schema:
            complete[name] = schema["default"]
        elif _is_required(schema):
            raise WorkflowInputError(
                f"the workflow needs the input {name!r}", hint=f"add --input {name}=VALUE"
            )
    try:
        problem = _first_problem(_validator(_object_schema(declared)), complete)
    except InvalidSchemaError as error:
        problem = str(error)
    if problem is not None:
        raise WorkflowInputError(problem, hint="compare the value with the schema in the workflow")
    return complete


class NodeSchemas:
    """The validators of one node, compiled once."""

    def __init__(self, identity: str, inputs: JsonObject, outputs: JsonObject) -> None:
        """Raises SchemaMismatchError where the manifest's schemas are not valid themselves."""
        self._hint = f"see the inputs and outputs of {identity}"
        self._inputs = (
            self._compile(_object_schema(inputs) | {"additionalProperties": False})
            if inputs
            else None
        )
        self._outputs = self._compile(_object_schema(outputs)) if outputs else None

    def _compile(self, schema: JsonObject) -> jsonschema_rs.Validator:
        try:
            return _validator(schema)
        except InvalidSchemaError as error:
            raise SchemaMismatchError(str(error), hint=self._hint) from error

    def check_inputs(self, value: JsonObject) -> None:
        """Raises SchemaMismatchError where the inputs are not what the manifest declares."""
        self._check(self._inputs, value, "the inputs do not match the manifest")

    def check_output(self, value: JsonValue) -> None:
        """Raises SchemaMismatchError where the result is not what the manifest declares."""
        self._check(self._outputs, value, "the result does not match the manifest")

    def _check(
        self, validator: jsonschema_rs.Validator | None, value: JsonValue, what: str
    ) -> None:
        problem = None if validator is None else _first_problem(validator, value)
        if problem is not None:
            raise SchemaMismatchError(f"{what}: {problem}", hint=self._hint)


class InvalidSchemaError(Exception):
    """A schema that is not JSON Schema; the message says why."""


def _is_required(schema: JsonObject) -> bool:
    return "default" not in schema and schema.get("required") is not False


def _object_schema(members: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    properties: dict[str, JsonValue] = {}
    required: list[JsonValue] = []
    for name, schema in members.items():
        body = schema if isinstance(schema, Mapping) else {}
        if _is_required(body):
            required.append(name)
        # In a manifest ``required`` may be a boolean of one member; in JSON Schema it is a list.
        properties[name] = {
            key: member
            for key, member in body.items()
            if not (key == "required" and isinstance(member, bool))
        }
    return {"type": "object", "properties": properties, "required": required}


def _validator(schema: JsonObject) -> jsonschema_rs.Validator:
    try:
        return jsonschema_rs.validator_for(dict(schema))
    except (ValueError, jsonschema_rs.ReferencingError) as error:
        first_line = str(error).splitlines()[0]
        raise InvalidSchemaError(f"a schema is not valid: {first_line}") from error


def _first_problem(validator: jsonschema_rs.Validator, value: JsonValue) -> str | None:
    """What is wrong with a value and where, or None."""
    error = next(validator.iter_errors(value), None)
    if error is None:
        return None
    place = ".".join(str(part) for part in error.instance_path)
    message = error.message if len(error.message) <= 300 else error.message[:297] + "..."
    return f"{place}: {message}" if place else message
