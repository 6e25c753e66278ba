"""The three kinds of stores, each with a way to do to it what the world does."""

from __future__ import annotations

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

GROUP = "0" * 32


@dataclass
class Store:
    """One store: opens it as another machine would, and damages a copy."""

    open: Callable[[str], ArtifactContents]
    damage: Callable[[StoredCopy, bytes], None]
    opened: list[ArtifactContents] = field(default_factory=list)

    def contents(self, group: str = GROUP) -> ArtifactContents:
        found = self.open(group)
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


@pytest.fixture
def registry_server(make_project: Callable[[str], Project]) -> Iterator[RegistryServer]:
    server = RegistryServer(make_project("server"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(params=["folder", "registry", pytest.param("bucket", marks=pytest.mark.slow)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    made = _STORES[request.param](request, tmp_path)
    yield made
    for contents in made.opened:
        contents.close()


def _folder(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    root = tmp_path / "share"
    prepare_folder(root, tmp_path / "seen")
    return Store(lambda group: FolderContents(root, group), _damage_in(root))


def _registry(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    server: RegistryServer = request.getfixturevalue("registry_server")
    return Store(
        lambda group: RegistryContents(server.url, server.token, group),
        _damage_in(server.project.home / "shared-artifacts"),
    )


def _bucket(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    server: BucketServer = request.getfixturevalue("bucket_server")
    place = f"s3://{BUCKET}/{tmp_path.name}"

    def damage(copy: StoredCopy, content: bytes) -> None:
        file = tmp_path / "damaged"
        file.write_bytes(content)
        BucketContents(place, GROUP, server.environment).write(copy, file)

    return Store(lambda group: BucketContents(place, group, server.environment), damage)


def _damage_in(root: Path) -> Callable[[StoredCopy, bytes], None]:
    def damage(copy: StoredCopy, content: bytes) -> None:
        FolderContents(root, GROUP).path_of(copy).write_bytes(content)

    return damage


_STORES = {"folder": _folder, "registry": _registry, "bucket": _bucket}
