"""PlainFunction: a function that knows nothing of onex, called as a node.

It gets its inputs alone, as ``pathlib.Path`` or a data class if it is annotated so. What it
returns may hold data classes, enumerations, and paths of files that it wrote to the working
folder, which become artifacts. Imported inside worker processes.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path

from onex.domain.node_function import takes_context
from onex.worker.context import ExecutionContext


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
        try:
            signature = inspect.signature(function, eval_str=True)
        except Exception:  # noqa: BLE001 - annotations are the node's own code
            self._annotations: Mapping[str, object] = {}
            return
        self._annotations = {p.name: p.annotation for p in signature.parameters.values()}

    def __call__(self, context: ExecutionContext, **inputs: object) -> object:
        """Call the function with its inputs; returns what it returns, or what is awaited."""
        given = {
            name: _as_annotated(value, self._annotations.get(name))
            for name, value in inputs.items()
        }
        result = self._function(**given)
        if inspect.isawaitable(result):
            return _awaited_value(result, context)
        return with_plain_values(result, context)


def _as_annotated(value: object, annotation: object) -> object:
    """The value as a path, or as an instance of a data class, if the annotation asks for it."""
    if isinstance(value, dict) and isinstance(annotation, type) and _fields_of(annotation):
        return annotation(**value)
    return _as_paths(value) if _is_path(annotation) else value


def _fields_of(kind: type) -> Mapping[str, object]:
    """The fields of a data class; none for another class."""
    found: Mapping[str, object] = getattr(kind, "__dataclass_fields__", {})
    return found


def _as_paths(value: object) -> object:
    if isinstance(value, str):
        return Path(value)
    return [_as_paths(member) for member in value] if isinstance(value, list) else value


async def _awaited_value(result: object, context: ExecutionContext) -> object:
    if not inspect.isawaitable(result):
        return result
    return with_plain_values(await result, context)


def with_plain_values(value: object, context: ExecutionContext) -> object:
    """The value with JSON in the place of data classes, enumerations and paths."""
    if value is None or isinstance(value, str | int | float | bool):
        return getattr(value, "value", value) if _is_enumeration(value) else value
    if isinstance(value, Path):
        return _artifact_or_text(value, context)
    if isinstance(value, Mapping):
        return {key: with_plain_values(member, context) for key, member in value.items()}
    if isinstance(value, list | tuple):
        return [with_plain_values(member, context) for member in value]
    fields = _fields_of(type(value))
    if fields:
        return {name: with_plain_values(getattr(value, name), context) for name in fields}
    return getattr(value, "value", value) if _is_enumeration(value) else value


def _is_enumeration(value: object) -> bool:
    return hasattr(type(value), "__members__") and hasattr(value, "value")


def _artifact_or_text(path: Path, context: ExecutionContext) -> object:
    file = path.absolute().resolve()
    if file.is_file() and file.is_relative_to(context.workdir.resolve()):
        return context.artifact(file)
    return str(path)


def _is_path(annotation: object) -> bool:
    """Whether an annotation is ``Path``, also beside None, in ``Annotated``, or in a list."""
    if annotation is Path:
        return True
    if hasattr(annotation, "__metadata__"):
        return _is_path(getattr(annotation, "__origin__", None))
    members = set(getattr(annotation, "__args__", ()))
    return bool(members) and members <= {Path, type(None)}
