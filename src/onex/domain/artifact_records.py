"""Records of artifacts: what stands for a file in a result, and how values are made of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from onex.domain.digest import is_digest
from onex.domain.json_value import ARTIFACT_KEY, JsonObject, JsonValue, as_text

# What JSON is read as. Asking for the abstract types would take several times as long, and large
# results are walked often.
COLLECTIONS = (dict, list, tuple)
MAXIMUM_TEXT = 400
_LITERAL_KEY = "$literal"
_RECORD_MEMBERS = {ARTIFACT_KEY, "name", "size_bytes", "path"}


@dataclass(frozen=True, slots=True)
class Artifact:
    """A file or folder that a node made and the store keeps: ``path`` is where it lies here.

    ``digest`` is that of its content, ``size_bytes`` counts the files of a folder together.
    """

    name: str
    path: str
    digest: str
    size_bytes: int

    @classmethod
    def of(cls, record: JsonObject) -> Artifact:
        """The artifact that a record stands for."""
        size = record["size_bytes"]
        return cls(
            name=as_text(record["name"]),
            path=as_text(record["path"]),
            digest=as_text(record[ARTIFACT_KEY]),
            size_bytes=size if isinstance(size, int) else 0,
        )


def is_artifact(value: JsonValue) -> bool:
    """Whether a value is the record of an artifact, and not something of a user's own."""
    return (
        isinstance(value, dict)
        and ARTIFACT_KEY in value
        and value.keys() == _RECORD_MEMBERS
        and all(isinstance(value[name], str) for name in (ARTIFACT_KEY, "name", "path"))
        and is_digest(str(value[ARTIFACT_KEY]))
    )


def with_paths(value: JsonValue) -> JsonValue:
    """The value as a node receives it: the path of the file in the place of each artifact."""
    if isinstance(value, dict):
        if ARTIFACT_KEY in value and is_artifact(value):
            return as_text(value["path"])
        return {
            key: with_paths(member) if isinstance(member, COLLECTIONS) else member
            for key, member in value.items()
        }
    if isinstance(value, list | tuple):
        return [
            with_paths(member) if isinstance(member, COLLECTIONS) else member for member in value
        ]
    return value


def in_one_line(value: JsonValue) -> str:
    """A value for people, with the path of each file in it; a long one is cut off."""
    if isinstance(value, dict) and is_artifact(value):
        return as_text(value["path"])
    text = json.dumps(with_paths(value), ensure_ascii=False)
    return text if len(text) <= MAXIMUM_TEXT else text[: MAXIMUM_TEXT - 3] + "..."


def with_records(value: JsonValue, changed: Callable[[JsonObject], JsonValue]) -> JsonValue:
    """The value with something else in the place of the record of each artifact."""
    if isinstance(value, dict):
        if ARTIFACT_KEY in value and is_artifact(value):
            return changed(value)
        return {key: with_records(member, changed) for key, member in value.items()}
    if isinstance(value, list | tuple):
        return [with_records(member, changed) for member in value]
    return value


def artifacts_in(value: JsonValue) -> Iterator[JsonObject]:
    """The record of every artifact within a value."""
    return (marked for marked in marked_in(value) if is_artifact(marked))


def marked_in(value: JsonValue) -> Iterator[JsonObject]:
    """Every mapping within a value that is marked as an artifact, be it stored or not."""
    pending = [value]
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            if ARTIFACT_KEY in value:
                yield value
                if is_artifact(value):
                    continue
            members: Iterable[JsonValue] = value.values()
        elif isinstance(value, list | tuple):
            members = value
        else:
            continue
        pending += [member for member in members if isinstance(member, COLLECTIONS)]


def without_paths(value: JsonValue) -> JsonValue:
    """The value with artifacts by content and name alone, so that two runs can be compared.

    What a user wrote who imitates that is marked as such, so that no two values look the same.
    """
    if isinstance(value, dict):
        if is_artifact(value):
            return {ARTIFACT_KEY: value[ARTIFACT_KEY], "name": value.get("name")}
        if ARTIFACT_KEY in value or _LITERAL_KEY in value:
            return {_LITERAL_KEY: {key: without_paths(member) for key, member in value.items()}}
        return {key: without_paths(member) for key, member in value.items()}
    if isinstance(value, list | tuple):
        return [without_paths(member) for member in value]
    return value
