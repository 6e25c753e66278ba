"""The manifest of a function: written once from its signature, and compared with it afterwards."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml_rs

from onex.domain.errors import DocumentError, UsageError
from onex.domain.json_value import JsonObject, JsonValue, as_object
from onex.domain.metadata import NodeMetadata
from onex.domain.text_difference import json_difference
from onex.manifests.function_signature import FunctionSignature
from onex.manifests.manifest import MANIFEST_SUFFIX, read_manifest
from onex.manifests.yaml_document import parse_yaml, read_yaml

_EXAMPLES = """\
# Calls that onex test runs, and what must come of each:
# examples:
#   - name: what it shows
#     inputs: {}
#     output: {}
"""


@dataclass(frozen=True, slots=True)
class FunctionPlace:
    """Where a function is: ``path.py:function``."""

    file: Path
    function: str

    @classmethod
    def parse(cls, text: str) -> FunctionPlace:
        """Read ``path.py:function``; raises UsageError."""
        path, separator, function = text.rpartition(":")
        if not separator or not function.isidentifier() or not path.endswith(".py"):
            raise UsageError(
                f"{text!r} names no function in a file", hint="write --from path.py:function"
            )
        return cls(Path(path), function)

    @property
    def target(self) -> str:
        """The entry point of a manifest beside the file."""
        return f"{self.file.name}:{self.function}"

    def manifest(self) -> tuple[Path, NodeMetadata] | None:
        """The manifest beside the file that is about the function, read; None without one.

        Raises:
            DocumentError: a manifest that could be it cannot be used.
        """
        for path in sorted(self.file.absolute().parent.glob(f"*{MANIFEST_SUFFIX}")):
            document = read_yaml(path)
            if self.file.name not in json.dumps(
                document.data.get("entrypoint"), ensure_ascii=False
            ):
                continue
            reading = read_manifest(document)
            if reading.metadata is None:
                raise DocumentError(f"{path} cannot be used", reading.problems)
            entrypoint = reading.metadata.entrypoint
            if (entrypoint.target, entrypoint.callable_name) == (self.file.name, self.function):
                return path, reading.metadata
        return None


def manifest_of(
    signature: FunctionSignature,
    place: FunctionPlace,
    *,
    name: str,
    namespace: str,
    meta_type: str,
    author: str,
) -> str:
    """The text of a new manifest for a function."""
    body: dict[str, JsonValue] = {
        "schema_version": "1.0.0",
        "name": name,
        "namespace": namespace,
        "version": "0.1.0",
        "uuid": str(uuid.uuid4()),
        "meta_type": meta_type,
        "lifecycle": "draft",
        "author": author,
        "description": signature.description or f"Calls {signature.name}.",
        "entrypoint": f"python@{place.target}",
        "idempotent": False,
        "tags": [],
        "capabilities": [],
        "dependencies": [],
        "inputs": signature.inputs,
        "outputs": signature.outputs,
    }
    text = yaml_rs.dumps(body).removeprefix("---\n").rstrip("\n") + f"\n{_EXAMPLES}"
    # What is written must say what was meant, whatever the names and texts in the code are.
    reading = read_manifest(parse_yaml(text.encode(), f"{name}{MANIFEST_SUFFIX}"))
    if reading.metadata is None:
        raise DocumentError(f"no manifest can be written for {place.target}", reading.problems)
    if (reading.metadata.inputs, reading.metadata.outputs) != (
        signature.inputs, signature.outputs,
    ):  # fmt: skip
        raise UsageError(
            f"the signature of {place.target} cannot be written as YAML",
            hint="write the manifest by hand: onex new NAME shows how one looks",
        )
    return text


def updated(text: str, signature: FunctionSignature, metadata: NodeMetadata) -> str:
    """The text of a manifest with the inputs and outputs of a function; the rest stays as it is.

    What the manifest said beyond the code, such as descriptions and limits, is kept.

    Raises:
        UsageError: the manifest is not written in a way that can be changed line by line.
    """
    inputs = _with_own(signature.inputs, metadata.inputs)
    outputs = _with_own(signature.outputs, metadata.outputs)
    changed = _replaced(_replaced(text, "inputs", inputs), "outputs", outputs)
    before = dict(parse_yaml(text.encode(), "manifest").data)
    after = dict(parse_yaml(changed.encode(), "manifest").data)
    if after != {**before, "inputs": inputs, "outputs": outputs}:
        raise UsageError(
            "the manifest cannot be changed line by line",
            hint="change inputs and outputs by hand, as --check shows",
        )
    return changed


def _replaced(text: str, key: str, members: JsonObject) -> str:
    """A YAML text with other members under a key at its top; at the end if it has none."""
    block = yaml_rs.dumps({key: members}).removeprefix("---\n").rstrip("\n") + "\n"
    pattern = re.compile(rf"^{key}:[^\n]*\n(?:(?:[ \t][^\n]*)?\n)*?(?=\S|\Z)", re.MULTILINE)
    ended = text if text.endswith("\n") else text + "\n"
    found = pattern.search(ended)
    return ended + block if found is None else ended[: found.start()] + block + ended[found.end() :]


def _with_own(code: JsonObject, written: JsonObject) -> JsonObject:
    """Members as the code says them, with what is a manifest's own of those that it has."""
    both: dict[str, JsonValue] = {}
    for name, schema in code.items():
        body, old = as_object(schema), written.get(name)
        own = {k: v for k, v in old.items() if k in _OWN} if isinstance(old, Mapping) else {}
        both[name] = {**body, **own}
    return both


