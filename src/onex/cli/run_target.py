"""What ``onex run`` runs: a workflow file or one node, and the inputs that are given to it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from onex.domain.errors import Location, PathNotReadableError, UsageError
from onex.domain.json_value import JsonObject, parse_json
from onex.domain.reference import NodeRef
from onex.domain.template import INPUT_NAME
from onex.domain.workflow import Workflow
from onex.execution.given_inputs import GivenInputs
from onex.manifests.workflow_file import load_workflow


def read_target(
    target: str, pairs: tuple[str, ...], inputs_file: Path | None, arguments: str | None
) -> tuple[Workflow, GivenInputs]:
    """The workflow that is meant, and its inputs.

    Args:
        target: the path of a workflow, or a reference to a node.
        pairs: inputs as ``KEY=VALUE``.
        inputs_file: inputs in a file of JSON or YAML.
        arguments: inputs as one JSON object.
    """
    from_file = _read_file(inputs_file)
    values = {**from_file, **_read_arguments(arguments)}
    texts = _read_pairs(pairs)
    folders = {name: inputs_file.absolute().parent for name in from_file} if inputs_file else {}
    given = GivenInputs(
        {name: value for name, value in values.items() if name not in texts},
        texts,
        {n: f for n, f in folders.items() if n not in texts and values[n] is from_file[n]},
    )
    return _workflow(target) or _workflow_of_node(target, [*values, *texts]), given


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


def _workflow_of_node(target: str, given: Iterable[str]) -> Workflow:
    reference = NodeRef.parse(target)
    for name in given:
        if not INPUT_NAME.fullmatch(name):
            raise UsageError(
                f"{name!r} is not the name of an input", hint="use letters, digits, _ and -"
            )
    return Workflow.of_node(reference, dict.fromkeys(given))


def _read_file(file: Path | None) -> JsonObject:
    if file is None:
        return {}
    from onex.manifests.yaml_document import read_yaml

    return read_yaml(file).data


def _read_arguments(arguments: str | None) -> JsonObject:
    if arguments is None:
        return {}
    try:
        value = parse_json(arguments)
    except ValueError as error:
        raise UsageError(f"--args is not JSON: {error}", hint="quote it for the shell") from error
    if not isinstance(value, dict):
        raise UsageError("--args is not a JSON object", hint="write --args '{\"name\": 1}'")
    return value


def _read_pairs(pairs: tuple[str, ...]) -> dict[str, str]:
    """``KEY=VALUE`` pairs, whose values are read when it is known what the nodes declare."""
    given: dict[str, str] = {}
    for pair in pairs:
        key, separator, text = pair.partition("=")
        if not separator or not key:
            raise UsageError(f"{pair!r} is not KEY=VALUE", hint="write --input top=10")
        given[key] = text
    return given
