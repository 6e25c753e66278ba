"""From the annotations of a Python file to JSON Schemas. The file is parsed, and never imported."""

from __future__ import annotations

import ast
from collections.abc import Mapping

from onex.domain.errors import UsageError
from onex.domain.json_value import JsonObject, JsonValue, as_object, as_texts

_SIMPLE: Mapping[str, JsonObject] = {
    "str": {"type": "string"},
    "int": {"type": "integer"},
    "float": {"type": "number"},
    "bool": {"type": "boolean"},
    "None": {"type": "null"},
    "NoneType": {"type": "null"},
    "bytes": {},
    "list": {"type": "array"},
    "List": {"type": "array"},
    "tuple": {"type": "array"},
    "Tuple": {"type": "array"},
    "Sequence": {"type": "array"},
    "Iterable": {"type": "array"},
    "Collection": {"type": "array"},
    "dict": {"type": "object"},
    "Dict": {"type": "object"},
    "Mapping": {"type": "object"},
    "MutableMapping": {"type": "object"},
    "Path": {"type": "string", "format": "path"},
    "PathLike": {"type": "string", "format": "path"},
    "Any": {},
    "object": {},
}
_LISTS = frozenset({"list", "List", "Sequence", "Iterable", "Collection"})
_TUPLES = frozenset({"tuple", "Tuple"})
_MAPPINGS = frozenset({"dict", "Dict", "Mapping", "MutableMapping"})
_TRANSPARENT = frozenset({"Required", "ReadOnly", "Final", "NotRequired", "Awaitable"})
_NO_MEMBERS = frozenset({"ClassVar", "InitVar", "KW_ONLY"})
_BASES_OF_ENUMERATIONS = frozenset({"Enum", "StrEnum", "IntEnum"})
_NO_VALUE = object()
MAXIMUM_DEPTH = 20
MAXIMUM_SCHEMAS = 2_000


