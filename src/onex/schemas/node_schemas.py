"""Checking values against the JSON Schemas of inputs and outputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NoReturn

import jsonschema_rs

from onex.domain.errors import SchemaMismatchError, WorkflowInputError
from onex.domain.json_value import JsonObject, JsonValue, find_unwritable
from onex.domain.metadata import NodeMetadata
from onex.schemas.object_schema import (
    is_required,
    object_schema,
    with_artifacts,
    without_boolean_required,
)
from onex.schemas.state_contract import StateContract

HIDDEN_VALUE = "a value that is not shown"


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
    unwritable = find_unwritable(given)
    if unwritable is not None:
        raise WorkflowInputError(f"of the inputs, {unwritable}", hint="give what JSON can hold")
    complete: dict[str, JsonValue] = {}
    for name, schema in declared.items():
        if name in given:
            complete[name] = given[name]
        elif "default" in schema:
            complete[name] = schema["default"]
        elif is_required(schema):
            raise WorkflowInputError(
                f"the workflow needs the input {name!r}", hint=f"add --input {name}=VALUE"
            )
    try:
        problem = _first_problem(_validator(object_schema(declared)), complete)
    except InvalidSchemaError as error:
        problem = str(error)
    if problem is not None:
        raise WorkflowInputError(problem, hint="compare the value with the schema in the workflow")
    return complete


def schema_problems(members: Mapping[str, JsonValue]) -> Iterator[tuple[str, str]]:
    """The members of inputs or outputs whose schema is not valid, each with what is wrong.

    A default must be one that the schema allows.
    """
    for name, member in members.items():
        if not isinstance(member, Mapping):
            continue
        try:
            validator = _validator(without_boolean_required(member))
        except InvalidSchemaError as error:
            yield name, str(error)
            continue
        if "default" in member:
            problem = _first_problem(validator, member["default"])
            if problem is not None:
                yield name, f"its default does not match its own schema: {problem}"


class NodeSchemas:
    """The validators of one node, compiled once: those of its manifest and of its contract."""

    def __init__(
        self, metadata: NodeMetadata, contract: StateContract, *, shows_values: bool = True
    ) -> None:
        """``shows_values`` says whether messages may hold what was checked.

        Raises:
            SchemaMismatchError: the node's schemas are not valid themselves.
        """
        self._mask = None if shows_values else HIDDEN_VALUE
        self._hint = f"see the inputs and outputs of {metadata.node_version}"
        inputs, outputs = metadata.inputs, metadata.outputs
        declared = object_schema(inputs) | {"additionalProperties": False} if inputs else None
        self._inputs = self._compile("manifest", declared, contract.inputs)
        self._outputs = self._compile(
            "manifest",
            with_artifacts(object_schema(outputs)) if outputs else None,
            None if contract.output is None else with_artifacts(contract.output),
        )

    def _compile(
        self, name: str, manifest: JsonObject | None, contract: JsonObject | None
    ) -> Sequence[tuple[str, jsonschema_rs.Validator]]:
        try:
            return [
                (origin, _validator(schema, self._mask))
                for origin, schema in ((name, manifest), ("state contract", contract))
                if schema is not None
            ]
        except InvalidSchemaError as error:
            raise SchemaMismatchError(str(error), hint=self._hint) from error

    def check_inputs(self, value: JsonObject) -> None:
        """Raises SchemaMismatchError if the inputs are not what the node declares."""
        if self._inputs:
            self._check(self._inputs, value, "the inputs do not match")

    def check_output(self, value: JsonValue) -> None:
        """Raises SchemaMismatchError if the result is not what the node declares."""
        if self._outputs:
            self._check(self._outputs, value, "the result does not match")

    def _check(
        self,
        validators: Sequence[tuple[str, jsonschema_rs.Validator]],
        value: JsonValue,
        what: str,
    ) -> None:
        for origin, validator in validators:
            problem = _first_problem(validator, value)
            if problem is not None:
                raise SchemaMismatchError(f"{what} the {origin}: {problem}", hint=self._hint)


class InvalidSchemaError(Exception):
    """A schema that is not JSON Schema; the message says why."""


def _refuse_to_fetch(uri: str) -> NoReturn:
    """Answer for a reference that leads out of a schema, which a stranger may have written."""
    raise ValueError(f"{uri[:200]} is not fetched: references must stay in their schema")


def _validator(schema: JsonObject, mask: str | None = None) -> jsonschema_rs.Validator:
    """A compiled schema, whose messages have the mask in the place of values, if there is one."""
    try:
        return jsonschema_rs.validator_for(dict(schema), mask=mask, retriever=_refuse_to_fetch)
    except (ValueError, jsonschema_rs.ReferencingError) as error:
        first_line = str(error).splitlines()[0]
        raise InvalidSchemaError(f"a schema is not valid: {first_line}") from error


def first_problem_of(schema: JsonObject, value: JsonValue) -> str | None:
    """What is wrong with a value and where; None if nothing is, or the schema is not valid."""
    try:
        return _first_problem(_validator(without_boolean_required(schema)), value)
    except InvalidSchemaError:
        return None


def _first_problem(validator: jsonschema_rs.Validator, value: JsonValue) -> str | None:
    """What is wrong with a value and where, or None."""
    error = next(validator.iter_errors(value), None)
    if error is None:
        return None
    place = ".".join(str(part) for part in error.instance_path)
    # Not cut here: a secret within it would be cut before it is hidden.
    return f"{place}: {error.message}" if place else error.message
