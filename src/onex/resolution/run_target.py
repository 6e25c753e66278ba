"""RunTarget: what a user asks to be run, read as a workflow."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

from onex.domain.errors import (
    AmbiguousNodeError,
    Location,
    PathNotReadableError,
    ResolutionError,
    UsageError,
)
from onex.domain.reference import NodeId, NodeRef
from onex.domain.template import INPUT_NAME
from onex.domain.workflow import Workflow
from onex.manifests.workflow_file import load_workflow, locate_nodes

Runnable: TypeAlias = "Workflow | NodeRef | str | os.PathLike[str]"
"""A workflow, the path of one, a node, or a reference to one as a text."""


@dataclass(frozen=True, slots=True)
class RunTarget:
    """A workflow that is to be run, and the file that it was read from, if it was."""

    workflow: Workflow
    file: Path | None = None

    @classmethod
    def of(cls, target: Runnable, input_names: Iterable[str]) -> RunTarget:
        """Read what is to be run.

        Args:
            target: a text that ends with ``.yaml`` or ``.yml``, or is the path of a file, is
                taken for a workflow, and any other for a reference to a node.
            input_names: the inputs that a node is given.

        Raises:
            PathNotReadableError: there is no such file.
            DocumentError: it is not a workflow.
            InvalidReferenceError: a text does not refer to a node.
            UsageError: an input has a name that a workflow cannot have.
        """
        if isinstance(target, Workflow):
            return cls(target)
        if isinstance(target, NodeRef):
            return cls(_workflow_of_node(target, input_names))
        if is_workflow_file(target) or _is_file(target):
            file = Path(target)
            if not _is_file(target):
                what = "is a folder" if file.is_dir() else "does not exist"
                raise PathNotReadableError(
                    f"{file} {what}", hint="name a workflow file", location=Location(str(file))
                )
            return cls(load_workflow(file), file)
        return cls(_workflow_of_node(NodeRef.parse(os.fspath(target)), input_names))

    @contextmanager
    def places(self) -> Iterator[None]:
        """Add to what goes wrong in the block where the file asks for nodes."""
        with places_of(self.file):
            yield

    def naming(self, nodes: Mapping[NodeRef, NodeId]) -> RunTarget:
        """The same with the full names of nodes in the place of references to them."""
        steps = {
            name: replace(step, node=replace(step.node, type=found.type, name=found.namespace))
            if (found := nodes.get(step.node)) is not None
            else step
            for name, step in self.workflow.steps.items()
        }
        return replace(self, workflow=replace(self.workflow, steps=steps))

    def name_in_lock(self, folder: Path) -> str:
        """What a lock in a folder calls the workflow; empty for one without a file."""
        return "" if self.file is None else name_of_workflow(self.file, folder)


def _is_file(target: str | os.PathLike[str]) -> bool:
    try:
        return Path(target).exists() and not Path(target).is_dir()
    except (OSError, ValueError):
        # What cannot be the name of a file is none.
        return False


def is_workflow_file(target: str | os.PathLike[str]) -> bool:
    """Whether a target is the path of a workflow rather than a reference to a node."""
    return not isinstance(target, str) or target.endswith((".yaml", ".yml"))


def name_of_workflow(file: Path, folder: Path) -> str:
    """What a lock in a folder calls a workflow."""
    # By the real folders, so that a link to the project changes nothing.
    real = os.path.join(os.path.realpath(file.parent), file.name)  # noqa: PTH118 - a text
    return Path(os.path.relpath(real, os.path.realpath(folder))).as_posix()


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


def _workflow_of_node(reference: NodeRef, input_names: Iterable[str]) -> Workflow:
    names = list(input_names)
    for name in names:
        if not INPUT_NAME.fullmatch(name):
            raise UsageError(
                f"{name!r} is not the name of an input", hint="use letters, digits, _ and -"
            )
    return Workflow.of_node(reference, names)
