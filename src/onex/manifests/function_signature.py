"""FunctionSignature: what a Python function says of its inputs and its result, read by ``ast``."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from onex.domain.errors import Location, Problem, Severity, UsageError
from onex.domain.json_value import JsonObject, JsonValue
from onex.domain.node_function import CONTEXT_NAMES, takes_context
from onex.manifests.annotation_schema import AnnotationSchemas, constant_of, has_value, nullable

MAXIMUM_SOURCE_BYTES = 512 * 1024
MAXIMUM_DOC_CHARACTERS = 20_000

_Function = ast.FunctionDef | ast.AsyncFunctionDef

_GOOGLE_SECTION = re.compile(r"(?:Args|Arguments|Parameters):\s*")
_NUMPY_UNDERLINE = re.compile(r"-{3,}\s*")
_SPHINX_PARAMETER = re.compile(r":param(?:\s+[^:\s]+)?\s+(\w+):\s*(.*)")
_MEMBER = re.compile(r"(\s+)(\w+)(?:\s*\([^)]*\))?:\s*(.*)")
_NUMPY_MEMBER = re.compile(r"(\w+)\s*:?.*")


@dataclass(frozen=True, slots=True)
class FunctionSignature:
    """What a function says: its description, and JSON Schemas of inputs and of its result.

    ``outputs`` are the members of a result that is a mapping; empty for other results.
    ``result`` is the schema of the whole result, empty if nothing is said of it.
    ``takes_context`` says whether it knows of onex.
    ``notes`` tell what could not be said.
    """

    name: str
    description: str
    inputs: JsonObject
    outputs: JsonObject
    result: JsonObject
    takes_context: bool
    notes: tuple[Problem, ...]


def read_function(file: Path, name: str) -> FunctionSignature:
    """Read the signature of a function at the top of a file.

    Raises:
        UsageError: the file cannot be read as Python, has no such function, or its parameters
            cannot be given by name.
    """
    module = _parse(file)
    functions = {n.name: n for n in module.body if isinstance(n, _Function)}
    if name not in functions:
        raise UsageError(
            f"{file} has no function {name!r}",
            hint="its functions are: " + (", ".join(functions) or "none"),
            location=Location(str(file)),
        )
    try:
        return _Reader(file, module, functions[name]).read()
    except (RecursionError, MemoryError) as error:
        raise UsageError(
            f"the types in {file} are nested too deeply", hint="write the manifest by hand"
        ) from error


def _parse(file: Path) -> ast.Module:
    try:
        if not file.is_file():
            raise UsageError(f"{file} is no file", hint="name a Python file: path.py:function")
        if file.stat().st_size > MAXIMUM_SOURCE_BYTES:
            raise UsageError(f"{file} is too large to be read", hint="name a smaller file")
        with file.open("rb") as source:
            return ast.parse(source.read(MAXIMUM_SOURCE_BYTES + 1), str(file))
    except OSError as error:
        raise UsageError(
            f"{file} cannot be read: {error.strerror}", hint="name a Python file: path.py:function"
        ) from error
    except SyntaxError as error:
        raise UsageError(
            f"{file} is not Python: {error.msg}",
            hint="correct the file",
            location=Location(str(file), error.lineno, error.offset),
        ) from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise UsageError(f"{file} is not Python: {error}", hint="correct the file") from error


class _Reader:
    def __init__(self, file: Path, module: ast.Module, function: _Function) -> None:
        self._file = file
        self._function = function
        self._schemas = AnnotationSchemas(module)
        self._notes: list[Problem] = []

    def read(self) -> FunctionSignature:
        doc = (ast.get_docstring(self._function) or "")[:MAXIMUM_DOC_CHARACTERS]
        told = dict(_parameters_told(doc))
        inputs = {
            name: self._input(annotation, default, told.get(name))
            for name, annotation, default in self._parameters()
        }
        returned = self._schemas.of(self._function.returns)
        outputs = self._outputs(returned)
        arguments = self._function.args
        first = [*arguments.posonlyargs, *arguments.args][:1]
        has_default = bool(first) and len(arguments.defaults) == len(
            [*arguments.posonlyargs, *arguments.args]
        )
        takes_context = bool(first) and _takes_context(first[0], has_default=has_default)
        for name in self._schemas.unknown:
            self._note(f"{name} says nothing about JSON, so any value is allowed there")
        return FunctionSignature(
            self._function.name,
            _summary(doc),
            inputs,
            outputs,
            returned,
            takes_context,
            tuple(self._notes),
        )

    def _note(self, message: str) -> None:
        place = Location(str(self._file), self._function.lineno)
        hint = (
            "use a TypedDict or a dataclass of the same file, or describe it in the manifest by"
            " hand, with a line such as name: {type: string} for each value"
        )
        self._notes.append(Problem("MAN018", Severity.WARNING, message, place, hint))

    def _parameters(self) -> Iterator[tuple[str, ast.expr | None, ast.expr | None]]:
        """The inputs: name, annotation and default of each."""
        arguments = self._function.args
        positional = [*arguments.posonlyargs, *arguments.args]
        missing = len(positional) - len(arguments.defaults)
        defaults: list[ast.expr | None] = [*[None] * missing, *arguments.defaults]
        pairs = list(zip(positional, defaults, strict=True))
        if pairs and _takes_context(pairs[0][0], has_default=pairs[0][1] is not None):
            name = pairs[0][0].arg
            if name not in CONTEXT_NAMES or pairs[0][0].annotation is not None:
                self._note(f"{name} is taken for the context of the execution, not for an input")
            pairs = pairs[1:]
            if pairs and pairs[0][0].arg in ("args", "inputs"):
                self._note(f"{pairs[0][0].arg} takes all inputs at once, which are not described")
                pairs = pairs[1:]
        by_position = [p.arg for p, _ in pairs if p in arguments.posonlyargs]
        if arguments.vararg is not None:
            by_position.append(f"*{arguments.vararg.arg}")
        if by_position:
            raise UsageError(
                f"{self._function.name} takes {by_position[0]} by position alone",
                hint="inputs of nodes are given by name: make it a keyword parameter",
                location=Location(str(self._file), self._function.lineno),
            )
        if arguments.kwarg:
            self._note(f"**{arguments.kwarg.arg} takes inputs that are not described")
        pairs += zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
        for parameter, default in pairs:
            yield parameter.arg, parameter.annotation, default

    def _input(
        self, annotation: ast.expr | None, default: ast.expr | None, told: str | None
    ) -> JsonObject:
        schema = dict(self._schemas.of(annotation))
        if told is not None:
            schema.setdefault("description", told)
        if default is not None:
            value = constant_of(default)
            if annotation is None:
                schema |= _type_of_default(value)
            if value is None:
                # A default of None allows it, whatever the annotation says (PEP 484).
                schema = dict(nullable(schema))
            if has_value(value):
                schema["default"] = value
            else:
                schema = _optional(schema)
        return schema

    def _outputs(self, returned: JsonObject) -> JsonObject:
        properties = returned.get("properties")
        if not isinstance(properties, Mapping):
            if returned and returned.get("type") != "null":
                self._note("the result has no named members, so onex fit and compose cannot use it")
            return {}
        required = returned.get("required")
        needed = required if isinstance(required, list) else []
        outputs: dict[str, JsonValue] = {}
        for name, schema in properties.items():
            member = dict(schema) if isinstance(schema, Mapping) else {}
            outputs[name] = member if name in needed else _optional(member)
        return outputs


def _type_of_default(value: JsonValue) -> JsonObject:
    """The type of a parameter without an annotation, as its default shows it."""
    for kind, name in ((bool, "boolean"), (int, "integer"), (float, "number"), (str, "string")):
        if isinstance(value, kind):
            return {"type": name}
    return {}


def _optional(schema: JsonObject) -> dict[str, JsonValue]:
    """A member that may be left out; ``required`` of a schema itself is a list of its members."""
    return {"required": False} | ({"allOf": [schema]} if "required" in schema else dict(schema))


def _takes_context(parameter: ast.arg, *, has_default: bool) -> bool:
    annotation = None if parameter.annotation is None else ast.unparse(parameter.annotation)
    return takes_context(parameter.arg, annotation, has_default=has_default)


def _summary(doc: str) -> str:
    """The first paragraph of a docstring, in one line."""
    return " ".join(doc.strip().partition("\n\n")[0].split())


def _parameters_told(doc: str) -> Iterator[tuple[str, str]]:
    """What a docstring says of parameters, in the style of Google, NumPy or Sphinx."""
    lines = doc.splitlines()
    for number, line in enumerate(lines):
        sphinx = _SPHINX_PARAMETER.match(line.strip())
        if sphinx:
            yield sphinx[1], _with_continuation(sphinx[2], lines[number + 1 :], _indent(line))
        elif _GOOGLE_SECTION.fullmatch(line.strip()):
            yield from _google(lines[number + 1 :])
        elif line.strip() == "Parameters" and _is_underlined(lines, number):
            yield from _numpy(lines[number + 2 :])


def _is_underlined(lines: list[str], number: int) -> bool:
    below = lines[number + 1 : number + 2]
    return bool(below) and _NUMPY_UNDERLINE.fullmatch(below[0].strip()) is not None


def _google(lines: list[str]) -> Iterator[tuple[str, str]]:
    indent = None
    for number, line in enumerate(lines):
        if line.strip() and not line[0].isspace():
            return
        member = _MEMBER.fullmatch(line)
        if member and (indent is None or len(member[1]) == indent):
            indent = len(member[1])
            yield member[2], _with_continuation(member[3], lines[number + 1 :], indent)


def _numpy(lines: list[str]) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(lines):
        if _NUMPY_UNDERLINE.fullmatch(line.strip()) and line.strip():
            return
        member = _NUMPY_MEMBER.fullmatch(line)
        if member:
            text = _with_continuation("", lines[number + 1 :], 0)
            if text:
                yield member[1], text


def _with_continuation(text: str, lines: list[str], indent: int) -> str:
    """A text with the lines below it that stand further in."""
    parts = [text]
    for line in lines:
        if not line.strip() or _indent(line) <= indent:
            break
        parts.append(line.strip())
    return " ".join(" ".join(parts).split())


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())
