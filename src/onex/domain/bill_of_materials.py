"""The bill of materials of a lock or a run: its nodes, and the Python libraries that they declare.

Source: CycloneDX 1.6 (ECMA-424), in JSON.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from onex.domain.json_value import JsonObject, JsonValue
from onex.domain.metadata import NodeMetadata

SPECIFICATION = "1.6"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, slots=True)
class UsedNode:
    """A node version that is used, the digest of its files, and what it needs, as references."""

    metadata: NodeMetadata
    digest: str
    trust: str
    needs: tuple[str, ...] = ()

    @property
    def reference(self) -> str:
        """What the bill calls it."""
        return str(self.metadata.node_version)


def bill_of_materials(
    subject: str,
    nodes: Sequence[UsedNode],
    installed: Mapping[str, str],
    *,
    made_at: str,
    tool_version: str,
) -> JsonObject:
    """The bill of materials as CycloneDX.

    Args:
        subject: what it is about.
        nodes: those that are used.
        installed: versions of Python libraries by their names, as far as they are known.
        made_at: when it is made (RFC 3339).
        tool_version: that of onex.
    """
    libraries: dict[str, JsonObject] = {}
    depends: list[JsonValue] = []
    for node in nodes:
        needed = list(node.needs)
        for requirement in node.metadata.libraries:
            component = _library(requirement, installed)
            if component is not None:
                reference = str(component["bom-ref"])
                libraries[reference] = component
                needed.append(reference)
        depends.append({"ref": node.reference, "dependsOn": sorted(set(needed))})
    components: list[JsonValue] = [
        *map(_component, nodes),
        *(libraries[reference] for reference in sorted(libraries)),
    ]
    return {
        "bomFormat": "CycloneDX",
        "specVersion": SPECIFICATION,
        "version": 1,
        "metadata": {
            "timestamp": made_at,
            "tools": {
                "components": [
                    {"type": "application", "name": "onex-registry", "version": tool_version}
                ]
            },
            "component": {"type": "application", "bom-ref": "subject", "name": subject},
        },
        "components": components,
        "dependencies": [
            {"ref": "subject", "dependsOn": [node.reference for node in nodes]},
            *depends,
        ],
    }


def _component(node: UsedNode) -> JsonObject:
    metadata = node.metadata
    properties: list[JsonValue] = [
        {"name": "onex:trust", "value": node.trust},
        *({"name": "onex:permission", "value": str(p)} for p in metadata.requests),
    ]
    component: dict[str, JsonValue] = {
        "type": "application",
        "bom-ref": node.reference,
        "group": metadata.node.namespace.rpartition(".")[0],
        "name": str(metadata.node),
        "version": str(metadata.version),
        "description": metadata.description,
        "hashes": [{"alg": "SHA-256", "content": node.digest.removeprefix("sha256:")}],
        "properties": properties,
    }
    if metadata.license:
        component["licenses"] = [{"license": {"name": metadata.license}}]
    if metadata.author:
        component["authors"] = [{"name": metadata.author}]
    return component


def _library(requirement: str, installed: Mapping[str, str]) -> JsonObject | None:
    """A Python library as a component; None for a requirement that names none."""
    match = _NAME.match(requirement.strip())
    if match is None:
        return None
    # PEP 503: names are compared without case, and with one kind of sign between words.
    name = re.sub(r"[-_.]+", "-", match[0]).lower()
    known = {re.sub(r"[-_.]+", "-", n).lower(): version for n, version in installed.items()}
    version = known.get(name)
    identifier = f"pkg:pypi/{quote(name)}" + (f"@{quote(version)}" if version else "")
    component: dict[str, JsonValue] = {
        "type": "library",
        "bom-ref": identifier,
        "name": name,
        "purl": identifier,
        "properties": [{"name": "onex:requirement", "value": requirement}],
    }
    return component | ({"version": version} if version else {})
