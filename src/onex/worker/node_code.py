"""NodeCode: a node's Python code, loaded and called. Imported inside worker processes."""

from __future__ import annotations

import inspect
import math
import traceback
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from types import ModuleType

from onex.domain.json_value import JsonObject, JsonValue
from onex.worker.context import ExecutionContext
from onex.worker.plain_function import PlainFunction, is_plain

MAXIMUM_RESULT_DEPTH = 100
_PLAIN = (type(None), dict, list, str, bool, int, float)
MAXIMUM_INTEGER_BITS = 14_000
MAXIMUM_TRACEBACK_CHARACTERS = 1024 * 1024
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

    def __init__(self, file: Path, load: Callable[[], ModuleType], callable_name: str) -> None:
        """Import the file and find the callable in it.

        Args:
            file: the node's code.
            load: imports it.
            callable_name: what to call; names with dots lead into classes and objects.

        Raises:
            NodeCodeError: importing failed, or there is no such callable.
        """
        self._file = file
        try:
            found: object = load()
        except BaseException as error:
            raise NodeCodeError(
                "load",
                f"importing {file.name} failed: {_summary(error)}",
                _traceback(error, file),
            ) from error
        for name in callable_name.split("."):
            found = getattr(found, name, None)
        if not callable(found):
            raise NodeCodeError("load", f"{file.name} defines no callable {callable_name!r}")
        self._function: Callable[..., object] = PlainFunction(found) if is_plain(found) else found
        self._takes_one_mapping = _takes_one_mapping(self._function)

    def call(self, context: ExecutionContext, inputs: JsonObject) -> JsonValue:
        """Call the node with its inputs, wait for what it awaits, and check that it is JSON.

        Inputs are keyword arguments, unless the second positional parameter is
        called ``args`` or ``inputs``: then they are passed there as one mapping. A function that
        takes no context (``takes_context``) gets its inputs alone.

        Raises:
            NodeCodeError: the node raised, or returned something else than JSON.
        """
        try:
            if self._takes_one_mapping:
                result = self._function(context, dict(inputs))
            else:
                result = self._function(context, **inputs)
            if not isinstance(result, _PLAIN) and inspect.isawaitable(result):
                result = _awaited(result)
        except BaseException as error:
            raise NodeCodeError("raised", _summary(error), _traceback(error, self._file)) from error
        try:
            return _checked_json(result)
        except NodeCodeError:
            raise
        except BaseException as error:
            # The values of a result may have methods of the node's own.
            raise NodeCodeError("raised", _summary(error), _traceback(error, self._file)) from error


def _awaited(result: Awaitable[object]) -> object:
    """What an awaitable gives, from a loop of its own in a thread of its own if one runs here."""
    import asyncio

    async def wait() -> object:
        return await result

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(wait())
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, wait()).result()


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
    """The result with tuples as lists; raises NodeCodeError if it is not JSON.

    ``json.dumps`` would not do: it turns keys that are numbers into text unseen.
    """
    if result is None or isinstance(result, bool):
        return result
    try:
        return _PlainCopy().of(result, 1)
    except _NotJsonError as error:
        place = "the result" + "".join(reversed(error.path))
        raise NodeCodeError("result", f"{place} {error.reason}") from None


class _PlainCopy:
    """Copies a result as JSON values, and stops if it grows larger than a result may be."""

    def __init__(self) -> None:
        self._left = MAXIMUM_RESULT_CHARACTERS

    def of(self, value: object, depth: int) -> JsonValue:
        if isinstance(value, str):
            self._count(len(value))
            return value
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, int):
            if value.bit_length() > MAXIMUM_INTEGER_BITS:
                raise _NotJsonError("is an integer with more digits than JSON readers take")
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
    try:
        text = str(error)
    except Exception as failure:  # noqa: BLE001 - the node's own code makes this text
        text = f"(its text cannot be had: {type(failure).__name__})"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _traceback(error: BaseException, file: Path) -> str:
    """The traceback with causes, notes and groups, without the frames of the node's caller."""
    found = traceback.TracebackException.from_exception(error)
    pending, seen = [found], {id(found)}
    while pending:
        one = pending.pop()
        own = next((i for i, frame in enumerate(one.stack) if frame.filename == str(file)), None)
        if own is not None:
            del one.stack[:own]
        elif one is found:
            del one.stack[:]
        for other in (one.__cause__, one.__context__, *(one.exceptions or ())):
            if other is not None and id(other) not in seen:
                seen.add(id(other))
                pending.append(other)
    text = "".join(found.format())
    if len(text) > MAXIMUM_TRACEBACK_CHARACTERS:
        # From a whole line on, since the host hides secrets line by line.
        text = text[-MAXIMUM_TRACEBACK_CHARACTERS:].partition("\n")[2]
    return text
