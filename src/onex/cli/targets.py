"""What a command about dependencies is asked about: nodes, workflows, or the whole project."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from onex.domain.errors import ResolutionError, UsageError
from onex.domain.json_value import JsonObject, parse_json
from onex.domain.reference import NodeRef
from onex.manifests.override import Override
from onex.manifests.workflow_file import WORKFLOW_SUFFIX, load_workflow
from onex.registry import Registry
from onex.resolution.run_target import RunTarget, is_workflow_file
from onex.schemas.given_inputs import GivenInputs

targets_argument = click.argument("targets", nargs=-1, metavar="[WORKFLOW|REF]...")

in_option = click.option(
    "--in",
    "targets",
    multiple=True,
    metavar="WORKFLOW|REF",
    help="By default every workflow in the project's folder.",
)


def references(registry: Registry, targets: Iterable[str]) -> list[NodeRef]:
    """Read targets as references; without targets, those of the project's workflows.

    Raises:
        UsageError: no target is given and the project has no workflow.
        DocumentError: a workflow cannot be read.
    """
    chosen = list(targets)
    if not chosen:
        chosen = workflow_files(registry)
        if not chosen:
            raise UsageError("there is no workflow here", hint="name a workflow or a node")
    return list(_references(chosen))


@contextmanager
def together(registry: Registry, targets: Iterable[str]) -> Iterator[None]:
    """Say so if only all workflows of the project together cannot be resolved.

    Each is locked and run by itself, so they may ask for versions that do not go together.
    """
    try:
        yield
    except ResolutionError as error:
        files = [] if list(targets) else workflow_files(registry)
        if len(files) < 2 or not all(_resolves(registry, file) for file in files):
            raise
        raise UsageError(
            "the workflows of this project ask for versions that do not go together",
            hint="each works by itself, so name one of them: "
            + ", ".join(os.path.relpath(file) for file in files),
        ) from error


def _resolves(registry: Registry, file: str) -> bool:
    try:
        registry.resolve(list(_references([file])), registry.read_lock())
    except ResolutionError:
        return False
    return True


def workflow_files(registry: Registry) -> list[str]:
    """The workflows in the project's folder, by path."""
    folder = registry.configuration.project or Path()
    return sorted(str(path) for path in folder.glob(f"*{WORKFLOW_SUFFIX}"))


override_option = click.option(
    "--override",
    "overrides",
    multiple=True,
    metavar="NODE=VERSION|PATH",
    help="Force a node to one version, or to the manifest at a path; may be repeated.",
)


def parse_overrides(texts: Iterable[str]) -> list[Override]:
    """What ``--override`` says; raises UsageError, or as ``Override.parse``."""
    parsed = []
    for text in texts:
        name, separator, value = text.partition("=")
        if not separator or not value:
            raise UsageError(f"{text!r} is not NODE=VERSION", hint="write tool://my.node=1.2.3")
        parsed.append(Override.parse(name, value, Path()))
    return parsed


def _references(targets: Iterable[str]) -> Iterator[NodeRef]:
    for target in targets:
        if is_workflow_file(target):
            yield from (step.node for step in load_workflow(Path(target)).steps.values())
        else:
            yield NodeRef.parse(target)


def read_target(
    target: str, pairs: tuple[str, ...], inputs_file: Path | None, arguments: str | None
) -> tuple[RunTarget, GivenInputs]:
    """What is to be run, and its inputs.

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
    return RunTarget.of(target, given.names), given


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