class AnnotationSchemas:
    """The schemas of annotations in one module, whose classes and aliases they may name.

    ``unknown`` collects the names that say nothing about JSON.
    """

    def __init__(self, module: ast.Module) -> None:
        self.unknown: dict[str, None] = {}
        self._classes = {n.name: n for n in module.body if isinstance(n, ast.ClassDef)}
        self._aliases = dict(_alias for n in module.body for _alias in _aliases_of(n))
        self._open: set[str] = set()
        self._left = MAXIMUM_SCHEMAS

    def of(self, annotation: ast.expr | None, depth: int = 0) -> JsonObject:
        """The schema of an annotation; an empty one, which allows everything, for none.

        Raises:
            UsageError: it unfolds to more than MAXIMUM_SCHEMAS.
        """
        if annotation is None or depth > MAXIMUM_DEPTH:
            return {}
        self._left -= 1
        if self._left < 0:
            raise UsageError(
                f"the annotations unfold to more than {MAXIMUM_SCHEMAS} schemas",
                hint="use smaller types, or write the manifest by hand",
            )
        match annotation:
            case ast.Constant(value=None):
                return {"type": "null"}
            case ast.Constant(value=str(text)):
                return self._of_text(text, depth)
            case ast.BinOp(left, ast.BitOr(), right):
                return _union([self.of(left, depth + 1), self.of(right, depth + 1)])
            case ast.Subscript(value, part):
                return self._of_subscript(last_name(value), part, depth)
            case ast.Name() | ast.Attribute():
                return self._of_name(last_name(annotation), depth)
        self.unknown[ast.unparse(annotation)] = None
        return {}

    def _of_text(self, text: str, depth: int) -> JsonObject:
        try:
            return self.of(ast.parse(text, mode="eval").body, depth + 1)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            self.unknown[text[:80]] = None
            return {}

    def _of_name(self, name: str, depth: int) -> JsonObject:
        if name in self._open:
            # A type that holds itself is described once, and open below that.
            return {}
        if name in self._aliases or name in self._classes:
            self._open.add(name)
            try:
                if name in self._aliases:
                    return self.of(self._aliases[name], depth + 1)
                return self._of_class(self._classes[name], depth)
            finally:
                self._open.remove(name)
        if name not in _SIMPLE:
            self.unknown[name] = None
        return _SIMPLE.get(name, {})

    def _of_subscript(self, name: str, part: ast.expr, depth: int) -> JsonObject:
        parts = list(part.elts) if isinstance(part, ast.Tuple) else [part]
        if name == "Optional":
            return _union([self.of(parts[0], depth + 1), {"type": "null"}])
        if name == "Union":
            return _union([self.of(one, depth + 1) for one in parts])
        if name == "Literal":
            return self._of_values([value for one in parts for value in self._literals(one)])
        if name == "Annotated":
            told = [c.value for c in parts[1:] if isinstance(c, ast.Constant)]
            words = next((text for text in told if isinstance(text, str)), None)
            schema = self.of(parts[0], depth + 1)
            return schema if words is None else {**schema, "description": words}
        if name in _TRANSPARENT:
            return self.of(parts[0], depth + 1)
        if name in _LISTS:
            return _with({"type": "array"}, "items", self.of(parts[0], depth + 1))
        if name in ("set", "frozenset", "Set", "FrozenSet"):
            self.unknown[name] = None
            return {}
        if name in _TUPLES:
            return self._of_tuple(parts, depth)
        if name in _MAPPINGS:
            value = self.of(parts[1], depth + 1) if len(parts) > 1 else {}
            return _with({"type": "object"}, "additionalProperties", value)
        return self._of_name(name, depth)

    def _literals(self, part: ast.expr) -> list[JsonValue]:
        """The values of one part of a ``Literal``, which may be another one."""
        if isinstance(part, ast.Name) and part.id in self._aliases:
            part = self._aliases[part.id]
        if isinstance(part, ast.Subscript) and last_name(part.value) == "Literal":
            inner = part.slice
            parts = list(inner.elts) if isinstance(inner, ast.Tuple) else [inner]
            return [constant_of(one) for one in parts]
        return [constant_of(part)]

    def _of_values(self, values: list[JsonValue]) -> JsonObject:
        """One of several values; anything if one of them is not known without running the code."""
        if values and all(map(has_value, values)):
            return {"enum": values}
        self.unknown["a value that is no constant"] = None
        return {}

    def _of_tuple(self, parts: list[ast.expr], depth: int) -> JsonObject:
        if len(parts) == 2 and isinstance(parts[1], ast.Constant) and parts[1].value is ...:
            return _with({"type": "array"}, "items", self.of(parts[0], depth + 1))
        schemas = [self.of(one, depth + 1) for one in parts]
        if not schemas:
            return {"type": "array", "maxItems": 0}
        return {"type": "array", "prefixItems": schemas, "minItems": len(parts), "items": False}

    def _of_class(self, found: ast.ClassDef, depth: int) -> JsonObject:
        kind = self._kind_of(found, 0)
        if kind == "enumeration":
            values = [
                constant_of(line.value) for line in found.body if isinstance(line, ast.Assign)
            ]
            return self._of_values(values)
        if kind == "tuple":
            members = [line for line in found.body if isinstance(line, ast.AnnAssign)]
            return self._of_tuple([line.annotation for line in members], depth)
        if kind == "record":
            return self._of_record(found, depth)
        self.unknown[found.name] = None
        return {}

    def _kind_of(self, found: ast.ClassDef, depth: int) -> str:
        """What a class is by its bases, which may be classes of the file: empty for others."""
        names = [last_name(base) for base in found.bases]
        if any(name in _BASES_OF_ENUMERATIONS for name in names):
            return "enumeration"
        if "NamedTuple" in names:
            return "tuple"
        decorators = {last_name(getattr(d, "func", d)) for d in found.decorator_list}
        if "TypedDict" in names or "dataclass" in decorators:
            return "record"
        if depth > MAXIMUM_DEPTH:
            return ""
        bases = [self._classes[name] for name in names if name in self._classes]
        return next(filter(None, (self._kind_of(base, depth + 1) for base in bases)), "")

    def _of_record(self, found: ast.ClassDef, depth: int) -> JsonObject:
        properties: dict[str, JsonValue] = {}
        required: dict[str, None] = {}
        for base in found.bases:
            if last_name(base) in self._classes:
                known = self._of_name(last_name(base), depth + 1)
                inherited, needed = known.get("properties"), known.get("required")
                if isinstance(inherited, Mapping) and isinstance(needed, list):
                    properties |= inherited
                    required |= dict.fromkeys(map(str, needed))
        is_total = not any(
            k.arg == "total" and isinstance(k.value, ast.Constant) and k.value.value is False
            for k in found.keywords
        )
        docs = _docs_of_members(found)
        for line in found.body:
            if not isinstance(line, ast.AnnAssign) or not isinstance(line.target, ast.Name):
                continue
            name, kind = line.target.id, line.annotation
            outermost = last_name(kind.value if isinstance(kind, ast.Subscript) else kind)
            if outermost in _NO_MEMBERS:
                continue
            schema = self.of(kind, depth + 1)
            if name in docs and "description" not in schema:
                schema = {**schema, "description": docs[name]}
            properties[name] = schema
            is_needed = (is_total or outermost == "Required") and outermost != "NotRequired"
            if is_needed and line.value is None:
                required[name] = None
            else:
                required.pop(name, None)
        return {"type": "object", "properties": properties, "required": list(required)}


