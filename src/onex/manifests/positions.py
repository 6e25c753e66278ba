"""The position-aware pass over YAML text: slow, and run only over a file found wrong."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from onex.domain.errors import Location, Problem, Severity
from onex.domain.json_value import ValuePath

_MAXIMUM_EVENTS = 200_000
_MAXIMUM_SECONDS = 0.8


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value stands, counted from 1; ``text`` is a scalar as it was written."""

    line: int
    column: int
    text: str | None = None


@dataclass(slots=True)
class _Frame:
    """One open mapping (``index`` is None) or sequence."""

    path: ValuePath
    index: int | None
    key: str | None = None
    keys: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class PositionIndex:
    """Every value's place, and what no document of ours may contain.

    ``is_complete`` is False if the text was too long to be walked to its end in time.
    """

    places: Mapping[ValuePath, Place]
    findings: tuple[tuple[str, str, str, Place], ...]
    is_complete: bool = True

    @classmethod
    def of(cls, text: str) -> PositionIndex:
        """Walk the events of a text; a syntax error ends the walk and becomes a finding."""
        walk = _Walk()
        walk.run(text)
        return cls(walk.places, tuple(walk.findings), walk.is_complete)

    def nearest(self, path: ValuePath) -> Place:
        """The place of a value, or of the closest parent that exists."""
        while path and path not in self.places:
            path = path[:-1]
        return self.places.get(path, Place(1, 1))

    def problems(self, path: str) -> list[Problem]:
        """The findings as problems of the file with this name."""
        return [
            Problem(code, Severity.ERROR, message, Location(path, place.line, place.column), hint)
            for code, message, hint, place in self.findings
        ]


class _Walk:
    def __init__(self) -> None:
        self.places: dict[ValuePath, Place] = {}
        self.findings: list[tuple[str, str, str, Place]] = []
        self._frames: list[_Frame] = []
        self._documents = 0
        self.is_complete = True

    def run(self, text: str) -> None:
        from ruamel.yaml import YAML
        from ruamel.yaml.error import MarkedYAMLError, YAMLError

        until = time.monotonic() + _MAXIMUM_SECONDS
        try:
            for count, event in enumerate(YAML(typ="rt", pure=True).parse(text)):
                self._take(event)
                is_late = count % 64 == 0 and time.monotonic() > until
                if is_late or count > _MAXIMUM_EVENTS or len(self._frames) > 64:
                    self.is_complete = False
                    break
        except MarkedYAMLError as error:
            mark = error.problem_mark
            place = Place(mark.line + 1, mark.column + 1) if mark else Place(1, 1)
            self._find(
                "DOC004",
                f"the YAML is not valid: {error.problem or 'syntax error'}",
                "check brackets, quotes and indentation",
                place,
            )
        except YAMLError:
            self._find(
                "DOC003",
                "the file holds characters that YAML does not allow",
                "save it as plain text",
                Place(1, 1),
            )

    def _take(self, event: object) -> None:
        from ruamel.yaml import events

        match event:
            case events.DocumentStartEvent():
                self._documents += 1
                if self._documents == 2:
                    self._find(
                        "DOC008",
                        "a second document starts here",
                        "keep one document in a file",
                        _place(event),
                    )
            case events.AliasEvent():
                self._find(
                    "DOC006", "an alias stands here", "write the value out again", _place(event)
                )
                self._advance(_place(event))
            case events.ScalarEvent():
                self._check_node(event)
                self._scalar(event.value, _place(event))
            case events.MappingStartEvent() | events.SequenceStartEvent():
                self._check_node(event)
                path = self._advance(_place(event))
                is_sequence = isinstance(event, events.SequenceStartEvent)
                self._frames.append(_Frame(path, 0 if is_sequence else None))
            case events.MappingEndEvent() | events.SequenceEndEvent():
                self._frames.pop()

    def _check_node(self, event: object) -> None:
        if getattr(event, "anchor", None):
            self._find("DOC006", "an anchor stands here", "remove it", _place(event))
        if getattr(event, "tag", None):
            self._find(
                "DOC006",
                "a tag stands here",
                "remove it; quote text that starts with !",
                _place(event),
            )

    def _scalar(self, text: str, place: Place) -> None:
        frame = self._frames[-1] if self._frames else None
        if frame is None or frame.index is not None or frame.key is not None:
            self._advance(place, text)
            return
        if text == "<<":
            self._find("DOC006", "a merge key stands here", "write the keys out", place)
        if text in frame.keys:
            self._find(
                "DOC005", f"the key {text!r} stands here a second time", "keep one of them", place
            )
        frame.keys.add(text)
        frame.key = text

    def _advance(self, place: Place, text: str | None = None) -> ValuePath:
        """Note a value in the innermost collection and step past it."""
        if not self._frames:
            path: ValuePath = ()
        else:
            frame = self._frames[-1]
            if frame.index is not None:
                path = (*frame.path, frame.index)
                frame.index += 1
            elif frame.key is None:
                self._find("DOC010", "a key must be text", "write a plain name", place)
                frame.key = ""
                path = (*frame.path, "")
            else:
                path = (*frame.path, frame.key)
                frame.key = None
        self.places.setdefault(path, Place(place.line, place.column, text))
        return path

    def _find(self, code: str, message: str, hint: str, place: Place) -> None:
        if len(self.findings) < 20:
            self.findings.append((code, message, hint, place))


def _place(event: object) -> Place:
    mark = getattr(event, "start_mark", None)
    return Place(mark.line + 1, mark.column + 1) if mark is not None else Place(1, 1)
