"""What ``onex run`` runs: a workflow file or one node, and the inputs that are given to it."""

from __future__ import annotations

import json
from pathlib import Path

from onex.domain.errors import Location, PathNotReadableError, UsageError
from onex.domain.json_value import JsonObject, JsonValue
from onex.domain.reference import NodeRef
from onex.domain.template import INPUT_NAME
from onex.domain.workflow import Workflow
from onex.manifests.workflow_file import load_workflow


def read_target(
    target: str, pairs: tuple[str, ...], inputs_file: Path | None, arguments: str | None
) -> tuple[Workflow, JsonObject]:
    """The workflow that is meant, and its inputs.

    Args:
        target: the path of a workflow, or a reference to a node.
        pairs: inputs as ``KEY=VALUE``.
        inputs_file: inputs in a file of JSON or YAML.
        arguments: inputs as one JSON object.
    """
    given = _read_inputs(inputs_file, arguments)
    workflow = _workflow(target)
    if workflow is None:
        given |= _read_pairs(pairs, {})
        return _workflow_of_node(target, given), given
    return workflow, given | _read_pairs(pairs, workflow.inputs)


def _workflow(target: str) -> Workflow | None:
    """The workflow in a file; None when the target is a reference to a node."""
    path = Path(target)
    if path.suffix in (".yaml", ".yml") or path.is_file():
        if not path.exists():
            raise PathNotReadableError(
                f"{path} does not exist", hint="check the path", location=Location(str(path))
            )
        return load_workflow(path)
    return None


def _workflow_of_node(target: str, given: JsonObject) -> Workflow:
    reference = NodeRef.parse(target)
    for name in given:
        if not INPUT_NAME.fullmatch(name):
            raise UsageError(
                f"{name!r} is not the name of an input", hint="use letters, digits, _ and -"
            )
    return Workflow.of_node(reference, tuple(given))


def _read_inputs(file: Path | None, arguments: str | None) -> dict[str, JsonValue]:
    given: dict[str, JsonValue] = {}
    if file is not None:
        from onex.manifests.yaml_document import read_yaml

        given |= read_yaml(file).data
    if arguments is not None:
        try:
            value = json.loads(arguments)
        except ValueError as error:
            raise UsageError(
                f"--args is not JSON: {error}", hint="quote it for the shell"
            ) from error
        if not isinstance(value, dict):
            raise UsageError("--args is not a JSON object", hint="write --args '{\"name\": 1}'")
        given |= value
    return given


def _read_pairs(pairs: tuple[str, ...], schemas: JsonObject) -> dict[str, JsonValue]:
    """``KEY=VALUE`` pairs: values are JSON where they can be, unless the schema asks for text."""
    given: dict[str, JsonValue] = {}
    for pair in pairs:
        key, separator, text = pair.partition("=")
        if not separator or not key:
            raise UsageError(f"{pair!r} is not KEY=VALUE", hint="write --input top=10")
        schema = schemas.get(key)
        if isinstance(schema, dict) and schema.get("type") == "string":
            given[key] = text
        else:
            try:
                given[key] = json.loads(text)
            except ValueError:
                given[key] = text
    return given
