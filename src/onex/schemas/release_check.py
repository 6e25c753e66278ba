"""Whether a release keeps what an earlier version promised to those who call the node.

SemVer 2.0.0, items 6 to 8: patch and minor versions are compatible, in both directions of a call.
Whatever was a valid input stays one, and whatever is a result now would have been one before. A
difference that this comparison does not understand counts as one that breaks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from onex.domain.json_value import JsonObject, JsonValue, canonical_json
from onex.domain.metadata import NodeMetadata
from onex.domain.version import Version
from onex.schemas.node_schemas import first_problem_of
from onex.schemas.object_schema import is_required

MAXIMUM_DEPTH = 32
# Members of a schema that say nothing about which values are valid.
_NOTES = frozenset(
    {"title", "description", "default", "examples", "deprecated", "$comment", "required"}
)
_DEFINITIONS = ("$defs", "definitions")
# Members whose meaning depends on the others.
_ENTANGLED = frozenset({"unevaluatedProperties", "unevaluatedItems", "patternProperties"})
# Members whose absence allows more, whatever else a schema says.
_LIFTED = frozenset(
    {"pattern", "format", "multipleOf", "uniqueItems", "contentEncoding", "contentMediaType"}
)
_NOTHING: JsonObject = {"enum": []}
_LOWER_BOUNDS = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
_UPPER_BOUNDS = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
_COMPARED = frozenset(
    {*_NOTES, *_LOWER_BOUNDS, *_UPPER_BOUNDS, "type", "enum", "const", "items", "properties",
     "additionalProperties"}
)  # fmt: skip


def is_compatible_step(before: Version, after: Version) -> bool:
    """Whether a caret constraint on the first version allows the second, so that callers get it."""
    if after.is_prerelease or after < before:
        return False
    lead = next((i for i, number in enumerate(before.triple) if number), 2)
    return before.triple[: lead + 1] == after.triple[: lead + 1]


def breaking_changes(before: NodeMetadata, after: NodeMetadata) -> list[str]:
    """What a version takes away from callers of an earlier one; each in a sentence."""
    return [*_input_changes(before.inputs, after.inputs), *_output_changes(before, after)]


def added_permissions(before: NodeMetadata, after: NodeMetadata) -> list[str]:
    """What a version asks for that an earlier one did not."""
    return [
        str(asked)
        for asked in after.requests
        if not any(held.covers(asked) for held in before.requests)
    ]


def _input_changes(
    before: Mapping[str, JsonValue], after: Mapping[str, JsonValue]
) -> Iterator[str]:
    if not after:
        return
    if not before:
        yield f"it took any inputs, and now takes {', '.join(after)} alone"
        return
    for name, schema in before.items():
        if name not in after:
            yield f"the input {name} is gone"
            continue
        old, new = _schema(schema), _schema(after[name])
        if is_required(new) and not is_required(old):
            yield f"the input {name} must be given now"
        yield from (f"the input {name}{reason}" for reason in _narrowed(old, new, ""))
    for name, schema in after.items():
        if name not in before and is_required(_schema(schema)):
            yield f"the input {name} is new and must be given"


def _output_changes(before: NodeMetadata, after: NodeMetadata) -> Iterator[str]:
    if before.outputs and not after.outputs:
        yield "its outputs are not declared any more"
        return
    for name, schema in before.outputs.items():
        if name not in after.outputs:
            yield f"the output {name} is gone"
            continue
        old, new = _schema(schema), _schema(after.outputs[name])
        if is_required(old) and not is_required(new):
            yield f"the output {name} may be missing now"
        # A result must be one that callers know: the new schema allows no more than the old.
        yield from (f"the output {name}{reason}" for reason in _narrowed(new, old, "", "results"))


def _narrowed(
    wide: JsonObject, narrow: JsonObject, place: str, values: str = "inputs", depth: int = 0
) -> Iterator[str]:
    """Why a value that the first schema allows may not be one that the second allows."""
    if canonical_json(wide) == canonical_json(narrow):
        return
    said = f"{place}:" if place else ":"
    if depth > MAXIMUM_DEPTH:
        yield f"{said} it is nested too deeply to be compared"
        return
    if _refers(narrow) or _refers(wide):
        # What references lead to stands elsewhere in the schema.
        yield f"{said} it differs and refers to definitions, so it cannot be compared"
        return
    entangled = sorted(key for key in {*wide, *narrow} if key in _ENTANGLED)
    if entangled:
        yield f"{said} it differs beside {entangled[0]}, so it cannot be compared"
        return
    choices = _choices(wide)
    if choices is not None:
        lost = [choice for choice in choices if first_problem_of(narrow, choice) is not None]
        if lost:
            named = ", ".join(map(canonical_json, lost[:5]))
            yield f"{said} {named} is " + ("refused now" if values == "inputs" else "new")
        return
    if _choices(narrow) is not None:
        yield f"{said} only some values are allowed, and any were before"
        return
    types, allowed = _types(wide), _types(narrow)
    gone = {t for t in types if t not in allowed and not (t == "integer" and "number" in allowed)}
    if gone:
        kinds = ", ".join(sorted(gone))
        is_input = values == "inputs"
        yield (
            f"{said} {kinds} is not taken any more" if is_input else f"{said} it may be {kinds} now"
        )
        return
    yield from _narrowed_bounds(wide, narrow, said)
    yield from _narrowed_members(wide, narrow, place, values, depth)
    for key in sorted({*wide, *narrow} - _COMPARED):
        is_note = key.startswith("x-") or key in _DEFINITIONS
        is_lifted = key in _LIFTED and key not in narrow
        if not (is_note or is_lifted) and _differ(wide.get(key), narrow.get(key)):
            yield f"{said} {key} differs, which may break {values}"


def _differ(one: JsonValue, other: JsonValue) -> bool:
    return canonical_json(one) != canonical_json(other)


def _refers(schema: JsonObject) -> bool:
    """Whether anything in a schema is a reference, so that definitions matter."""
    return '"$ref"' in canonical_json(schema)


def _choices(schema: JsonObject) -> list[JsonValue] | None:
    if "const" in schema:
        return [schema["const"]]
    found = schema.get("enum")
    is_list = isinstance(found, Sequence) and not isinstance(found, str)
    return list(found) if is_list and isinstance(found, Sequence) else None


def _narrowed_bounds(wide: JsonObject, narrow: JsonObject, said: str) -> Iterator[str]:
    for keys, sign in ((_LOWER_BOUNDS, 1), (_UPPER_BOUNDS, -1)):
        for key in keys:
            bound, before = narrow.get(key), wide.get(key)
            if not isinstance(bound, int | float):
                continue
            if not isinstance(before, int | float) or sign * bound > sign * before:
                yield f"{said} {key} is {bound}" + ("" if before is None else f", and was {before}")


def _narrowed_members(
    wide: JsonObject, narrow: JsonObject, place: str, values: str, depth: int
) -> Iterator[str]:
    if "items" in narrow:
        items = (_schema(wide.get("items")), _schema(narrow["items"]))
        yield from _narrowed(*items, f"{place}[]", values, depth + 1)
    said = f"{place}:" if place else ":"
    known, allowed = _schema(wide.get("properties")), _schema(narrow.get("properties"))
    is_closed = wide.get("additionalProperties") is False
    for name, schema in allowed.items():
        if is_closed and name not in known:
            # No value has such a member.
            continue
        inner = (_schema(known.get(name)), _schema(schema))
        yield from _narrowed(*inner, f"{place}.{name}", values, depth + 1)
    needed = _required(narrow) - _required(wide)
    if needed:
        yield f"{said} {', '.join(sorted(needed))} must be there"
    lost = sorted(name for name in known if name not in allowed and known[name] is not False)
    others = narrow.get("additionalProperties", True)
    if others is False:
        if not is_closed:
            yield f"{said} members that are not declared are refused"
        if lost:
            yield f"{said} {', '.join(lost)} is not among the members"
        return
    for name in lost:
        inner = (_schema(known[name]), _schema(others))
        yield from _narrowed(*inner, f"{place}.{name}", values, depth + 1)
    if not is_closed:
        inner = (_schema(wide.get("additionalProperties", True)), _schema(others))
        yield from _narrowed(*inner, f"{place}.*", values, depth + 1)


def _required(schema: JsonObject) -> set[str]:
    found = schema.get("required")
    is_list = isinstance(found, Sequence) and not isinstance(found, str)
    return set(map(str, found)) if is_list and isinstance(found, Sequence) else set()


_ALL_TYPES = frozenset({"null", "boolean", "integer", "number", "string", "array", "object"})


def _types(schema: JsonObject) -> frozenset[str]:
    declared = schema.get("type")
    if isinstance(declared, str):
        return frozenset({declared})
    if isinstance(declared, Sequence):
        return frozenset(map(str, declared))
    return _ALL_TYPES


def _schema(value: JsonValue) -> JsonObject:
    """A schema as an object: true allows everything, and false nothing at all."""
    if value is False:
        return _NOTHING
    return value if isinstance(value, Mapping) else {}
