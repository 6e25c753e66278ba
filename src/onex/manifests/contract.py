"""The ``contract.yaml`` of ONEX packages as NodeMetadata.

Both dialects on the package index are read: ``node_type`` as an archetype
(``compute``) or as a generic class (``COMPUTE_GENERIC``), ``node_version`` as text
or as a mapping of its numbers, and dependencies that say of which type they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from onex.domain.constraint import LATEST, VersionConstraint
from onex.domain.errors import ConstraintError, InvalidReferenceError, Severity
from onex.domain.json_value import JsonValue, ValuePath
from onex.domain.lifecycle import Lifecycle
from onex.domain.metadata import Dependency, Entrypoint, NodeMetadata
from onex.domain.reference import NAMESPACE, NODE_TYPE, NodeId, NodeRef
from onex.domain.version import Version
from onex.manifests.field_reader import FieldReader, read_version, report_long_words
from onex.manifests.manifest import ManifestReading
from onex.manifests.yaml_document import YamlDocument

ENTRYPOINT_TYPE = "contract"

_LIFECYCLES = {
    "active": Lifecycle.ACTIVE,
    "stable": Lifecycle.ACTIVE,
    "draft": Lifecycle.DRAFT,
    "experimental": Lifecycle.DRAFT,
    "deprecated": Lifecycle.DEPRECATED,
}
_VERSION_KEYS = ("node_version", "version", "contract_version")
_PARTS = ("major", "minor", "patch")
_WORD = re.compile(r"[\w.:/-]{1,128}", re.ASCII)
_NODE_PREFIX = "node_"


def read_contract(document: YamlDocument, package: str | None) -> ManifestReading:
    """Read the contract of one node.

    Args:
        document: the file.
        package: the dotted name of the Python package it stands in, which is the
            namespace of the node; None if it stands in none.

    Returns:
        no metadata, and a skipped file, if the document has no ``node_type`` and so is
        a contract of something else.
    """
    reader = _ContractReader(document, package)
    if "node_type" not in document.data:
        reader.report(
            "013",
            "this contract is not one of a node, having no node_type, so it is skipped",
            (),
            severity=Severity.INFORMATION,
        )
        return ManifestReading(None, tuple(reader.problems), is_template=True)
    metadata = reader.read()
    return ManifestReading(None if reader.has_errors else metadata, tuple(reader.problems))


class _ContractReader(FieldReader):
    def __init__(self, document: YamlDocument, package: str | None) -> None:
        super().__init__(document, "MAN")
        self._data = document.data
        self._package = package

    def read(self) -> NodeMetadata:
        data = self._data
        about = self._mapping("metadata")
        descriptor = self._mapping("descriptor")
        name = self.text(("name",), data.get("name")) or self.text(
            ("node_name",), data.get("node_name")
        )
        if not name:
            self.report("001", "name is missing", ("name",), "add a line name: ...")
        dependencies, libraries = self._dependencies()
        metadata = NodeMetadata(
            node=NodeId(self._type(), self._namespace(name)),
            name=name,
            version=self._version(),
            lifecycle=self._lifecycle(),
            entrypoint=Entrypoint(ENTRYPOINT_TYPE, "contract.yaml"),
            description=self.text(("description",), data.get("description")).strip(),
            author=self.text(("metadata", "author"), about.get("author")),
            license=self.text(("metadata", "license"), about.get("license")),
            tags=tuple(dict.fromkeys(_words(about.get("tags"), data.get("profile_tags")))),
            capabilities=tuple(
                dict.fromkeys(_words(data.get("capabilities"), data.get("node_capabilities")))
            ),
            dependencies=dependencies,
            libraries=libraries,
            # A repeated effect changes nothing more, but its result is not its inputs' alone.
            idempotent=descriptor.get("purity") == "pure" and descriptor.get("idempotent") is True,
            extra=dict(data),
        )
        report_long_words(self, metadata)
        return metadata

    def _mapping(self, key: str) -> Mapping[str, JsonValue]:
        value = self._data.get(key)
        return value if isinstance(value, Mapping) else {}

    def _type(self) -> str:
        text = self.text(("node_type",), self._data.get("node_type"))
        archetype = text.lower().removesuffix("_generic")
        if text and not NODE_TYPE.fullmatch(archetype):
            self.report(
                "004",
                f"{text!r} is not a node type",
                ("node_type",),
                "use compute, effect, reducer or orchestrator",
            )
        return archetype

    def _namespace(self, name: str) -> str:
        namespace = self._package or name
        if namespace and not NAMESPACE.fullmatch(namespace):
            self.report(
                "004",
                f"{namespace!r} is not a namespace",
                ("name",),
                "use words of letters, digits, _ and - joined by dots",
            )
        return namespace

    def _version(self) -> Version:
        key = next((key for key in _VERSION_KEYS if self._data.get(key) is not None), None)
        if key is None:
            self.report("001", "node_version is missing", (), 'add node_version: "1.0.0"')
            return Version(0, 0, 0)
        value = self._data[key]
        text = self._joined(key, value) if isinstance(value, Mapping) else self.text((key,), value)
        return read_version(self, (key,), text)

    def _joined(self, key: str, value: Mapping[str, JsonValue]) -> str:
        numbers = [value.get(part, 0) for part in _PARTS]
        if not all(isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in numbers):
            self.report("002", f"{key} must have whole numbers as {', '.join(_PARTS)}", (key,))
            return ""
        text = ".".join(map(str, numbers))
        for part, mark in (("prerelease", "-"), ("build", "+")):
            more = value.get(part)
            if more is not None:
                parts = more if isinstance(more, list) else [more]
                text += mark + ".".join(map(str, parts))
        return text

    def _lifecycle(self) -> Lifecycle:
        text = self.text(("status",), self._data.get("status")) or "active"
        lifecycle = _LIFECYCLES.get(text)
        if lifecycle is None:
            self.report(
                "007",
                f"the status {text!r} is read as draft",
                ("status",),
                "use one of " + ", ".join(_LIFECYCLES),
                Severity.WARNING,
            )
        return lifecycle or Lifecycle.DRAFT

    def _dependencies(self) -> tuple[tuple[Dependency, ...], tuple[str, ...]]:
        """Those that are nodes or libraries; what else a node needs stays in ``extra``."""
        nodes: list[Dependency] = []
        libraries: list[str] = []
        listed = self._data.get("dependencies")
        for index, entry in enumerate(listed if isinstance(listed, list) else ()):
            if not isinstance(entry, Mapping):
                continue
            place: ValuePath = ("dependencies", index)
            name = self.text((*place, "name"), entry.get("name"))
            module = self.text((*place, "module"), entry.get("module"))
            kind = self.text((*place, "type"), entry.get("type"))
            written = self.text((*place, "version"), entry.get("version"))
            if kind == "library":
                library = self.text((*place, "library"), entry.get("library"))
                libraries.append((library or module.partition(".")[0] or name) + written)
            elif kind == "node" or (not kind and name.startswith(_NODE_PREFIX)):
                is_optional = entry.get("optional") is True or entry.get("required") is False
                try:
                    reference = NodeRef.parse(module or name)
                    constraint = VersionConstraint.parse(written) if written else LATEST
                except (InvalidReferenceError, ConstraintError) as error:
                    self.report("010", error.message, place, error.hint)
                    continue
                named = NodeRef(reference.type, reference.name, constraint)
                nodes.append(Dependency(named, is_optional))
        return tuple(nodes), tuple(dict.fromkeys(libraries))


def _words(*values: JsonValue) -> Iterator[str]:
    """The words of lists of text or of named entries, and of mappings from words to true."""
    for value in values:
        entries: list[JsonValue] = []
        if isinstance(value, list):
            entries = [e.get("name") if isinstance(e, Mapping) else e for e in value]
        elif isinstance(value, Mapping):
            entries = [word for word, offered in value.items() if offered]
        yield from (e for e in entries if isinstance(e, str) and _WORD.fullmatch(e))