def drift(signature: FunctionSignature, metadata: NodeMetadata) -> list[str]:
    """How inputs and outputs of a manifest differ from what a function says, line by line.

    A manifest may say more: descriptions, and limits such as ``minimum``, are its own, and so is
    what the code says nothing of.
    """
    found: list[str] = []
    for kind, code, written in (
        ("inputs", signature.inputs, metadata.inputs),
        ("outputs", signature.outputs, metadata.outputs),
    ):
        if kind == "outputs" and not code:
            if written and signature.result and signature.result.get("type") != "object":
                found += [
                    "outputs are declared, and the function returns:",
                    f"+{json.dumps(_plain(signature.result))}",
                ]
            continue
        names = dict.fromkeys([*code, *written])
        before = {n: _said(written[n], code.get(n)) for n in names if n in written}
        after = {name: _plain(code[name]) for name in names if name in code}
        found += json_difference({kind: before}, {kind: after}, ("manifest", "code"))
    return found


_OWN = frozenset(
    {
        *("description", "title", "examples", "minimum", "maximum", "exclusiveMinimum"),
        *("exclusiveMaximum", "minLength", "maxLength", "pattern", "minItems", "maxItems"),
        *("uniqueItems", "multipleOf", "x-onex-access"),
    }
)
"""What annotations do not say, so that a manifest says it on its own."""


_NARROWER = frozenset({"items", "prefixItems", "properties", "additionalProperties"})
"""What a manifest may say of a list or a mapping of which the code says no more than that."""


def _plain(value: JsonValue) -> JsonValue:
    """A schema without what is a manifest's own, with its lists of names in one order."""
    if not isinstance(value, Mapping):
        return value
    return {
        key: _reduced(key, member, _plain)
        for key, member in value.items()
        if key not in _OWN and not (key == "required" and member is True)
    }


def _said(written: JsonValue, code: JsonValue) -> JsonValue:
    """Of a schema in a manifest what the code could say too."""
    if not isinstance(written, Mapping) or not isinstance(code, Mapping):
        return _plain(written)
    told = {key for key in code if key not in _OWN}
    if told <= {"default", "required"}:
        # The code says nothing of the type.
        return {key: written[key] for key in written if key in told or key == "default"}
    found: dict[str, JsonValue] = {}
    for key, member in as_object(_plain(written)).items():
        inner, mine = code.get(key), written[key]
        if key in _NARROWER and key not in code:
            continue
        if key == "properties" and isinstance(inner, Mapping) and isinstance(mine, Mapping):
            found[key] = {name: _said(one, inner.get(name)) for name, one in mine.items()}
        elif isinstance(inner, Mapping) and isinstance(mine, Mapping) and key != "default":
            found[key] = _said(mine, inner)
        else:
            found[key] = member
    return found


def _reduced(key: str, member: JsonValue, reduce: Callable[[JsonValue], JsonValue]) -> JsonValue:
    if key in ("default", "const", "enum"):
        return member
    if key in ("required", "type") and isinstance(member, list | tuple):
        return sorted(map(str, member))
    if key == "properties" and isinstance(member, Mapping):
        return {name: reduce(schema) for name, schema in member.items()}
    if isinstance(member, list | tuple):
        return [reduce(schema) for schema in member]
    return reduce(member)
