"""A registry server that is killed under load, and many clients at once: nothing acknowledged is lost."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import random
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from onex.remote.archive import pack
from tests.conftest import Project, RegistryServer

ROUNDS = 3
PUBLISHERS = 4


def archive_of(
    name: str, version: str, code: str = "def execute(context):\n    return 1\n"
) -> bytes:
    manifest = (
        f"name: {name}\nnamespace: test.{name}\nversion: {version}\nmeta_type: tool\n"
        "lifecycle: draft\nentrypoint: python@node.py\n"
    )
    return pack({"node.onex.yaml": manifest.encode(), "node.py": code.encode()})


def publish(server: RegistryServer, name: str, version: str, archive: bytes) -> int | None:
    """The status of a publication; None if the server was gone before it answered."""
    try:
        return server.ask(
            f"api/v1/nodes/tool/test.{name}/{version}", method="PUT", token=server.token,
            content=archive, content_type="application/x-tar",
        ).status  # fmt: skip
    except (OSError, http.client.HTTPException):
        return None


def children(pid: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            if (
                entry.name.isdigit()
                and int((entry / "stat").read_text().rpartition(")")[2].split()[1]) == pid
            ):
                found.append(int(entry.name))
    return found


def restart(server: RegistryServer) -> None:
    """Start again where it was; the processes of the one that was killed need a moment to end."""
    deadline = time.monotonic() + 30
    while True:
        try:
            server.start()
        except AssertionError:
            assert time.monotonic() < deadline
            server.stop()
            time.sleep(0.2)
        else:
            return


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_a_killed_server_with_two_workers_loses_no_acknowledged_publication(
    make_project: Callable[[str], Project],
    serve: Callable[..., RegistryServer],
    database: str,
    request: pytest.FixtureRequest,
) -> None:
    project = make_project("server")
    if database == "postgresql":
        project.environment["ONEX_STORAGE"] = request.getfixturevalue("postgres")
    server = serve(project, "--workers", "2")
    acknowledged: dict[str, bytes] = {}
    for round_ in range(ROUNDS):
        ending = threading.Event()

        def load(number: int, round_: int = round_, ending: threading.Event = ending) -> None:
            for count in range(500):
                if ending.is_set():
                    return
                version = f"{round_}.{number}.{count}"
                archive = archive_of("load", version)
                if publish(server, "load", version, archive) == 201:
                    acknowledged[version] = archive

        threads = [threading.Thread(target=load, args=(n,)) for n in range(PUBLISHERS)]
        for thread in threads:
            thread.start()
        time.sleep(random.uniform(0.5, 2.0))
        assert server.process is not None
        workers = children(server.process.pid)
        assert len(workers) == 2
        if round_ == 1:
            # One worker alone: the other goes on, and the first is replaced.
            os.kill(workers[0], signal.SIGKILL)
            time.sleep(1.5)
            assert server.ask("config.json").status == 200
        server.kill()
        ending.set()
        for thread in threads:
            thread.join()
        deadline = time.monotonic() + 20
        while any(Path(f"/proc/{pid}").exists() for pid in workers):
            assert time.monotonic() < deadline, "a worker outlived the server"
            time.sleep(0.05)
        restart(server)
        lines = {line["version"]: line for line in server.ask("index/tool/test/load.jsonl").lines}
        assert acknowledged.keys() <= lines.keys()
    assert len(acknowledged) > 20
    for line in lines.values():
        sha256 = line["archive"]["sha256"]
        blob = server.ask(f"blobs/sha256/{sha256[:2]}/{sha256}").content
        assert hashlib.sha256(blob).hexdigest() == sha256
    server.stop()
    assert project.onex_here("storage", "check").code == 0
    assert project.onex_here("audit", "verify").code == 0


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_a_hundred_clients_publish_and_read_at_once_and_no_update_is_lost(
    make_project: Callable[[str], Project],
    serve: Callable[..., RegistryServer],
    database: str,
    request: pytest.FixtureRequest,
) -> None:
    project = make_project("server")
    if database == "postgresql":
        project.environment["ONEX_STORAGE"] = request.getfixturevalue("postgres")
    server = serve(project, "--workers", "2")
    outcomes: dict[int, tuple[int | None, int | None]] = {}
    unseen: list[int] = []

    def client(number: int) -> None:
        own = publish(server, "shared", f"1.0.{number}", archive_of("shared", f"1.0.{number}"))
        # Two clients each contend for one version with different files.
        contended = f"2.0.{number // 2}"
        code = f"def execute(context):\n    return {number}\n"
        other = publish(server, "shared", contended, archive_of("shared", contended, code))
        outcomes[number] = (own, other)
        serial = server.ask("api/v1").json["serial"]
        seen = server.ask("index/tool/test/shared.jsonl", onex_at_least_serial=str(serial)).lines
        if f"1.0.{number}" not in {line["version"] for line in seen}:
            unseen.append(number)

    threads = [threading.Thread(target=client, args=(n,)) for n in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert unseen == []
    assert [own for own, _ in outcomes.values()] == [201] * 100
    for pair in range(50):
        assert sorted(str(outcomes[n][1]) for n in (2 * pair, 2 * pair + 1)) == ["201", "409"]
    assert len(server.ask("index/tool/test/shared.jsonl").lines) == 150
    changes = server.ask("changes?since=0").lines
    assert [change["serial"] for change in changes] == list(range(1, len(changes) + 1))
    server.stop()
    assert project.onex_here("storage", "check").code == 0
