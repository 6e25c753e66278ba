"""What a registry over the wire costs, beside a bare Starlette route on the same uvicorn.

The budgets: index reads at least 0.7 of the bare route, resolution of 200 nodes against a warm
remote at most twice a local one, an idle server of at most 120 MiB, ready within a second.
``python benchmarks/server.py [NODES]`` also mirrors a registry of that many nodes (2,000).
"""

from __future__ import annotations

import http.client
import json
import os
import re
import selectors
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from onex import Registry
from onex.remote.archive import pack

CONNECTIONS, READ_SECONDS, ROUNDS = 32, 2.0, 5
LOAD_SECONDS, PUBLISHERS, READERS = 5.0, 4, 8
GRAPH = 200
CODE = b"def execute(context):\n    return 1\n"
BARE = """
import sys, uvicorn
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route
body = open(sys.argv[1], "rb").read()
async def index(request):
    return Response(body, media_type="application/jsonl")
app = Starlette(routes=[Route("/index/tool/bench/n0.jsonl", index)])
config = uvicorn.Config(app, port=0, log_config=None, access_log=False, http="h11", loop="asyncio")
class Server(uvicorn.Server):
    async def startup(self, sockets=None):
        await super().startup(sockets)
        print(self.servers[0].sockets[0].getsockname()[1], flush=True)
Server(config).run()
"""


def archive(name: str, version: str = "1.0.0", needs: str = "") -> bytes:
    manifest = (
        f"name: {name}\nnamespace: bench.{name}\nversion: {version}\nmeta_type: tool\n"
        f"lifecycle: draft\nentrypoint: python@node.py\ndescription: Node {name} of a benchmark.\n"
    )
    if needs:
        manifest += f'dependencies: ["tool://bench.{needs}@^1"]\n'
    return pack(
        {"node.onex.yaml": manifest.encode(), "node.py": b"def execute(context):\n    return 1\n"}
    )


class Served:
    """``onex serve`` of a registry in a folder."""

    def __init__(self, folder: Path, workers: int = 1) -> None:
        started = time.perf_counter()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "onex", "serve", "--port", "0", "--json", "--init",
             "--workers", str(workers)],
            cwd=folder, stdout=subprocess.PIPE,
        )  # fmt: skip
        assert self.process.stdout is not None
        ready = json.loads(self.process.stdout.readline())
        self.seconds = time.perf_counter() - started
        self.url, self.token = ready["url"], ready["token"]
        self.port = int(self.url.rstrip("/").rpartition(":")[2])

    def memory_bytes(self) -> int:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s*(\d+) kB", status)[1]) * 1024  # type: ignore[index]

    def put(self, name: str, version: str, body: bytes) -> float:
        """Publish over a connection of its own; returns the seconds it took."""
        started = time.perf_counter()
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/x-tar"}
        connection.request("PUT", f"/api/v1/nodes/tool/bench.{name}/{version}", body, headers)
        status = connection.getresponse().status
        connection.close()
        assert status == 201, status
        return time.perf_counter() - started

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()


def requests_per_second(port: int, path: str) -> float:
    """How many requests a server answers, from several connections that are always busy."""
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", port)) as probe:
        probe.sendall(request)
        size = len(probe.recv(65536))
    selector = selectors.DefaultSelector()
    missing: dict[socket.socket, int] = {}
    for _ in range(CONNECTIONS):
        connection = socket.create_connection(("127.0.0.1", port))
        connection.sendall(request)
        missing[connection] = size
        selector.register(connection, selectors.EVENT_READ)
    count, end = 0, time.perf_counter() + READ_SECONDS
    while time.perf_counter() < end:
        for key, _ in selector.select(1):
            connection = key.fileobj  # type: ignore[assignment]
            missing[connection] -= len(connection.recv(65536))
            if missing[connection] <= 0:
                count += 1
                missing[connection] = size
                connection.sendall(request)
    for connection in missing:
        connection.close()
    return count / READ_SECONDS


def index_reads(served: Served, folder: Path) -> None:
    path = "/index/tool/bench/n0.jsonl"
    connection = http.client.HTTPConnection("127.0.0.1", served.port)
    connection.request("GET", path)
    body = folder / "body"
    body.write_bytes(connection.getresponse().read())
    bare = subprocess.Popen([sys.executable, "-c", BARE, str(body)], stdout=subprocess.PIPE)
    assert bare.stdout is not None
    port = int(bare.stdout.readline())
    ratios, ours, theirs = [], [], []
    for _ in range(ROUNDS):
        theirs.append(requests_per_second(port, path))
        ours.append(requests_per_second(served.port, path))
        ratios.append(ours[-1] / theirs[-1])
    bare.terminate()
    bare.wait()
    told = f"{median(ours):8.0f} /s, bare Starlette {median(theirs):.0f} /s"
    print(f"index reads         {told}: {median(ratios):.2f} (>= 0.7)")


