"""The three kinds of stores, each with a way to do to it what the world does."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from onex.artifacts.bucket_contents import BucketContents
from onex.artifacts.contents import ArtifactContents, StoredCopy
from onex.artifacts.folder_contents import FolderContents, prepare_folder
from onex.artifacts.registry_contents import RegistryContents
from tests.artifacts.bucket_server import BUCKET, BucketServer
from tests.conftest import Project, RegistryServer


@dataclass
class Store:
    """One store: opens it as another machine would, and damages a copy."""

    group: str
    open: Callable[[str], ArtifactContents]
    damage: Callable[[StoredCopy, bytes], None]
    opened: list[ArtifactContents] = field(default_factory=list)

    def contents(self, group: str | None = None) -> ArtifactContents:
        found = self.open(group or self.group)
        self.opened.append(found)
        return found


@pytest.fixture(scope="session")
def bucket_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BucketServer]:
    server = BucketServer(tmp_path_factory.mktemp("bucket"))
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def registry_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryServer]:
    """A server that tests share, each of which has a group for itself."""
    root = tmp_path_factory.mktemp("server")
    for folder in ("nodes", "home"):
        (root / folder).mkdir()
    server = RegistryServer(Project(root))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def own_server(make_project: Callable[[str], Project]) -> Iterator[RegistryServer]:
    """A server that a test may kill."""
    server = RegistryServer(make_project("server"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def group() -> str:
    return uuid.uuid4().hex


@pytest.fixture(params=["folder", "registry", pytest.param("bucket", marks=pytest.mark.slow)])
def store(request: pytest.FixtureRequest, tmp_path: Path, group: str) -> Iterator[Store]:
    made = _STORES[request.param](request, tmp_path, group)
    yield made
    for contents in made.opened:
        contents.close()


def _folder(request: pytest.FixtureRequest, tmp_path: Path, group: str) -> Store:
    root = tmp_path / "share"
    prepare_folder(root, tmp_path / "seen")
    return Store(group, lambda chosen: FolderContents(root, chosen), _damage_in(root, group))


def _registry(request: pytest.FixtureRequest, tmp_path: Path, group: str) -> Store:
    server: RegistryServer = request.getfixturevalue("registry_server")
    return Store(
        group,
        lambda chosen: RegistryContents(server.url, server.token, chosen),
        _damage_in(server.project.home / "shared-artifacts", group),
    )


def _bucket(request: pytest.FixtureRequest, tmp_path: Path, group: str) -> Store:
    server: BucketServer = request.getfixturevalue("bucket_server")
    place = f"s3://{BUCKET}/{tmp_path.name}"

    def damage(copy: StoredCopy, content: bytes) -> None:
        file = tmp_path / "damaged"
        file.write_bytes(content)
        BucketContents(place, group, server.environment).write(copy, file)

    return Store(group, lambda chosen: BucketContents(place, chosen, server.environment), damage)


def _damage_in(root: Path, group: str) -> Callable[[StoredCopy, bytes], None]:
    def damage(copy: StoredCopy, content: bytes) -> None:
        FolderContents(root, group).path_of(copy).write_bytes(content)

    return damage


_STORES = {"folder": _folder, "registry": _registry, "bucket": _bucket}
