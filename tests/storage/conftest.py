"""What the tests of storages share: one of each kind, and nodes to put in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from onex.domain.lifecycle import Lifecycle
from onex.domain.metadata import Entrypoint, NodeMetadata, Origin
from onex.domain.reference import NodeId
from onex.domain.version import Version
from onex.storage.node_record import NodeRecord
from onex.storage.opening import open_storage
from onex.storage.query import MetadataQuery
from onex.storage.sql.store import SqlBackend


def node(name: str, version: str = "1.0.0", **fields: object) -> NodeMetadata:
    return NodeMetadata(
        NodeId("tool", f"ns.{name}"),
        name,
        Version.parse(version),
        fields.pop("lifecycle", Lifecycle.ACTIVE),
        Entrypoint("python", "node.py"),
        **fields,
    )


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty storage of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'registry.db'}"
    return request.getfixturevalue("postgres")


@pytest.fixture
def backend(url: str, tmp_path: Path):
    opened = open_storage(url, tmp_path)
    yield opened
    opened.close()


def insert(backend: SqlBackend, *found: NodeMetadata) -> None:
    with backend.writing() as writer:
        for metadata in found:
            path = f"/{metadata.node.namespace}/{metadata.version}"
            writer.insert(NodeRecord.of(metadata, f"sha256:{metadata.name}"), Origin("test", path))


def clear(backend: SqlBackend) -> None:
    """Remove every node."""
    present = backend.query(MetadataQuery(all_versions=True)).nodes
    with backend.writing() as writer:
        for found in present:
            for origin in found.origins:
                writer.remove_origin(origin)


def names(backend: SqlBackend, **filters: object) -> list[str]:
    return [
        f"{found.metadata.name}@{found.metadata.version}"
        for found in backend.query(MetadataQuery(**filters)).nodes
    ]