def publishing(served: Served) -> None:
    seconds: list[float] = []
    reads: list[float] = []
    end = time.monotonic() + LOAD_SECONDS

    def publish(number: int) -> None:
        count = 0
        while time.monotonic() < end:
            count += 1
            version = f"1.{number}.{count}"
            seconds.append(served.put(f"p{number}", version, archive(f"p{number}", version)))

    def read() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", served.port)
        while time.monotonic() < end:
            started = time.perf_counter()
            connection.request("GET", "/index/tool/bench/n0.jsonl")
            connection.getresponse().read()
            reads.append(time.perf_counter() - started)
            time.sleep(0.005)

    threads = [threading.Thread(target=publish, args=(n,)) for n in range(PUBLISHERS)]
    threads += [threading.Thread(target=read) for _ in range(READERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(f"publications        {len(seconds) / LOAD_SECONDS:8.1f} /s from {PUBLISHERS} at once,"
          f" median {median(seconds) * 1e3:.1f} ms,"
          f" p99 {statistics.quantiles(seconds, n=100)[98] * 1e3:.1f} ms")  # fmt: skip
    print(f"reads meanwhile     {len(reads) / LOAD_SECONDS:8.0f} /s,"
          f" median {median(reads) * 1e3:.1f} ms,"
          f" p99 {statistics.quantiles(reads, n=100)[98] * 1e3:.1f} ms")  # fmt: skip


def resolution(served: Served, folder: Path, environment: dict[str, str]) -> None:
    """A chain of dependencies, local, remote for the first time, and remote again."""
    user = folder / "user"
    user.mkdir()
    (user / "onex.toml").write_text(
        f'[[sources]]\nname = "hub"\nkind = "remote"\nurl = "{served.url}"\n'
    )

    def resolve(home: Path, start: Path) -> float:
        with Registry.open(home, start=start, environment=environment) as registry:
            started = time.perf_counter()
            found = registry.resolve(["tool://bench.n0"])
            assert len(found.selected) == GRAPH
            return time.perf_counter() - started

    cold = resolve(user / "state", user)
    warm, local, ratios = [], [], []
    plain = folder / "plain"
    plain.mkdir()
    (plain / "onex.toml").write_text("")
    for _ in range(ROUNDS):
        for home in (user / "state", plain):
            (home / "cache.db").unlink(missing_ok=True)
        local.append(resolve_local(user / "state", plain, environment))
        (user / "state" / "cache.db").unlink(missing_ok=True)
        warm.append(resolve(user / "state", user))
        ratios.append(warm[-1] / local[-1])
    print(f"resolve {GRAPH} nodes   {cold * 1e3:8.0f} ms against a cold remote,")
    told = f"{median(warm) * 1e3:.1f} ms against a warm one, {median(local) * 1e3:.1f} ms local"
    print(f"                    {told}: {median(ratios):.2f} (<= 2)")


def resolve_local(home: Path, start: Path, environment: dict[str, str]) -> float:
    """The same registry without its remote."""
    with Registry.open(home, start=start, environment=environment) as registry:
        started = time.perf_counter()
        registry.resolve(["tool://bench.n0"])
        return time.perf_counter() - started


def mirror(folder: Path, environment: dict[str, str], nodes: int) -> None:
    user = folder / "user"
    target = folder / "mirror"

    def once() -> float:
        started = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "onex", "remote", "mirror", "hub", str(target), "-q"],
            cwd=user, env=environment, check=True,
        )  # fmt: skip
        return time.perf_counter() - started

    first = once()
    again = once()
    told = f"{first:8.1f} s for {nodes} nodes ({nodes / first:.0f} /s)"
    print(f"mirror              {told}, {again:.2f} s again")


def fill(folder: Path, nodes: int) -> None:
    """Publish a chain of nodes, and more that stand alone, without a server."""
    with Registry.open(folder / ".onex", start=folder) as registry:
        published = registry.published
        for number in range(nodes):
            needs = f"n{number + 1}" if number < GRAPH - 1 else ""
            published.publish(archive(f"n{number}", needs=needs), "node.onex.yaml")


def main() -> None:
    nodes = int(sys.argv[1]) if len(sys.argv) > 1 else 2_000
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        served_folder = folder / "server"
        served_folder.mkdir()
        (served_folder / "onex.toml").write_text("")
        environment = os.environ | {
            "ONEX_CACHE_FOLDER": str(folder / "cache"),
            "ONEX_SETTINGS_FOLDER": str(folder / "settings"),
        }
        started = time.perf_counter()
        fill(served_folder, max(nodes, GRAPH))
        seconds = time.perf_counter() - started
        print(f"publish in process  {seconds * 1e3 / max(nodes, GRAPH):8.2f} ms a node")
        served = Served(served_folder)
        try:
            memory = served.memory_bytes() / 2**20
            print(f"start-up            {served.seconds:8.2f} s (<= 1), {memory:.0f} MiB (<= 120)")
            steps: list[Callable[[], None]] = [
                lambda: index_reads(served, folder),
                lambda: publishing(served),
                lambda: resolution(served, folder, environment),
                lambda: mirror(folder, environment, max(nodes, GRAPH)),
            ]  # fmt: skip
            for step in steps:
                step()
            print(f"memory afterwards   {served.memory_bytes() / 2**20:8.0f} MiB")
        finally:
            served.stop()


if __name__ == "__main__":
    main()
