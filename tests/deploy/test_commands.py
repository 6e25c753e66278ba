"""Commands of the containers, run here as they stand, with hosts, ports and folders of this machine.

The whole is started as it is deployed: a database, a cache, a server, a scheduler and workers; then
a workflow runs on it.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.conftest import Project
from tests.deploy.reading import PASSWORD, compose, manifests

pytestmark = pytest.mark.slow

COMPONENTS = ("cache", "registry", "scheduler", "worker")
WAIT_SECONDS = 60


def commands_of_compose() -> dict[str, tuple[list[str], dict[str, str]]]:
    services = compose()["services"]
    return {
        name: (services[name]["command"], services[name].get("environment", {}))
        for name in COMPONENTS
    }


def commands_of_kubernetes() -> dict[str, tuple[list[str], dict[str, str]]]:
    """Commands, with the values that Kubernetes would put in."""
    held: dict[tuple[str, str], str] = {}
    for manifest in manifests():
        for key, value in (manifest.get("data") or manifest.get("stringData") or {}).items():
            held[manifest["metadata"]["name"], key] = PASSWORD if "PASSWORD" in key else value
    found = {}
    for manifest in manifests():
        name = manifest["metadata"].get("name")
        if manifest["kind"] not in ("Deployment", "StatefulSet") or name not in COMPONENTS:
            continue
        (container,) = manifest["spec"]["template"]["spec"]["containers"]
        variables: dict[str, str] = {}

        def filled(text: str, known: Mapping[str, str] = variables) -> str:
            return re.sub(r"\$\((\w+)\)", lambda match: known[match[1]], text)

        for variable in container.get("env", ()):
            (source,) = variable.get("valueFrom", {"": None}).values()
            value = variable["value"] if source is None else held[source["name"], source["key"]]
            variables[variable["name"]] = filled(value)
        found[name] = ([filled(part) for part in container["command"]], variables)
    return found


class Deployment:
    """The components, each in a process of its own, until they are stopped."""

    def __init__(self, folder: Path, database: str) -> None:
        self.folder = folder
        self.database = database
        self.ports = {port: free_port() for port in ("6379", "8351", "8786", "8787")}
        self.processes: list[subprocess.Popen[bytes]] = []

    def here(self, text: str) -> str:
        """What a part of a command or a value of the environment is on this machine."""
        text = text.replace("0.0.0.0", "127.0.0.1")
        text = re.sub(r"\b(cache|scheduler|registry)(?=:\d)", "127.0.0.1", text)
        for port, chosen in self.ports.items():
            text = re.sub(rf"\b{port}\b", str(chosen), text)
        text = text.replace("postgresql://onex@database/onex", self.database)
        for place in ("/srv/artifacts", "/tmp"):
            if text == place or text.startswith(f"{place}/"):
                return str(self.folder / text.removeprefix("/"))
        return text

    def start(self, name: str, command: list[str], variables: Mapping[str, str]) -> None:
        found = [str(path.parent) for path in Path(sys.prefix).rglob("valkey-server")]
        folders = [str(Path(sys.executable).parent), *found, os.environ["PATH"]]
        folder = self.folder / name
        folder.mkdir()
        environment = {
            "PATH": os.pathsep.join(folders), "HOME": str(folder), "PGPASSWORD": PASSWORD,
            "ONEX_HOME": str(folder / "state"),
        } | {key: self.here(str(value)) for key, value in variables.items()}  # fmt: skip
        parts = [self.here(part) for part in command]
        if name == "cache":
            parts[-1] += f" --port {self.ports['6379']} --bind 127.0.0.1"
        with (folder / "log").open("wb") as log:
            self.processes.append(
                subprocess.Popen(parts, cwd=folder, env=environment, stdout=log, stderr=log)
            )

    def stop(self) -> None:
        for process in reversed(self.processes):
            process.terminate()
        for process in self.processes:
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def wait_for(what: Callable[[], object]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            what()
        except (OSError, subprocess.CalledProcessError):
            assert time.monotonic() < deadline
            time.sleep(0.2)
        else:
            return


@pytest.fixture(params=["compose", "kubernetes"])
def deployment(
    request: pytest.FixtureRequest, tmp_path: Path, postgres: str
) -> Iterator[Deployment]:
    read = commands_of_compose if request.param == "compose" else commands_of_kubernetes
    started = Deployment(tmp_path, postgres)
    (tmp_path / "srv" / "artifacts").mkdir(parents=True)
    (tmp_path / "tmp").mkdir()
    found = read()
    assert found.keys() == set(COMPONENTS)
    try:
        for name, (command, variables) in found.items():
            # There is no bucket here; a folder that all see is one store as well.
            store = {"ONEX_ARTIFACTS": "/srv/artifacts"} if "ONEX_ARTIFACTS" in variables else {}
            started.start(name, command, dict(variables) | store)
        yield started
    finally:
        started.stop()


def test_a_workflow_runs_on_what_is_deployed(
    deployment: Deployment, make_project: Callable[[str], Project]
) -> None:
    for name, path in (("8351", "/readyz"), ("8351", "/livez"), ("8787", "/health")):
        url = f"http://127.0.0.1:{deployment.ports[name]}{path}"
        wait_for(lambda url=url: urllib.request.urlopen(url, timeout=5).read())
    # The checks of Compose, by the commands that it would run.
    for name in ("registry", "scheduler"):
        kind, *check = compose()["services"][name]["healthcheck"]["test"]
        assert kind == "CMD"
        parts = [deployment.here(part) for part in check]
        wait_for(lambda p=parts: subprocess.run([sys.executable, *p[1:]], check=True, timeout=30))
    project = make_project("project")
    project.add("double", "def execute(context, *, x):\n    return 2 * x\n", idempotent=True)
    project.environment |= {
        name: deployment.here(str(value))
        for name, value in compose()["services"]["onex"]["environment"].items()
    }
    assert project.onex("scan", project.nodes).code == 0
    path = project.workflow(
        {"s": {"node": "double", "foreach": list(range(20)), "with": {"x": "${{ item }}"}}},
        outputs={"doubled": "${{ steps.s }}"},
    )
    done = project.onex("run", path, "--engine", "dask", "--json")
    assert done.code == 0, done.stdout + done.stderr
    assert done.json["outputs"] == {"doubled": [2 * number for number in range(20)]}
    told = project.onex("doctor", "--json").json["checks"]
    assert {c["name"]: c["status"] for c in told if c["name"] in ("cache", "artifacts")} == {
        "cache": "ok", "artifacts": "ok",
    }  # fmt: skip