def constant_of(expression: ast.expr | None) -> JsonValue:
    """The value of an expression that JSON can hold; ``_NO_VALUE`` if it has none."""
    try:
        value: JsonValue = ast.literal_eval(expression) if expression is not None else None
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        # No JSON, and so of none of its types; it is only ever compared.
        return _NO_VALUE  # type: ignore[return-value]
    return value if _is_json(value) else _NO_VALUE  # type: ignore[return-value]


def has_value(value: JsonValue) -> bool:
    """Whether ``constant_of`` found a value."""
    return value is not _NO_VALUE


def last_name(expression: ast.expr) -> str:
    """The last part of a dotted name; empty for anything else."""
    if isinstance(expression, ast.Attribute):
        return expression.attr
    return expression.id if isinstance(expression, ast.Name) else ""


def _is_json(value: object) -> bool:
    if value is None or isinstance(value, bool | int | float | str):
        return True
    if isinstance(value, list):
        return all(map(_is_json, value))
    return isinstance(value, dict) and all(
        isinstance(key, str) and _is_json(member) for key, member in value.items()
    )


def _aliases_of(line: ast.stmt) -> list[tuple[str, ast.expr]]:
    """The type aliases that a line of a module declares."""
    match line:
        case ast.Assign([ast.Name(name)], ast.Subscript() | ast.BinOp() as value):
            return [(name, value)]
        case ast.AnnAssign(ast.Name(name), value=ast.expr() as value):
            return [(name, value)]
    # ``type X = ...`` came with Python 3.12.
    if type(line).__name__ == "TypeAlias":
        named, meant = getattr(line, "name", None), getattr(line, "value", None)
        if isinstance(named, ast.Name) and isinstance(meant, ast.expr):
            return [(named.id, meant)]
    return []


def _docs_of_members(found: ast.ClassDef) -> dict[str, str]:
    """The texts that stand below members of a class, by their names."""
    docs = {}
    for line, following in zip(found.body, found.body[1:], strict=False):
        match line, following:
            case (
                ast.AnnAssign(target=ast.Name(name)),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                docs[name] = " ".join(text.split())
    return docs


def _with(schema: JsonObject, key: str, member: JsonObject) -> JsonObject:
    return {**schema, key: member} if member else schema


def _union(schemas: list[JsonObject]) -> JsonObject:
    """Any of several schemas, as a list of types if they are no more than that."""
    if not all(schemas):
        return {}
    flat: list[JsonObject] = []
    for schema in schemas:
        inner = schema.get("anyOf") if schema.keys() == {"anyOf"} else None
        flat += [as_object(one) for one in inner] if isinstance(inner, list) else [schema]
    if all(schema.keys() == {"type"} for schema in flat):
        types = dict.fromkeys(name for schema in flat for name in _type_names(schema))
        return {"type": list(types) if len(types) > 1 else next(iter(types))}
    null: JsonObject = {"type": "null"}
    others = [schema for schema in flat if schema != null]
    if len(others) == 1 and null in flat and isinstance(others[0].get("type"), str):
        return {**others[0], "type": [others[0]["type"], "null"]}
    return {"anyOf": [one for i, one in enumerate(flat) if one not in flat[:i]]}


def nullable(schema: JsonObject) -> JsonObject:
    """The schema, and null beside what it allows."""
    declared = schema.get("type")
    if isinstance(declared, str):
        return schema if declared == "null" else {**schema, "type": [declared, "null"]}
    if isinstance(declared, list):
        return schema if "null" in declared else {**schema, "type": [*declared, "null"]}
    choices = schema.get("enum")
    if isinstance(choices, list):
        return schema if None in choices else {**schema, "enum": [*choices, None]}
    return _union([schema, {"type": "null"}]) if schema else schema


def _type_names(schema: JsonObject) -> list[str]:
    declared = schema["type"]
    return [declared] if isinstance(declared, str) else list(as_texts(declared))
