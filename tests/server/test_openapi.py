"""The OpenAPI document, held against the server by schemathesis: no 5xx, no undocumented answer."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from tests.conftest import Project, RegistryServer
from tests.server.conftest import serve_with_rate

Serve = Callable[..., RegistryServer]


# How schemathesis sends what it makes for an archive.
ARCHIVES = """
import schemathesis

@schemathesis.serializer("application/x-tar")
def send_archive(context, value):
    return value if isinstance(value, bytes) else repr(value).encode()
"""


@pytest.fixture
def unlimited(server: RegistryServer) -> Iterator[str]:
    """The URL of another server without limits, since refusals are what is tried most here."""
    with serve_with_rate(server, burst=1e9, per_second=1e9) as url:
        yield url


@pytest.fixture
def server(make_project: Callable[[str], Project], serve: Serve) -> RegistryServer:
    project = make_project("server")
    for version in ("1.0.0", "1.1.0"):
        project.onex_here("publish", "--here", project.add("greeter", version=version).parent)
    return serve(project)


def test_the_document_is_one_and_has_examples(server: RegistryServer) -> None:
    document = server.ask("api/v1/openapi.json").json
    assert document["openapi"].startswith("3.1")
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert operation["description"], (method, path)
            problems = {s for s in operation["responses"] if s.startswith(("4", "5"))}
            assert {"400", "401", "429", "503"} <= problems, (method, path)
    assert "example" in document["components"]["schemas"]["NodePage"]


@pytest.mark.slow
@pytest.mark.parametrize("role", ["admin", "anybody"])
def test_every_operation_answers_as_the_document_says(
    server: RegistryServer, unlimited: str, role: str
) -> None:
    headers = ["-H", f"Authorization: Bearer {server.token}"] if role == "admin" else []
    (server.project.root / "archives.py").write_text(ARCHIVES)
    environment = {**server.project.environment, "SCHEMATHESIS_HOOKS": "archives"}
    environment["PYTHONPATH"] = str(server.project.root)
    done = subprocess.run(
        [sys.executable, "-m", "schemathesis.cli", "run", f"{unlimited}api/v1/openapi.json",
         # All but one: whether a text is a reference, or bytes an archive, no schema can say.
         "--checks", "all", "--exclude-checks", "positive_data_acceptance", "--max-examples", "8", "--seed", "1", "--continue-on-failure",
         "--generation-database", "none", "--no-color", "--request-timeout", "20",
         "--max-time", "60", *headers],
        capture_output=True, text=True, timeout=280, check=False, cwd=server.project.root,
        env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert server.project.onex_here("storage", "check").code == 0
