"""Which places of a value its JSON Schema marks, as a path or as not to be recorded.

Pure functions of schemas and values. If a schema offers alternatives, a place is marked if
one of them says so, unless another names the very value that stands there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from onex.domain.json_value import JsonObject, JsonValue, ValuePath

_ON_THE_SAME_VALUE = ("allOf", "anyOf", "oneOf")
_CONDITIONAL = ("if", "then", "else")
MAXIMUM_DEPTH = 100


@dataclass(frozen=True, slots=True)
class Mark:
    """What a schema says of a place: a keyword with a value."""

    keyword: str
    value: str | bool

    def is_on(self, schema: JsonObject) -> bool:
        """Whether a schema says so itself."""
        return schema.get(self.keyword) == self.value


PATH = Mark("format", "path")
WRITTEN_PATH = Mark("x-onex-access", "write")
WRITE_ONLY = Mark("writeOnly", value=True)


@dataclass(frozen=True, slots=True)
class MarkedPlaces:
    """The places of a value that are marked; ``unknown`` says what could not be followed."""

    places: frozenset[ValuePath]
    unknown: str | None = None


NO_PLACES = MarkedPlaces(frozenset())


@dataclass(frozen=True, slots=True)
class MarkingSchemas:
    """The schemas of one value that mark any places of it."""

    mark: Mark
    schemas: tuple[JsonObject, ...] = ()

    @classmethod
    def of(cls, mark: Mark, *schemas: JsonObject | None) -> MarkingSchemas:
        """Those of the given schemas that may mark a place."""
        return cls(mark, tuple(s for s in schemas if s is not None and _may_mark(mark, s)))

    def __bool__(self) -> bool:
        return bool(self.schemas)

    def places_in(self, value: JsonValue) -> MarkedPlaces:
        """The places of a value that are marked."""
        places: set[ValuePath] = set()
        unknown = None
        for schema in self.schemas:
            walk = _Walk(schema, self.mark)
            places.update(walk.places(schema, value, (), 0))
            unknown = unknown or walk.unknown
        return MarkedPlaces(frozenset(places), unknown)


def _may_mark(mark: Mark, schema: JsonValue) -> bool:
    """Whether a schema has a mark anywhere, or refers to what is not in it."""
    if isinstance(schema, Mapping):
        reference = schema.get("$ref")
        if mark.is_on(schema) or (isinstance(reference, str) and not reference.startswith("#")):
            return True
        return any(_may_mark(mark, member) for member in schema.values())
    if isinstance(schema, Sequence) and not isinstance(schema, str):
        return any(_may_mark(mark, member) for member in schema)
    return False


def changed_at(
    value: JsonValue, places: Iterable[ValuePath], change: Callable[[JsonValue], JsonValue]
) -> JsonValue:
    """The value with what stands at some places changed."""
    for place in places:
        value = _changed(value, place, change)
    return value


def value_at(value: JsonValue, place: ValuePath) -> JsonValue:
    """What stands at a place of a value."""
    for part in place:
        if isinstance(part, int) and isinstance(value, Sequence):
            value = value[part]
        elif isinstance(value, Mapping):
            value = value[str(part)]
    return value


def _changed(
    value: JsonValue, place: ValuePath, change: Callable[[JsonValue], JsonValue]
) -> JsonValue:
    if not place:
        return change(value)
    part, rest = place[0], place[1:]
    if isinstance(value, Mapping):
        return {**value, str(part): _changed(value[str(part)], rest, change)}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_changed(m, rest, change) if i == part else m for i, m in enumerate(value)]
    return value


class _Walk:
    def __init__(self, root: JsonObject, mark: Mark) -> None:
        self._root = root
        self._mark = mark
        self.unknown: str | None = None

    def places(
        self, schema: JsonValue, value: JsonValue, place: ValuePath, depth: int
    ) -> Iterator[ValuePath]:
        if not isinstance(schema, Mapping):
            return
        if depth > MAXIMUM_DEPTH:
            self.unknown = f"the schema at {named(place)} refers to itself without end"
            return
        if self._mark.is_on(schema):
            yield place
        for other in self._alternatives(schema, value):
            yield from self.places(other, value, place, depth + 1)
        if isinstance(value, Mapping):
            yield from self._of_members(schema, value, place, depth)
        elif isinstance(value, Sequence) and not isinstance(value, str):
            yield from self._of_items(schema, value, place, depth)

    def _alternatives(self, schema: JsonObject, value: JsonValue) -> Iterator[JsonValue]:
        """The schemas that may hold for the same value."""
        for key in ("$ref", "$dynamicRef"):
            if isinstance(schema.get(key), str):
                yield self._referred(str(schema[key]))
        for key in _ON_THE_SAME_VALUE:
            members = schema.get(key)
            if isinstance(members, Sequence) and not isinstance(members, str):
                if key != "allOf" and any(_names(member, value) for member in members):
                    continue
                yield from members
        for key in _CONDITIONAL:
            yield schema.get(key)
        dependent = schema.get("dependentSchemas")
        if isinstance(dependent, Mapping):
            yield from dependent.values()

    def _referred(self, reference: str) -> JsonValue:
        """What a reference within the schema leads to."""
        found: JsonValue = self._root
        path = reference.removeprefix("#")
        if not reference.startswith("#") or (path and not path.startswith("/")):
            self.unknown = f"the schema refers to {reference}, which is not followed"
            return None
        for part in path.split("/")[1:]:
            key = part.replace("~1", "/").replace("~0", "~")
            if isinstance(found, Mapping) and key in found:
                found = found[key]
            elif isinstance(found, Sequence) and key.isdigit() and int(key) < len(found):
                found = found[int(key)]
            else:
                self.unknown = f"the schema refers to {reference}, which it does not hold"
                return None
        return found

    def _of_members(
        self, schema: JsonObject, value: JsonObject, place: ValuePath, depth: int
    ) -> Iterator[ValuePath]:
        if _may_mark(self._mark, schema.get("propertyNames")):
            self.unknown = "the schema marks names of members, which is not followed"
        properties, patterns = schema.get("properties"), schema.get("patternProperties")
        for key, member in value.items():
            found: list[JsonValue] = []
            if isinstance(properties, Mapping) and key in properties:
                found.append(properties[key])
            if isinstance(patterns, Mapping):
                found += [other for pattern, other in patterns.items() if _matches(pattern, key)]
            if not found:
                found = [schema.get("additionalProperties")]
            for other in (*found, schema.get("unevaluatedProperties")):
                yield from self.places(other, member, (*place, key), depth + 1)

    def _of_items(
        self, schema: JsonObject, value: Sequence[JsonValue], place: ValuePath, depth: int
    ) -> Iterator[ValuePath]:
        items, first = schema.get("items"), schema.get("prefixItems")
        if isinstance(items, Sequence):
            items, first = schema.get("additionalItems"), items
        for index, member in enumerate(value):
            is_first = isinstance(first, Sequence) and index < len(first)
            own = first[index] if is_first and isinstance(first, Sequence) else items
            for other in (own, schema.get("contains"), schema.get("unevaluatedItems")):
                yield from self.places(other, member, (*place, index), depth + 1)


def named(place: ValuePath) -> str:
    """A place in words: ``files[0].name``."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)
    return text.removeprefix(".")


def _names(schema: JsonValue, value: JsonValue) -> bool:
    """Whether a schema names this very value."""
    if not isinstance(schema, Mapping):
        return False
    choices = schema.get("enum")
    is_choice = isinstance(choices, Sequence) and value in choices
    return is_choice or ("const" in schema and schema["const"] == value)


def _matches(pattern: str, key: str) -> bool:
    try:
        return re.search(pattern, key) is not None
    except re.error:
        # A pattern of another dialect may match.
        return True
