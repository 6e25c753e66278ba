"""A server that tests share which change nothing, and servers with other rates."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.conftest import Project, RegistryServer

SERVE_WITH_RATE = """
import sys
from pathlib import Path
from onex.server.app import ServerSettings
from onex.server.rate_limiter import Rate, RateLimits
from onex.server.serving import Listening, serve
rate = Rate(float(sys.argv[3]), float(sys.argv[4]))
settings = ServerSettings(Path(sys.argv[1]), Path(sys.argv[2]), limits=RateLimits(rate, rate, rate))
serve(settings, Listening("127.0.0.1", 0), lambda url: print(url, flush=True))
"""


@contextmanager
def serve_with_rate(server: RegistryServer, *, burst: float, per_second: float) -> Iterator[str]:
    """The URL of another server of the same registry, which allows this for everything."""
    project = server.project
    numbers = (str(burst), str(per_second))
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE_WITH_RATE, str(project.home), str(project.root), *numbers],
        env=project.environment, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        url = process.stdout.readline().decode().strip()
        assert url, "it did not start"
        yield url
    finally:
        process.terminate()
        process.wait(30)
        process.stdout.close()


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
