"""A server that tests share which change nothing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import Project, RegistryServer


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryServer]:
    """A server with one published node."""
    root = tmp_path_factory.mktemp("shared")
    for folder in ("nodes", "home"):
        (root / folder).mkdir()
    project = Project(root)
    project.onex_here("publish", "--here", project.add("greeter").parent)
    server = RegistryServer(project)
    server.start()
    yield server
    server.stop()
