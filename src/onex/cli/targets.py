"""What a command about dependencies is asked about: nodes, workflows, or the whole project."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import click

from onex.domain.errors import UsageError
from onex.domain.reference import NodeRef
from onex.manifests.workflow_file import WORKFLOW_SUFFIX, load_workflow
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
        folder = registry.configuration.project or Path()
        chosen = sorted(str(path) for path in folder.glob(f"*{WORKFLOW_SUFFIX}"))
        if not chosen:
            raise UsageError(f"there is no workflow in {folder}", hint="name a workflow or a node")
    return list(_references(chosen))


def _references(targets: Iterable[str]) -> Iterator[NodeRef]:
    for target in targets:
        if target.endswith((".yaml", ".yml")):
            yield from (step.node for step in load_workflow(Path(target)).steps.values())
        else:
            yield NodeRef.parse(target)
