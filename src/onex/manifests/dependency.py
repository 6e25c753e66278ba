"""One entry of ``dependencies``: another node, or a Python library."""

from __future__ import annotations

import re
from collections.abc import Mapping

from onex.domain.constraint import LATEST, VersionConstraint
from onex.domain.errors import InvalidReferenceError
from onex.domain.json_value import JsonValue
from onex.domain.metadata import Dependency
from onex.domain.reference import NodeRef

# The name, extras and version part of a requirement in PEP 508; one with a marker is rare, and
# left to the library that knows them.
_REQUIREMENT = re.compile(
    r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?\s*(?:\[[A-Za-z0-9,._ -]*\])?"
    r"\s*(?:(?:===|==|~=|!=|<=|>=|<|>)\s*[0-9A-Za-z.*+!_-]+\s*,?\s*)*",
    re.ASCII,
)
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
MAXIMUM_LENGTH = 512


def read_dependency(entry: JsonValue) -> Dependency | str:
    """Read one entry; a library is returned as its requirement text.

    Raises:
        InvalidReferenceError: the entry names nothing that could be looked up.
        ConstraintError: its version part is not a constraint.
    """
    if isinstance(entry, Mapping):
        return _read_mapping(entry)
    if not isinstance(entry, str):
        raise _refuse(entry)
    text = entry.strip()
    if len(text) > MAXIMUM_LENGTH:
        raise _refuse(text)
    if "://" in text or _UUID.match(text) or "@" in text:
        return Dependency(NodeRef.parse(text))
    if _is_requirement(text):
        return text
    raise _refuse(text)


def _is_requirement(text: str) -> bool:
    head, separator, _ = text.partition(";")
    if not separator or not _REQUIREMENT.fullmatch(head):
        return _REQUIREMENT.fullmatch(text) is not None
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        Requirement(text)
    except InvalidRequirement:
        return False
    return True


def _read_mapping(entry: Mapping[str, JsonValue]) -> Dependency | str:
    name = next((entry[key] for key in ("id", "name", "target") if entry.get(key)), None)
    kind = entry.get("type") or entry.get("kind")
    written = entry.get("version_spec") or entry.get("version")
    if (
        not isinstance(name, str)
        or not isinstance(kind, str | None)
        or not isinstance(written, str | None)
    ):
        raise _refuse(str(dict(entry)))
    is_optional = entry.get("optional") is True or entry.get("required") is False
    if kind in ("library", "package", "python"):
        return f"{name}{written or ''}"
    constraint = VersionConstraint.parse(written) if written else LATEST
    target = name if "://" in name or kind in (None, "node") else f"{kind}://{name}"
    reference = NodeRef.parse(target)
    if written is None:
        constraint = reference.constraint
    return Dependency(NodeRef(reference.type, reference.name, constraint), is_optional)


def _refuse(entry: JsonValue) -> InvalidReferenceError:
    shown = str(entry)
    shown = shown if len(shown) <= 80 else shown[:77] + "..."
    return InvalidReferenceError(
        f"{shown!r} is not a dependency",
        hint="write type://namespace@constraint, or a Python requirement such as jinja2>=3.0",
    )
