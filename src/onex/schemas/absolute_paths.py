"""Makes the paths among the inputs of a run absolute.

A relative path means another file in each folder. What a user gives is relative to the folder
it was given in, and what a workflow holds (defaults, literals) to the folder of the workflow.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from onex.domain.json_value import JsonObject, JsonValue, ValuePath, as_object
from onex.domain.template import Reference, descend, references_in, render, whole_reference
from onex.domain.workflow import Step, Workflow
from onex.schemas.object_schema import object_schema
from onex.schemas.places import PATH, MarkingSchemas, changed_at, value_at


@dataclass(frozen=True, slots=True)
class PathsOfRun:
    """The places among the inputs that hold paths, and the paths that the workflow holds itself."""

    inputs: frozenset[ValuePath] = frozenset()
    written: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class _Marks:
    """Places that hold paths: in the inputs, in a step's arguments and in its ``foreach``."""

    inputs: set[ValuePath]
    arguments: set[ValuePath]
    foreach: set[ValuePath]


def with_absolute_paths(
    workflow: Workflow,
    declared: Mapping[str, Sequence[JsonObject]],
    inputs: JsonObject,
    folders: Mapping[str, Path],
) -> tuple[Workflow, JsonObject, PathsOfRun]:
    """A workflow and its inputs with every relative path in them made absolute.

    Beside them stands where the paths are.

    Args:
        workflow: the steps; a path is what the schema of the workflow or of a node says is one.
        declared: by step, the schemas of all inputs together that its node declares.
        inputs: all inputs of the workflow, with defaults.
        folders: for each input that was given, the folder that it is relative to.
    """
    own = Path(workflow.folder) if workflow.folder else Path.cwd()
    of_inputs = set(
        MarkingSchemas.of(PATH, object_schema(workflow.inputs)).places_in(inputs).places
    )
    steps, written = dict(workflow.steps), set[str]()
    for step in workflow.steps.values():
        paths = MarkingSchemas.of(PATH, *declared[step.id])
        if not paths:
            continue
        marks = _Marks(of_inputs, set(), set())
        for item_place, item in _items(step, inputs):
            known = partial(_known, inputs=inputs, item=item)
            rendered = as_object(render(step.arguments, known))
            for place in paths.places_in(rendered).places:
                _mark(step, place, item_place, marks)
        arguments = as_object(_absolute(step.arguments, marks.arguments, own))
        foreach = _absolute(step.foreach, marks.foreach, own)
        written.update(_texts_at(arguments, marks.arguments), _texts_at(foreach, marks.foreach))
        steps[step.id] = replace(step, arguments=arguments, foreach=foreach)
    changed = dict(inputs)
    for place in of_inputs:
        name = str(place[0])
        folder = folders.get(name, own)
        changed[name] = _absolute(changed[name], {place[1:]}, folder)
    found = PathsOfRun(frozenset(of_inputs), frozenset(written))
    return replace(workflow, steps=steps), changed, found


def _texts_at(value: JsonValue, places: set[ValuePath]) -> Iterator[str]:
    """The texts at some places that are what they are, without references."""
    for place in places:
        text = value_at(value, place)
        if isinstance(text, str) and "${{" not in text:
            yield text


def _items(step: Step, inputs: JsonObject) -> Iterator[tuple[ValuePath, JsonValue]]:
    """The known items of a step's list, each with its place; None once for an unknown list."""
    found = render(step.foreach, partial(_known, inputs=inputs, item=None))
    refers_to_item = any(r.root == "item" for r in references_in(step.arguments))
    if not refers_to_item or not isinstance(found, Sequence) or isinstance(found, str):
        yield (), None
        return
    for index, item in enumerate(found):
        yield (index,), item


def _known(reference: Reference, inputs: JsonObject, item: JsonValue) -> JsonValue:
    """What a reference leads to, if that is known before anything runs."""
    try:
        if reference.root == "inputs":
            return descend(inputs, reference.parts[1:])
        if reference.root == "item":
            return descend(item, reference.parts[1:])
    except LookupError:
        return None
    return None


def _mark(step: Step, place: ValuePath, item_place: ValuePath, marks: _Marks) -> None:
    """Mark the source of the path at a place of a step's inputs."""
    reference, rest = _source(step.arguments, place)
    if reference is None:
        marks.arguments.add(place)
        return
    if reference.root == "item" and item_place:
        within = (*item_place, *reference.parts[1:], *rest)
        reference, rest = _source(step.foreach, within)
        if reference is None:
            marks.foreach.add(within)
            return
    if reference.root == "inputs":
        marks.inputs.add((*reference.parts[1:], *rest))


def _source(template: JsonValue, place: ValuePath) -> tuple[Reference | None, ValuePath]:
    """The reference that gives what is at a place of a template, and the place within that."""
    for depth, part in enumerate(place):
        whole = whole_reference(template)
        if whole is not None:
            return whole, place[depth:]
        template = value_at(template, (part,))
    return whole_reference(template), ()


def _absolute(value: JsonValue, places: set[ValuePath], folder: Path) -> JsonValue:
    def absolute(text: JsonValue) -> JsonValue:
        if not isinstance(text, str):
            return text
        # What a reference at the start gives is absolute itself, or is refused when it is known.
        return text if not text or text.startswith("${{") else str(folder / text)

    return changed_at(value, places, absolute)
