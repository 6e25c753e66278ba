"""PlainFunction: a function that knows nothing of onex, called as a node.

It gets its inputs alone, as it is annotated: ``pathlib.Path``, data classes and enumerations,
also within lists and mappings. What it returns may hold these too, and paths of files that it
wrote to the working folder, which become artifacts. Imported inside worker processes.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Union, get_args, get_origin

from onex.domain.node_function import takes_context
from onex.worker.context import ExecutionContext

if TYPE_CHECKING:
    from dataclasses import Field

_MAPPINGS = (dict, Mapping)


def is_plain(function: Callable[..., object]) -> bool:
    """Whether a function takes no context."""
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return False
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    if not positional:
        return not any(p.kind is p.VAR_POSITIONAL for p in parameters)
    first = positional[0]
    return not takes_context(
        first.name, _text(first.annotation), has_default=first.default is not first.empty
    )


def _text(annotation: object) -> str | None:
    if annotation is inspect.Parameter.empty:
        return None
    return annotation if isinstance(annotation, str) else getattr(annotation, "__name__", "?")


class PlainFunction:
    """Stands for a plain function, and is called as a node's function is."""

    def __init__(self, function: Callable[..., object]) -> None:
        self._function = function
        space = getattr(inspect.unwrap(function), "__globals__", {})
        parameters = inspect.signature(function).parameters.values()
        self._annotations = {p.name: _evaluated(p.annotation, space) for p in parameters}

    def __call__(self, context: ExecutionContext, /, **inputs: object) -> object:
        """Call the function with its inputs; returns what it returns, or what is awaited."""
        given = {
            name: as_annotated(value, self._annotations.get(name)) for name, value in inputs.items()
        }
        result = self._function(**given)
        if inspect.isawaitable(result):
            return _awaited_value(result, context)
        return with_plain_values(result, context)


def _evaluated(annotation: object, space: Mapping[str, object]) -> object:
    """An annotation that was written as a text; None if it means nothing where the code runs."""
    if not isinstance(annotation, str):
        return annotation
    try:
        return eval(annotation, dict(space))  # noqa: S307 - the node's own code, in its process
    except Exception:  # noqa: BLE001 - such as a name that is imported for type checkers alone
        return None


def as_annotated(value: object, annotation: object) -> object:
    """A JSON value as a path, a data class or an enumeration, where the annotation asks for it.

    A value that does not fit is handed over as it is.
    """
    if hasattr(annotation, "__metadata__"):
        return as_annotated(value, getattr(annotation, "__origin__", None))
    origin, members = get_origin(annotation), get_args(annotation)
    if origin in (Union, UnionType):
        return _as_one_of(value, members)
    if isinstance(value, list) and members:
        return _as_list(value, origin, members)
    if isinstance(value, dict) and origin is not None:
        if isinstance(origin, type) and issubclass(origin, _MAPPINGS) and len(members) == 2:
            return {key: as_annotated(member, members[1]) for key, member in value.items()}
        return value
    if not isinstance(annotation, type):
        return value
    if issubclass(annotation, Path) and isinstance(value, str):
        return annotation(value)
    if isinstance(value, dict) and _fields_of(annotation):
        return _as_data_class(value, annotation)
    if hasattr(annotation, "__members__"):
        return annotation(value)
    return value


def _as_one_of(value: object, members: tuple[object, ...]) -> object:
    """The value as the first of several types that makes something of it."""
    if value is None:
        return None
    for member in members:
        found = as_annotated(value, member)
        if found is not value:
            return found
    return value


def _as_list(value: list[object], origin: object, members: tuple[object, ...]) -> object:
    if origin is not tuple:
        return [as_annotated(one, members[0]) for one in value]
    if members[-1] is ...:
        return tuple(as_annotated(one, members[0]) for one in value)
    kinds = [*members, *[None] * len(value)]
    return tuple(as_annotated(one, kind) for one, kind in zip(value, kinds, strict=False))


def _as_data_class(value: dict[str, object], kind: type) -> object:
    space = vars(inspect.getmodule(kind) or object)
    types = {name: _evaluated(field.type, space) for name, field in _fields_of(kind).items()}
    return kind(**{name: as_annotated(member, types.get(name)) for name, member in value.items()})


def _fields_of(kind: type) -> Mapping[str, Field[object]]:
    """The fields of a data class; none for another class."""
    if not hasattr(kind, "__dataclass_fields__"):
        return {}
    from dataclasses import fields

    return {field.name: field for field in fields(kind)}


async def _awaited_value(result: object, context: ExecutionContext) -> object:
    if not inspect.isawaitable(result):
        return result
    return with_plain_values(await result, context)


def with_plain_values(value: object, context: ExecutionContext) -> object:
    """The value with JSON in the place of data classes, enumerations and paths."""
    if hasattr(type(value), "__members__") and hasattr(value, "value"):
        return value.value
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, Path):
        return _artifact_or_text(value, context)
    if isinstance(value, Mapping):
        return {key: with_plain_values(member, context) for key, member in value.items()}
    if isinstance(value, list | tuple):
        return [with_plain_values(member, context) for member in value]
    fields = _fields_of(type(value))
    if fields:
        return {name: with_plain_values(getattr(value, name), context) for name in fields}
    return value


def _artifact_or_text(path: Path, context: ExecutionContext) -> object:
    file = path.absolute().resolve()
    if file.is_file() and file.is_relative_to(context.workdir.resolve()):
        return context.artifact(file)
    return str(path)
