"""The manifest of a function: written once from its signature, and compared with it afterwards."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping
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
            if self.file.name not in json.dumps(document.data.get("entrypoint")):
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
    text = yaml_rs.dumps(body).removeprefix("---\n").rstrip("\n") + "\n"
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


def drift(signature: FunctionSignature, metadata: NodeMetadata) -> list[str]:
    """How inputs and outputs of a manifest differ from what a function says, line by line.

    A manifest may say more: descriptions, and limits such as ``minimum``, are its own.
    """
    found: list[str] = []
    for kind, code, written in (
        ("inputs", signature.inputs, metadata.inputs),
        ("outputs", signature.outputs, metadata.outputs),
    ):
        if kind == "outputs" and not code:
            continue
        before, after = {kind: _common(written, code)}, {kind: _plain(code)}
        found += json_difference(before, after, ("manifest", "code"))
    return found


_OWN = frozenset({"description", "title", "examples"})


def _plain(value: JsonValue) -> JsonValue:
    """Schemas without what is for people alone."""
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items() if k not in _OWN or isinstance(v, Mapping)}
    return [_plain(v) for v in value] if isinstance(value, list | tuple) else value


def _common(written: JsonObject, code: JsonObject) -> JsonObject:
    """Of the manifest's members what the code could say too."""
    return dict(_of_members(written, code))


def _of_members(written: JsonObject, code: JsonObject) -> Iterator[tuple[str, JsonValue]]:
    for name, schema in written.items():
        said, own = code.get(name), _plain(schema)
        if isinstance(said, Mapping) and isinstance(own, Mapping):
            told = as_object(_plain(said))
            # A type that the code leaves open may be narrowed in the manifest.
            keys = told.keys() | {"type", "enum", "default", "required"} if told else {"default"}
            yield name, {key: member for key, member in own.items() if key in keys}
        else:
            yield name, own
