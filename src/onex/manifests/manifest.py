"""From a parsed ``*.onex.yaml`` to NodeMetadata, by the rules of its lifecycle."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from onex.domain.errors import (
    ConstraintError,
    InvalidPermissionError,
    InvalidReferenceError,
    Problem,
    Severity,
)
from onex.domain.example import EXAMPLES_KEY, wrong_examples
from onex.domain.json_value import JsonObject, JsonValue, ValuePath
from onex.domain.lifecycle import Lifecycle
from onex.domain.metadata import Dependency, NodeMetadata
from onex.domain.permission import Permission
from onex.domain.reference import NAMESPACE, NODE_TYPE, NodeId
from onex.domain.version import Version
from onex.manifests.dependency import read_dependency
from onex.manifests.entrypoint import read_entrypoint
from onex.manifests.field_reader import FieldReader, read_version, report_long_words
from onex.manifests.yaml_document import YamlDocument

MANIFEST_SUFFIX = ".onex.yaml"

# The fields of the ONEX node schema; any other key is kept and reported as information.
# How alike an unknown key and a known one are if one is a slip of the other.
SLIP_OF_A_KEY = 0.85
KNOWN_KEYS = frozenset(
    [
        "architectures",
        "archived_reason",
        "author",
        "base_class",
        "capabilities",
        "compatibility",
        "compliance_profiles",
        "container_image_reference",
        "copyright",
        "created_at",
        "data_handling_declaration",
        "dependencies",
        "deprecated_by",
        "description",
        "entrypoint",
        "environment",
        "examples",
        "hash",
        "idempotent",
        "inputs",
        "last_modified_at",
        "license",
        "lifecycle",
        "logging_config",
        "meta_type",
        "metadata_version",
        "name",
        "namespace",
        "os_requirements",
        "outputs",
        "owner",
        "protocol_version",
        "protocols_supported",
        "runtime_language_hint",
        "schema_version",
        "signature_block",
        "source_repository",
        "state_contract",
        "tags",
        "testing",
        "trust_score",
        "trust_score_stub",
        "uuid",
        "version",
        "x-extensions",
        "x_extensions",
    ]
)
_READ_KEYS = frozenset(
    [
        "archived_reason",
        "author",
        "capabilities",
        "dependencies",
        "deprecated_by",
        "description",
        "entrypoint",
        "idempotent",
        "inputs",
        "license",
        "lifecycle",
        "meta_type",
        "name",
        "namespace",
        "outputs",
        "owner",
        "state_contract",
        "tags",
        "uuid",
        "version",
    ]
)
_IDENTITY_KEYS = ("name", "namespace", "version", "uuid", "author", "entrypoint")
_PLACEHOLDER = re.compile(r"\{[A-Z][A-Z0-9_]*\}|\ATEMPLATE-")
_UNDERSCORED_VERSION = re.compile(r"v?(\d+)_(\d+)_(\d+)", re.ASCII)
_PREFIXED_VERSION = re.compile(r"[vV](\d+\.\d+\.\d+.*)", re.ASCII)
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", re.ASCII)


@dataclass(frozen=True, slots=True)
class ManifestReading:
    """The outcome of reading a manifest: metadata, a template or errors, with all problems."""

    metadata: NodeMetadata | None
    problems: tuple[Problem, ...]
    is_template: bool = False


def read_manifest(document: YamlDocument) -> ManifestReading:
    """Read the manifest of one node version.

    ``metadata`` is None when a problem of severity error stands among the
    problems, or when the file is a template that waits to be filled in.
    """
    reader = _ManifestReader(document)
    placeholder = reader.template_key()
    if placeholder is not None:
        reader.report(
            "008",
            f"{placeholder} waits to be filled in, so this template is skipped",
            (placeholder,),
            severity=Severity.INFORMATION,
        )
        return ManifestReading(None, tuple(reader.problems), is_template=True)
    metadata = reader.read()
    return ManifestReading(None if reader.has_errors else metadata, tuple(reader.problems))


class _ManifestReader(FieldReader):
    def __init__(self, document: YamlDocument) -> None:
        super().__init__(document, "MAN")
        self._data = document.data

    def template_key(self) -> str | None:
        """The key that shows the file to be a template, or None for a real manifest."""
        if self._data.get("lifecycle") == "template":
            return "lifecycle"
        return next((k for k in _IDENTITY_KEYS if _holds_placeholder(self._data.get(k))), None)

    def read(self) -> NodeMetadata:
        data = self._data
        lifecycle = self._lifecycle()
        capabilities, permissions = self._capabilities()
        dependencies, libraries = self._dependencies()
        metadata = NodeMetadata(
            node=NodeId(self._type(), self._namespace()),
            name=self._name(),
            version=self._version(),
            lifecycle=lifecycle,
            entrypoint=read_entrypoint(self, data.get("entrypoint")),
            description=self.text(("description",), data.get("description")),
            author=self.text(("author",), data.get("author")),
            owner=self.text(("owner",), data.get("owner")),
            license=self.text(("license",), data.get("license")),
            uuid=self._uuid(),
            tags=self._tags(),
            capabilities=capabilities,
            permissions=permissions,
            dependencies=dependencies,
            libraries=libraries,
            inputs=self._schemas("inputs"),
            outputs=self._schemas("outputs"),
            state_contract=self._state_contract(),
            idempotent=self.boolean(("idempotent",), data.get("idempotent"), default=False),
            deprecated_by=self.optional_text(("deprecated_by",), data.get("deprecated_by")),
            archived_reason=self.optional_text(("archived_reason",), data.get("archived_reason")),
            extra={
                key: value
                for key, value in data.items()
                # A contract that stands in the manifest itself is kept as it is.
                if key not in _READ_KEYS or (key == "state_contract" and isinstance(value, Mapping))
            },
        )
        self._check_examples()
        report_long_words(self, metadata)
        self._check_lifecycle_rules(metadata)
        self._report_unknown_keys()
        return metadata

    def _required_text(self, key: str) -> str:
        value = self._data.get(key)
        if value is None or value == "":
            self.report("001", f"{key} is missing", (key,), f"add a line {key}: ...")
            return ""
        return self.text((key,), value)

    def _name(self) -> str:
        name = self._required_text("name")
        if name and not _NAME.fullmatch(name):
            self.report(
                "004",
                f"{name!r} is not a name",
                ("name",),
                "use up to 128 letters, digits, _, - and dots",
            )
        return name

    def _type(self) -> str:
        node_type = self._required_text("meta_type")
        if node_type and not NODE_TYPE.fullmatch(node_type):
            self.report(
                "004",
                f"{node_type!r} is not a node type",
                ("meta_type",),
                "use a lower-case word such as tool, validator, agent, model, schema or plugin",
            )
        return node_type

    def _namespace(self) -> str:
        value = self._data.get("namespace")
        place: ValuePath = ("namespace",)
        if isinstance(value, Mapping):
            place, value = ("namespace", "value"), value.get("value")
        if value is None or value == "":
            self.report("001", "namespace is missing", place, "add a line namespace: my.nodes.name")
            return ""
        namespace = self.text(place, value)
        scheme, separator, rest = namespace.partition("://")
        if separator and scheme in ("yaml", "python", "py"):
            namespace = rest
        if namespace and not NAMESPACE.fullmatch(namespace):
            self.report(
                "004",
                f"{namespace!r} is not a namespace",
                place,
                "use words of letters, digits, _ and - joined by dots",
            )
        return namespace

    def _version(self) -> Version:
        text = self._required_text("version")
        unusual = _UNDERSCORED_VERSION.fullmatch(text) or _PREFIXED_VERSION.fullmatch(text)
        if unusual:
            plain = ".".join(unusual.groups())
            self.report(
                "007",
                f"the version {text} is read as {plain}",
                ("version",),
                f'write version: "{plain}"',
                Severity.WARNING,
            )
            text = plain
        return read_version(self, ("version",), text)

    def _lifecycle(self) -> Lifecycle:
        value = self._data.get("lifecycle")
        if value is None:
            self.report(
                "007",
                "lifecycle is missing, so the node counts as a draft",
                (),
                "add lifecycle: draft or lifecycle: active",
                Severity.WARNING,
            )
            return Lifecycle.DRAFT
        text = self.text(("lifecycle",), value)
        if text in set(Lifecycle):
            return Lifecycle(text)
        self.report(
            "004",
            f"{text!r} is not a lifecycle state",
            ("lifecycle",),
            "use one of " + ", ".join(Lifecycle),
        )
        return Lifecycle.DRAFT

    def _uuid(self) -> str | None:
        text = self.optional_text(("uuid",), self._data.get("uuid"))
        if text is None:
            return None
        try:
            return str(UUID(text))
        except ValueError:
            self.report(
                "004",
                f"{text!r} is not a UUID",
                ("uuid",),
                "generate one, for example with uuidgen",
            )
            return None

    def _capabilities(self) -> tuple[tuple[str, ...], tuple[Permission, ...]]:
        words: list[str] = []
        permissions: list[Permission] = []
        for index, entry in enumerate(self.list(("capabilities",), self._data.get("capabilities"))):
            place: ValuePath = ("capabilities", index)
            try:
                if isinstance(entry, Mapping):
                    if entry.get("type") is None:
                        self.report("011", "a capability has no type", place, "add type: ...")
                        continue
                    kind = self.text((*place, "type"), entry.get("type"))
                    resource = self.text((*place, "resource"), entry.get("resource"))
                    permissions.append(Permission.of(kind, resource))
                    continue
                text = self.text(place, entry)
                if Permission.is_permission(text):
                    permissions.append(Permission.parse(text))
                elif text.strip():
                    words.append(text)
                elif entry is None or isinstance(entry, str):
                    self._report_empty("a capability", place)
            except InvalidPermissionError as error:
                self.report("011", error.message, place, error.hint)
        return tuple(words), tuple(permissions)

    def _dependencies(self) -> tuple[tuple[Dependency, ...], tuple[str, ...]]:
        nodes: list[Dependency] = []
        libraries: list[str] = []
        for index, entry in enumerate(self.list(("dependencies",), self._data.get("dependencies"))):
            if entry is None or entry == "":
                self._report_empty("a dependency", ("dependencies", index))
                continue
            try:
                dependency = read_dependency(entry)
            except (InvalidReferenceError, ConstraintError) as error:
                self.report("010", error.message, ("dependencies", index), error.hint)
                continue
            if isinstance(dependency, Dependency):
                nodes.append(dependency)
            else:
                libraries.append(dependency)
        return tuple(nodes), tuple(libraries)

    def _tags(self) -> tuple[str, ...]:
        tags = []
        for index, entry in enumerate(self.list(("tags",), self._data.get("tags"))):
            tag = self.text(("tags", index), entry)
            if tag.strip():
                tags.append(tag)
            elif entry is None or isinstance(entry, str):
                self._report_empty("a tag", ("tags", index))
        return tuple(tags)

    def _report_empty(self, what: str, place: ValuePath) -> None:
        self.report("004", f"{what} is empty", place, "write a word, or remove the entry")

    def _schemas(self, key: str) -> JsonObject:
        """A JSON Schema for each name; also read from a list of entries that carry a name."""
        value = self._data.get(key)
        if isinstance(value, list):
            schemas: dict[str, JsonValue] = {}
            for index, entry in enumerate(value):
                name = entry.get("name") if isinstance(entry, Mapping) else entry
                if isinstance(name, str) and isinstance(entry, Mapping):
                    schemas[name] = {k: v for k, v in entry.items() if k != "name"}
                elif isinstance(name, str):
                    schemas[name] = {}
                else:
                    self.report("002", f"an entry of {key} has no name", (key, index))
            return schemas
        schemas = {}
        for name, schema in self.object((key,), value).items():
            if isinstance(schema, str):
                schemas[name] = {"type": schema}
            else:
                schemas[name] = self.object((key, name), schema)
        return schemas

    def _check_examples(self) -> None:
        self.list((EXAMPLES_KEY,), self._data.get(EXAMPLES_KEY))
        for index, message in wrong_examples(self._data):
            # Others may mean something else by the word, so the node is not refused for it.
            self.report(
                "017",
                message,
                (EXAMPLES_KEY, index),
                "write inputs: {...} and output: ..., as onex new does",
                Severity.WARNING,
            )

    def _state_contract(self) -> str | None:
        value = self._data.get("state_contract")
        if isinstance(value, Mapping):
            return "inline"
        return self.optional_text(("state_contract",), value)

    def _check_lifecycle_rules(self, metadata: NodeMetadata) -> None:
        if metadata.lifecycle is Lifecycle.DRAFT:
            return
        for key in ("description", "author", "uuid"):
            if self._data.get(key) in (None, ""):
                self.report(
                    "005",
                    f"{key} is missing, and {_article(metadata.lifecycle)} node needs it",
                    (key,),
                    f"add {key}, or set lifecycle: draft",
                )
        if not (metadata.state_contract or metadata.inputs or metadata.outputs):
            self.report(
                "005",
                f"{_article(metadata.lifecycle)} node must say what goes in and comes out",
                (),
                "add inputs and outputs, or state_contract, or set lifecycle: draft",
            )
        if metadata.lifecycle is Lifecycle.DEPRECATED and not metadata.deprecated_by:
            self.report(
                "005",
                "a deprecated node must name its replacement",
                ("lifecycle",),
                "add deprecated_by",
            )
        if metadata.lifecycle is Lifecycle.ARCHIVED and not metadata.archived_reason:
            self.report(
                "005", "an archived node must say why", ("lifecycle",), "add archived_reason"
            )

    def _report_unknown_keys(self) -> None:
        for key in self._data:
            if key in KNOWN_KEYS:
                continue
            meant = difflib.get_close_matches(key, KNOWN_KEYS, 1, SLIP_OF_A_KEY)
            self.report(
                "006",
                f"{key} is not a field of a manifest; it is kept as it is",
                (key,),
                f"did you mean {meant[0]}?"
                if meant
                else "put fields of your own under x-extensions",
                Severity.WARNING if meant else Severity.INFORMATION,
            )


def _holds_placeholder(value: JsonValue) -> bool:
    """Whether a value still waits to be filled in, as ``{NODE_NAME}`` does, quoted or not."""
    if isinstance(value, str):
        return _PLACEHOLDER.search(value) is not None
    if isinstance(value, Mapping):
        if len(value) == 1:
            key, member = next(iter(value.items()))
            if member is None and _PLACEHOLDER.fullmatch(f"{{{key}}}"):
                return True
        return any(_holds_placeholder(member) for member in value.values())
    return False


def _article(lifecycle: Lifecycle) -> str:
    return f"an {lifecycle}" if lifecycle.value[0] in "aeiou" else f"a {lifecycle}"
