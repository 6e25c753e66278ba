"""Designations: the files that a call may touch since somebody handed them over.

What the user of a run hands to a node through an input with ``format: path`` may be read by that
call, and written if the input says ``x-onex-access: write``. A step hands on by such an input only
what it may read itself. Artifacts may be read wherever they are passed.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from onex.domain.agent_errors import PathOutsideRootsError
from onex.domain.artifact_records import artifacts_in
from onex.domain.errors import PathNotEntitledError
from onex.domain.json_value import JsonObject, JsonValue, as_text
from onex.domain.path_text import is_within
from onex.domain.result import IsolationLevel
from onex.domain.template import references_in
from onex.domain.workflow import Step
from onex.execution.plan import ExecutionPlan
from onex.execution.preparation import PreparedNode
from onex.execution.scheduler import Call
from onex.sandbox.granted_rules import readable_places
from onex.schemas.places import named, value_at
from onex.trust.grantable import SYSTEM_FOLDERS


@dataclass(frozen=True, slots=True)
class Designated:
    """The files and folders that are handed over to one call, by their real paths.

    ``artifacts`` may be read, too.
    """

    readable: tuple[str, ...] = ()
    writable: tuple[str, ...] = ()
    artifacts: tuple[str, ...] = ()


NOTHING_DESIGNATED = Designated()


@dataclass(frozen=True, slots=True)
class OfferedFolders:
    """The folders whose files may be handed over, by their real paths.

    ``authored`` are paths that the author of the workflow names; what lies in one may be
    handed over, too.
    """

    folders: tuple[str, ...]
    authored: tuple[str, ...] = ()

    @classmethod
    def of(cls, plan: ExecutionPlan) -> OfferedFolders | None:
        """What a plan says; None if it leaves that to whoever gives its inputs."""
        if plan.offered_folders is None:
            return None
        authored = tuple(os.path.realpath(path) for path in sorted(plan.authored_paths))
        return cls(plan.offered_folders, authored)

    def require(self, path: str, place: str) -> None:
        """Raise PathOutsideRootsError for a real path that may not be handed over."""
        if any(is_within(path, folder) for folder in self.authored):
            return
        if any(is_within(path, folder) for folder in SYSTEM_FOLDERS):
            raise PathOutsideRootsError(
                f"{place} is {path}, which is a folder of the system",
                hint="name a file of the user's",
            )
        if not any(is_within(path, folder) for folder in self.folders):
            raise PathOutsideRootsError(
                f"{place} is {path}, which lies in none of the folders that are offered:"
                f" {', '.join(self.folders)}"
                if self.folders
                else f"{place} is {path}, and no folder is offered",
                hint="the user offers folders in the client, by onex mcp --root DIR, or by roots"
                " of [mcp] in onex.toml",
            )


def real_path(text: str, place: str) -> str:
    """The path that a text leads to now; raises PathOutsideRootsError if it can lead nowhere."""
    try:
        real = os.path.realpath(text)
        with contextlib.suppress(FileNotFoundError, NotADirectoryError, PermissionError):
            os.lstat(real)
    except (OSError, ValueError) as error:
        raise PathOutsideRootsError(
            f"{place} is no path that can be followed: {text[:200]!r}",
            hint="name a file that is there",
        ) from error
    return real


@dataclass(slots=True)
class Designations:
    """What was handed over in one run, and what each step may hand on."""

    nodes: Mapping[str, PreparedNode]
    offered: OfferedFolders | None = None
    _entitled: dict[str, set[str]] = field(default_factory=dict)

    def of_call(self, call: Call, step: Step, node: PreparedNode, inputs: JsonObject) -> Designated:
        """What is handed over to a call.

        Args:
            call: the call, with artifacts among its inputs as records.
            step: its step.
            node: its node.
            inputs: its inputs as the node gets them.

        Raises:
            PathNotEntitledError: another step made a path that it may not read itself.
            PathOutsideRootsError: it lies in none of the folders that are offered, if some are.
        """
        if node.facts.isolation is not IsolationLevel.STRICT:
            return NOTHING_DESIGNATED
        artifacts = {as_text(record["path"]) for record in artifacts_in(call.inputs)}
        hidden = node.loaded.rules.hidden
        readable: list[str] = []
        writable: list[str] = []
        entitled = self._entitled_of(step.id)
        writing = node.written_paths.places_in(inputs).places if node.written_paths else ()
        for place in node.paths.places_in(inputs).places if node.paths else ():
            text = value_at(inputs, place)
            if not isinstance(text, str) or text in artifacts:
                continue
            path = real_path(text, named(place))
            self._require_entitled(path, step, str(place[0]), named(place))
            entitled.add(path)
            (writable if place in writing else readable).extend(readable_places(path, hidden))
        handed = tuple(os.path.realpath(path) for path in sorted(artifacts))
        return Designated(tuple(readable), tuple(writable), handed)

    def _entitled_of(self, step_id: str) -> set[str]:
        """What a step may read: what it is granted, and what was handed over to it."""
        if step_id not in self._entitled:
            node = self.nodes[step_id]
            rules = node.loaded.rules
            is_confined = node.facts.isolation is IsolationLevel.STRICT
            self._entitled[step_id] = {*rules.read, *rules.write} if is_confined else {"/"}
        return self._entitled[step_id]

    def _require_entitled(self, path: str, step: Step, name: str, place: str) -> None:
        """Refuse a path that steps made none of which may read it."""
        makers = sorted(_makers(step, step.arguments.get(name)))
        if not makers and self.offered is not None:
            self.offered.require(path, place)
        if not makers or any(_is_within(path, self._entitled_of(m)) for m in makers):
            return
        raise PathNotEntitledError(
            f"the input {place} of {step.id} is {path}, which was made by the step"
            f" {' or '.join(makers)}, and that may not read there itself",
            hint="hand the path over as an input of the workflow, or let the node of"
            f" {makers[0]} declare file.read:{path}",
        )


def _makers(step: Step, template: JsonValue) -> Iterator[str]:
    """The steps whose results a value is made of."""
    for reference in references_in(template):
        if reference.root == "steps":
            yield str(reference.parts[1])
        elif reference.root == "item":
            yield from (str(r.parts[1]) for r in references_in(step.foreach) if r.root == "steps")


def _is_within(path: str, places: Collection[str]) -> bool:
    while path not in places:
        parent = os.path.dirname(path)  # noqa: PTH120 - in the way of every call
        if parent == path:
            return False
        path = parent
    return True
