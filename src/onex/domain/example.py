"""NodeExample: a call in a manifest, with what must come of it."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from onex.domain.artifact_records import Artifact, is_artifact, with_records
from onex.domain.digest import is_digest
from onex.domain.json_value import JsonObject, JsonValue, as_object

EXAMPLES_KEY = "examples"

_CODE = re.compile(r"[A-Z]{3}\d{3}", re.ASCII)
_KEYS = ("name", "inputs", "output", "output_schema", "artifacts", "error")


@dataclass(frozen=True, slots=True)
class NodeExample:
    """Inputs of one call, and what its end must be.

    ``output`` is compared whole if ``has_output``; in it a file stands as its name.
    ``output_schema`` is a JSON Schema. ``artifacts`` are by their place in the output, such as
    ``chart`` or ``pages[0]``: digests, or files below the folder of the manifest with the same
    content. ``error`` is the code of the error that must be raised instead.
    """

    name: str
    inputs: JsonObject = field(default_factory=dict)
    output: JsonValue = None
    has_output: bool = False
    output_schema: JsonObject | None = None
    artifacts: Mapping[str, str] = field(default_factory=dict)
    error: str | None = None

    @classmethod
    def from_json(cls, body: JsonValue, position: int) -> NodeExample:
        """Read one entry of ``examples``; ``position`` counts from 0.

        Raises:
            ValueError: it is not an example; the text says what is wrong.
        """
        if not isinstance(body, Mapping):
            raise ValueError(  # noqa: TRY004 - what a file says wrongly is a wrong value
                "an example is a mapping of inputs and what must come of them"
            )
        unknown = next((key for key in body if key not in _KEYS), None)
        if unknown is not None:
            raise ValueError(f"an example has no key {unknown!r}; its keys are {', '.join(_KEYS)}")
        for key, kind, told in (
            ("name", str, "a text"),
            ("inputs", Mapping, "a mapping"),
            ("output_schema", Mapping, "a JSON Schema"),
            ("artifacts", Mapping, "a mapping of places to digests or files"),
            ("error", str, "the code of an error, such as EXE001"),
        ):
            if body.get(key) is not None and not isinstance(body[key], kind):
                raise ValueError(f"{key} of an example must be {told}")
        artifacts = as_object(body.get("artifacts") or {})
        error = body.get("error")
        if error is not None and not _CODE.fullmatch(str(error)):
            raise ValueError(f"{error!r} is not the code of an error, such as EXE001")
        for place, wanted in artifacts.items():
            if not isinstance(wanted, str) or not (is_digest(wanted) or _is_below(wanted)):
                raise ValueError(
                    f"the artifact {place} must be a sha256: digest, or a file beside the manifest"
                )
        is_told = any(body.get(key) is not None for key in ("output_schema", "artifacts", "error"))
        if not is_told and "output" not in body:
            raise ValueError("an example needs an output, output_schema, artifacts or error")
        if error is not None and ("output" in body or body.get("output_schema")):
            raise ValueError("an example that ends with an error has no output")
        schema = body.get("output_schema")
        return cls(
            name=str(body.get("name") or f"example {position + 1}"),
            inputs=as_object(body.get("inputs") or {}),
            output=body.get("output"),
            has_output="output" in body,
            output_schema=schema if isinstance(schema, Mapping) else None,
            artifacts={place: str(wanted) for place, wanted in artifacts.items()},
            error=None if error is None else str(error),
        )

    def command(self, node: str) -> str:
        """What makes the call on the command line, in the folder of the manifest."""
        given = json.dumps(self.inputs, ensure_ascii=False)
        return f"onex run {node} --args {shlex.quote(given)}"

    def to_json(self) -> dict[str, JsonValue]:
        """The example in the shape of a manifest."""
        body: dict[str, JsonValue] = {"name": self.name, "inputs": self.inputs}
        if self.has_output:
            body["output"] = self.output
        others: dict[str, JsonValue] = {
            "output_schema": self.output_schema,
            "artifacts": dict(self.artifacts) or None,
            "error": self.error,
        }
        return body | {key: value for key, value in others.items() if value is not None}


def examples_in(extra: JsonObject) -> tuple[NodeExample, ...]:
    """The examples among the further keys of a manifest; entries that are none are left out."""
    return tuple(one for one in _entries(extra) if isinstance(one, NodeExample))


def wrong_examples(extra: JsonObject) -> list[tuple[int, str]]:
    """The entries of ``examples`` that are none, by position, each with what is wrong."""
    found = enumerate(_entries(extra))
    return [(position, one) for position, one in found if isinstance(one, str)]


def _entries(extra: JsonObject) -> Iterator[NodeExample | str]:
    found = extra.get(EXAMPLES_KEY)
    for position, body in enumerate(found if isinstance(found, list | tuple) else ()):
        try:
            yield NodeExample.from_json(body, position)
        except ValueError as error:
            yield str(error)


def with_names(output: JsonValue) -> JsonValue:
    """A result as examples write it: the name of each file in the place of its record."""
    return with_records(output, lambda record: Artifact.of(record).name)


def artifacts_by_place(output: JsonValue) -> dict[str, Artifact]:
    """The files in a result by their place in it, such as ``chart`` or ``pages[0].image``."""
    found: dict[str, Artifact] = {}
    pending: list[tuple[str, JsonValue]] = [("", output)]
    while pending:
        place, value = pending.pop()
        if isinstance(value, Mapping):
            if is_artifact(value):
                found[place] = Artifact.of(value)
                continue
            pending += [
                (f"{place}.{key}" if place else key, member) for key, member in value.items()
            ]
        elif isinstance(value, list | tuple):
            pending += [(f"{place}[{index}]", member) for index, member in enumerate(value)]
    return dict(sorted(found.items()))


def _is_below(path: str) -> bool:
    """Whether a path stays below the folder that it is relative to."""
    is_plain = bool(path) and "\0" not in path and not path.startswith("/")
    return is_plain and ".." not in path.split("/")
