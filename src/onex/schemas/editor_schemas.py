"""JSON Schemas of the files that people write, for editors. The readers decide what is valid."""

from __future__ import annotations

from importlib.resources import files

from onex.domain.json_value import JsonObject, as_object, parse_json

DOCUMENTS = ("manifest", "workflow", "config")


def editor_schema(document: str) -> JsonObject:
    """The JSON Schema (2020-12) of one of ``DOCUMENTS``, with descriptions."""
    file = files("onex.schemas") / "editor" / f"{document}.schema.json"
    return as_object(parse_json(file.read_text(encoding="utf-8")))
