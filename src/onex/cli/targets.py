"""What a command about dependencies is asked about: nodes, workflows, or the whole project."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from onex.domain.errors import AmbiguousNodeError, ResolutionError, UsageError
from onex.domain.reference import NodeRef
from onex.manifests.override import Override
from onex.manifests.workflow_file import WORKFLOW_SUFFIX, load_workflow, locate_nodes
from onex.registry import Registry

targets_argument = click.argument("targets", nargs=-1, metavar="[WORKFLOW|REF]...")

in_option = click.option(
    "--in",
    "targets",
    multiple=True,
    metavar="WORKFLOW|REF",
    help="By default every workflow in the project's folder.",
)


def references(registry: Registry, targets: Iterable[str]) -> list[NodeRef]:
    """The references that targets stand for; without targets, those of the project's workflows.

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


def is_workflow_file(target: str) -> bool:
    """Whether a target is the path of a workflow rather than a reference to a node."""
    return target.endswith((".yaml", ".yml"))


@contextmanager
def places_of(file: Path | None) -> Iterator[None]:
    """Add to a failed resolution where a workflow asks for nodes, in its author's words."""
    try:
        yield
    except AmbiguousNodeError as error:
        name = error.details.get("name")
        if file is not None and error.location is None:
            error.location = next(
                (p for p, asked in locate_nodes(file) if NodeRef.parse(asked).name == name), None
            )
        raise
    except ResolutionError as error:
        if file is not None:
            lines = [f"{place}: {asked}" for place, asked in locate_nodes(file)]
            error.extend("Where the workflow asks:", lines)
        raise


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
