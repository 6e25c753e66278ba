"""NodeCode: a node's Python code, loaded and called. Imported inside worker processes."""

from __future__ import annotations

import inspect
import math
import sys
import traceback
from collections.abc import Callable, Mapping
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import LazyLoader, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

from onex.domain.json_value import JsonObject, JsonValue
from onex.execution.context import ExecutionContext

PACKAGE_FILE = "__init__.py"
MAXIMUM_RESULT_DEPTH = 100
MAXIMUM_RESULT_CHARACTERS = 64 * 1024 * 1024


class NodeCodeError(Exception):
    """The code cannot be loaded, or its result is not JSON; ``kind`` tells which.

    Kinds: ``load``, ``raised`` and ``result``. ``detail`` holds the traceback
    from the node's own frames on.
    """

    def __init__(self, kind: str, message: str, detail: str | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.detail = detail


class NodeCode:
    """One callable of a node's file."""

    def __init__(self, file: Path, folder: Path, callable_name: str) -> None:
        """Import the file under a name of its own and find the callable in it.

        Args:
            file: the node's code.
            folder: the node's folder, the file's own or one above it. Relative imports reach
                what lies in it.
            callable_name: what to call.

        Raises:
            NodeCodeError: importing failed, or there is no such callable.
        """
        self._file = file
        function = getattr(_import(file, folder), callable_name, None)
        if not callable(function):
            raise NodeCodeError("load", f"{file.name} defines no callable {callable_name!r}")
        self._function: Callable[..., object] = function
        self._takes_one_mapping = _takes_one_mapping(function)

    def call(self, context: ExecutionContext, inputs: JsonObject) -> JsonValue:
        """Call the node with its inputs and check that what it returns is JSON.

        Inputs are keyword arguments, unless the second positional parameter is
        called ``args`` or ``inputs``: then they are passed there as one mapping.

        Raises:
            NodeCodeError: the node raised, or returned something else than JSON.
        """
        try:
            if self._takes_one_mapping:
                result = self._function(context, dict(inputs))
            else:
                result = self._function(context, **inputs)
        except BaseException as error:
            raise NodeCodeError("raised", _summary(error), _traceback(error, self._file)) from error
        return _checked_json(result)


def _import(file: Path, folder: Path) -> ModuleType:
    package = _enter_packages(file, folder)
    if file.name == PACKAGE_FILE:
        name, places = package, [str(file.parent)]
    else:
        name, places = f"{package}.{file.stem.replace('.', '_')}", None
    spec = spec_from_file_location(name, file, submodule_search_locations=places)
    if spec is None or spec.loader is None:
        raise NodeCodeError("load", f"{file.name} is not a Python file")
    module = module_from_spec(spec)
    sys.modules[name] = module
    sys.path.insert(0, str(file.parent))
    try:
        spec.loader.exec_module(module)
    except BaseException as error:
        raise NodeCodeError(
            "load", f"importing {file.name} failed: {_summary(error)}", _traceback(error, file)
        ) from error
    finally:
        sys.path.remove(str(file.parent))
    return module


def _enter_packages(file: Path, folder: Path) -> str:
    """Make the folders around a file known as packages; returns the name of the innermost.

    The code of a package itself runs when something is first imported through it.
    """
    around = [file.parent]
    while around[-1] != folder and around[-1].name.isidentifier():
        around.append(around[-1].parent)
    name = f"onex_node_{abs(hash(str(file)))}"
    for place in reversed(around):
        name = name if place is around[-1] else f"{name}.{place.name}"
        spec = ModuleSpec(name, None, is_package=True)
        spec.submodule_search_locations = [str(place)]
        code = place / PACKAGE_FILE
        if code.is_file():
            loader = LazyLoader(SourceFileLoader(name, str(code)))
            located = spec_from_file_location(
                name, code, loader=loader, submodule_search_locations=[str(place)]
            )
            spec = located or spec
        module = sys.modules[name] = module_from_spec(spec)
        if spec.loader is not None and code.is_file():
            spec.loader.exec_module(module)
    return name


def _takes_one_mapping(function: Callable[..., object]) -> bool:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return False
    positional = [
        parameter.name
        for parameter in parameters
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    ]
    return len(positional) > 1 and positional[1] in ("args", "inputs")


class _NotJsonError(Exception):
    """A value within a result that JSON cannot hold; ``path`` grows while it travels outwards."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.path: list[str] = []


def _checked_json(result: object) -> JsonValue:
    """The result with tuples as lists; raises NodeCodeError where it is not JSON.

    ``json.dumps`` would not do: it turns keys that are numbers into text unseen.
    """
    if result is None or isinstance(result, bool | int):
        return result
    try:
        return _PlainCopy().of(result, 1)
    except _NotJsonError as error:
        place = "the result" + "".join(reversed(error.path))
        raise NodeCodeError("result", f"{place} {error.reason}") from None


class _PlainCopy:
    """Copies a result as JSON values, and stops where it grows larger than a result may be."""

    def __init__(self) -> None:
        self._left = MAXIMUM_RESULT_CHARACTERS

    def of(self, value: object, depth: int) -> JsonValue:
        if isinstance(value, str):
            self._count(len(value))
            return value
        if value is None or isinstance(value, bool | int):
            return value
        if isinstance(value, float):
            if math.isfinite(value):
                return value
            raise _NotJsonError(f"is {value}, which JSON cannot hold")
        if depth > MAXIMUM_RESULT_DEPTH:
            raise NodeCodeError(
                "result", f"the result is nested more than {MAXIMUM_RESULT_DEPTH} levels deep"
            )
        if isinstance(value, Mapping):
            return self._mapping(value, depth)
        if isinstance(value, list | tuple):
            return self._list(value, depth)
        raise _NotJsonError(f"is of type {type(value).__name__}, which JSON cannot hold")

    def _mapping(self, value: Mapping[object, object], depth: int) -> JsonValue:
        self._count(len(value))
        collected: dict[str, JsonValue] = {}
        for key, member in value.items():
            if not isinstance(key, str):
                raise _NotJsonError(f"has a key of type {type(key).__name__}; JSON keys are text")
            self._count(len(key))
            try:
                collected[key] = self.of(member, depth + 1)
            except _NotJsonError as error:
                error.path.append(f".{key}")
                raise
        return collected

    def _list(self, value: list[object] | tuple[object, ...], depth: int) -> JsonValue:
        self._count(len(value))
        listed: list[JsonValue] = []
        for index, member in enumerate(value):
            try:
                listed.append(self.of(member, depth + 1))
            except _NotJsonError as error:
                error.path.append(f"[{index}]")
                raise
        return listed

    def _count(self, characters: int) -> None:
        self._left -= characters
        if self._left < 0:
            raise NodeCodeError(
                "result",
                f"the result has more than {MAXIMUM_RESULT_CHARACTERS // 1024**2} MiB;"
                " hand big values over as artifacts",
            )


def _summary(error: BaseException) -> str:
    text = str(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _traceback(error: BaseException, file: Path) -> str:
    """The traceback from the node's file on, without the frames of its caller."""
    frames = traceback.extract_tb(error.__traceback__)
    own = next((i for i, frame in enumerate(frames) if frame.filename == str(file)), len(frames))
    lines = traceback.format_list(frames[own:]) + traceback.format_exception_only(error)
    return "".join(lines)[-16_384:]
