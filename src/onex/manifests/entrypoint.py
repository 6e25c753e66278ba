"""The ``entrypoint`` of a manifest in each of the forms that real files use."""

from __future__ import annotations

import re
from collections.abc import Mapping

from onex.domain.json_value import JsonValue, ValuePath
from onex.domain.metadata import Entrypoint
from onex.manifests.field_reader import FieldReader

_PLACE: ValuePath = ("entrypoint",)
_TEXT_FORM = re.compile(r"(?P<type>[a-z][a-z0-9_-]*)(?:://|@)(?P<target>.+)", re.ASCII)
_CALLABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_NOTHING = Entrypoint("python", "")


def read_entrypoint(reader: FieldReader, value: JsonValue) -> Entrypoint:
    """Read a mapping of type and target, ``python@node.py`` or ``python://a/b.py[:callable]``.

    What is wrong is reported to the reader.
    """
    if value is None:
        reader.report("001", "entrypoint is missing", _PLACE, "add entrypoint: python@node.py")
        return _NOTHING
    if isinstance(value, Mapping):
        kind = reader.text((*_PLACE, "type"), value.get("type")) or "python"
        target = reader.text((*_PLACE, "target"), value.get("target"))
        name = reader.text((*_PLACE, "callable"), value.get("callable"))
    else:
        text = reader.text(_PLACE, value)
        match = _TEXT_FORM.fullmatch(text)
        if match is None:
            if text:
                reader.report(
                    "012",
                    f"{text!r} is not an entry point",
                    _PLACE,
                    "write python@node.py, or a mapping of type and target",
                )
            return _NOTHING
        kind, target, name = match["type"], match["target"], ""
    target, separator, suffix = target.partition(":")
    name = (suffix if separator else name) or "execute"
    if not _CALLABLE.fullmatch(name):
        reader.report("012", f"{name!r} is not a callable", _PLACE, "write target:execute")
    if not target:
        reader.report("012", "the entry point names no target", _PLACE, "name a file or a module")
    elif "\0" in target or target.startswith("/") or ".." in target.split("/"):
        reader.report(
            "012",
            "the entry point leads out of the node's folder",
            _PLACE,
            "name a file below the manifest",
        )
    return Entrypoint(kind, target, name)
