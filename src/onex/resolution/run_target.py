"""RunTarget: what a user asks to be run, read as a workflow."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from onex.domain.errors import (
    AmbiguousNodeError,
    Location,
    PathNotReadableError,
    ResolutionError,
    UsageError,
)
from onex.domain.reference import NodeRef
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
        if is_workflow_file(target) or Path(target).is_file():
            file = Path(target)
            if not file.exists():
                raise PathNotReadableError(
                    f"{file} does not exist", hint="check the path", location=Location(str(file))
                )
            return cls(load_workflow(file), file)
        return cls(_workflow_of_node(NodeRef.parse(os.fspath(target)), input_names))

    @contextmanager
    def places(self) -> Iterator[None]:
        """Add to what goes wrong in the block where the file asks for nodes."""
        with places_of(self.file):
            yield

    def name_in_lock(self, folder: Path) -> str:
        """What a lock in a folder calls the workflow; empty for one without a file."""
        return "" if self.file is None else name_of_workflow(self.file, folder)


def is_workflow_file(target: str | os.PathLike[str]) -> bool:
    """Whether a target is the path of a workflow rather than a reference to a node."""
    return not isinstance(target, str) or target.endswith((".yaml", ".yml"))


def name_of_workflow(file: Path, folder: Path) -> str:
    """What a lock in a folder calls a workflow."""
    return Path(os.path.relpath(file, folder)).as_posix()


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
