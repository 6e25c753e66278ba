"""Taking typed values out of a document, with a problem for each that has another type."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from onex.domain.constraint import MAXIMUM_NUMBER
from onex.domain.errors import Problem, Severity, VersionError
from onex.domain.json_value import JsonObject, JsonValue, ValuePath
from onex.domain.metadata import NodeMetadata
from onex.domain.version import Version
from onex.manifests.yaml_document import YamlDocument

# What the indexes of all databases hold, several words in one entry.
MAXIMUM_WORD_BYTES = 512


class FieldReader:
    """Reads one document and collects what is wrong with it.

    Every method that reads returns a usable value even after it noted an error,
    so that one pass finds all problems of a file.
    """

    def __init__(self, document: YamlDocument, code_prefix: str) -> None:
        self.document = document
        self.problems: list[Problem] = []
        self._code_prefix = code_prefix

    @property
    def has_errors(self) -> bool:
        """Whether the document cannot be used."""
        return any(problem.severity is Severity.ERROR for problem in self.problems)

    def report(
        self,
        number: str,
        message: str,
        place: ValuePath,
        hint: str | None = None,
        severity: Severity = Severity.ERROR,
    ) -> None:
        """Note a problem at a place in the document."""
        self.problems.append(
            Problem(
                self._code_prefix + number, severity, message, self.document.locate(place), hint
            )
        )

    def text(self, place: ValuePath, value: JsonValue, default: str = "") -> str:
        """A text; a number or boolean is an error, since its author's text would change."""
        if value is None:
            return default
        if isinstance(value, str):
            return value
        name = _name_of(place)
        if isinstance(value, bool | int | float):
            written = _as_version(name, self.document.written(place) or str(value))
            in_list = isinstance(place[-1], int)
            self.report(
                "003",
                f"{name} is {self.document.written(place) or value} without quotes, which YAML"
                f" reads as {_kind(value)} {value}",
                place,
                f'write "{written}"' if in_list else f'write {name}: "{written}"',
            )
        else:
            self.report("002", f"{name} must be text, not {_kind(value)}", place)
        return default

    def optional_text(self, place: ValuePath, value: JsonValue) -> str | None:
        """A text, or None if the value is missing or null."""
        return None if value is None else self.text(place, value) or None

    def texts(self, place: ValuePath, value: JsonValue) -> tuple[str, ...]:
        """A list of texts; null is the empty list."""
        return tuple(
            self.text((*place, index), member)
            for index, member in enumerate(self.list(place, value))
        )

    def list(self, place: ValuePath, value: JsonValue) -> Sequence[JsonValue]:
        """A list; null is the empty list."""
        if value is None:
            return ()
        if isinstance(value, Sequence) and not isinstance(value, str):
            return value
        self.report("002", f"{_name_of(place)} must be a list, not {_kind(value)}", place)
        return ()

    def object(self, place: ValuePath, value: JsonValue) -> JsonObject:
        """A mapping; null is the empty mapping."""
        if value is None:
            return {}
        if isinstance(value, Mapping):
            return value
        self.report("002", f"{_name_of(place)} must be a mapping, not {_kind(value)}", place)
        return {}

    def boolean(self, place: ValuePath, value: JsonValue, *, default: bool) -> bool:
        """A boolean; null is the default."""
        if value is None:
            return default
        if isinstance(value, bool):
            return value
        self.report("002", f"{_name_of(place)} must be true or false, not {_kind(value)}", place)
        return default

    def seconds(self, place: ValuePath, value: JsonValue, default: float) -> float:
        """A positive number of seconds; null is the default."""
        if value is None:
            return default
        if isinstance(value, int | float) and not isinstance(value, bool) and value > 0:
            return float(value)
        self.report("002", f"{_name_of(place)} must be a positive number of seconds", place)
        return default


def read_version(reader: FieldReader, place: ValuePath, text: str) -> Version:
    """A version that constraints can name; 0.0.0, and a problem, for other texts."""
    try:
        version = Version.parse(text)
    except VersionError as error:
        if text:
            reader.report("004", error.message, place, error.hint)
        return Version(0, 0, 0)
    if max(version.triple) > MAXIMUM_NUMBER:
        reader.report(
            "004",
            f"{text!r} has a number that is too large",
            place,
            f"numbers of versions go up to {MAXIMUM_NUMBER}, as in node-semver",
        )
    return version


def report_long_words(reader: FieldReader, metadata: NodeMetadata) -> None:
    """Refuse words by which nodes are found if they are longer than an index can hold."""
    words: list[tuple[ValuePath, str]] = [
        (("name",), metadata.name),
        (("namespace",), metadata.node.namespace),
        (("author",), metadata.author),
        *((("tags",), word) for word in metadata.tags),
        *((("capabilities",), word) for word in metadata.capabilities),
        *((("capabilities",), str(permission)) for permission in metadata.permissions),
    ]
    for place, word in words:
        if len(word) * 4 > MAXIMUM_WORD_BYTES and len(word.encode()) > MAXIMUM_WORD_BYTES:
            reader.report(
                "004",
                f"{_name_of(place)} holds a word of {len(word.encode())} bytes",
                place,
                f"use words of at most {MAXIMUM_WORD_BYTES} bytes, and description for more",
            )


def _name_of(place: ValuePath) -> str:
    """What a message calls a value: its key, or which entry of which list it is."""
    if isinstance(place[-1], int):
        return f"entry {place[-1] + 1} of {place[-2] if len(place) > 1 else 'the list'}"
    return str(place[-1])


def _as_version(name: str, written: str) -> str:
    """A number in the place of a version with as many parts as a version has."""
    if name != "version" or not written.replace(".", "").isdigit():
        return written
    return ".".join([*written.split("."), "0", "0"][:3])


def _kind(value: JsonValue) -> str:
    if isinstance(value, bool):
        return "the boolean"
    if isinstance(value, int | float):
        return "the number"
    if isinstance(value, str):
        return "text"
    return "a mapping" if isinstance(value, Mapping) else "a list"
